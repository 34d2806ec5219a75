/** Logs: one line an event on stderr, logfmt as Tempo writes it (level, ts, msg, fields) or JSON. */
import { pino } from 'pino';

export type Fields = Record<string, string | number | boolean | undefined>;
export type Level = 'debug' | 'info' | 'warn' | 'error';

export interface Log {
  log(level: Level, message: string, fields?: Fields): void;
}

/** A log that writes to `write`, a line at a time. */
export function createLog(options: { level: string; format: 'logfmt' | 'json'; write: (line: string) => void }): Log {
  const logger = pino(
    {
      level: options.level,
      base: null,
      messageKey: 'msg',
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => options.write(options.format === 'json' ? line : logfmt(line)) },
  );
  return {
    log(level, message, fields) {
      if (fields === undefined) logger[level](message);
      else logger[level](fields, message);
    },
  };
}

/** A JSON line as `key=value` pairs. */
function logfmt(line: string): string {
  const pairs: string[] = [];
  for (const [key, value] of Object.entries(JSON.parse(line) as Record<string, unknown>)) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    pairs.push(`${key}=${/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text)}`);
  }
  return `${pairs.join(' ')}\n`;
}
