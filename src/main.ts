/** Reads the configuration, starts the server, waits for the signal, stops in reverse order. */
import fs from 'node:fs';
import { loadConfiguration } from './config/load.ts';
import { messageOf } from './runtime/errors.ts';
import { createLog } from './runtime/log.ts';
import { hashPassword } from './roles/hash-password.ts';
import { type RunningServer, startServer } from './roles/server.ts';

const VERSION = { version: '3.0.3', revision: 'vivace-0.1.0', branch: 'main' };

if (process.argv[2] === 'hash-password') {
  process.stdout.write(await hashPassword());
  process.exit(0);
}

const loaded = loadConfiguration({
  argv: process.argv.slice(2),
  env: process.env,
  readFile: (file) => fs.readFileSync(file, 'utf8'),
  version: VERSION.version,
});

if (loaded.kind === 'exit') {
  process.stdout.write(loaded.stdout);
  process.stderr.write(loaded.stderr);
  process.exit(loaded.code);
} else if (loaded.kind === 'health') {
  const ok = await fetch(loaded.url, { signal: AbortSignal.timeout(5000) }).then(
    (answer) => answer.ok,
    () => false,
  );
  process.stdout.write(ok ? 'Tempo is healthy\n' : 'Tempo is not healthy\n');
  process.exit(ok ? 0 : 1);
} else {
  const { config } = loaded;
  const log = createLog({
    level: config.server.logLevel,
    format: config.server.logFormat === 'json' ? 'json' : 'logfmt',
    write: (line) => process.stderr.write(line),
  });
  for (const warning of loaded.warnings) log.log('warn', warning);
  if (loaded.inactiveKeys.length > 0)
    log.log('warn', 'keys of the configuration that have no effect yet', { keys: loaded.inactiveKeys.join(' ') });
  let stopping = false;
  let running: RunningServer | undefined;
  const stop = (code: number): void => {
    if (stopping) return;
    stopping = true;
    log.log('info', 'stopping');
    (running?.stop() ?? Promise.resolve(0)).then(
      (own) => process.exit(code || own),
      (error: unknown) => {
        log.log('error', `cannot stop in order: ${messageOf(error)}`);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => stop(0));
  process.on('SIGINT', () => stop(0));
  try {
    running = await startServer({ config, version: VERSION, log, env: process.env, nowMs: Date.now, onStop: stop });
    log.log('info', 'Tempo started', { target: config.target });
    process.stdout.write(greeting(running));
  } catch (error) {
    log.log('error', messageOf(error));
    process.exit(1);
  }
}

/** Where to send spans and where to look at them. */
function greeting(server: RunningServer): string {
  const at = (service: string): string | undefined => {
    const address = server.addresses.find((each) => each.service === service);
    if (address === undefined) return undefined;
    const host =
      address.host === '' || address.host === '0.0.0.0' || address.host === '::' ? 'localhost' : address.host;
    return `${address.secure ? 'https' : 'http'}://${host}:${address.port}`;
  };
  const [apiAt, httpAt, grpcAt] = [at('api'), at('otlp-http'), at('otlp-grpc')];
  const lines = ['Vivace is ready.'];
  if (httpAt !== undefined) lines.push(`  OTLP/HTTP  ${httpAt}/v1/traces`);
  if (grpcAt !== undefined) lines.push(`  OTLP/gRPC  ${grpcAt.replace(/^https?:\/\//, '')}`);
  if (apiAt !== undefined) lines.push(`  API        ${apiAt}`);
  if (apiAt !== undefined && httpAt !== undefined) {
    const span = `{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"hello","kind":2,"startTimeUnixNano":"'$(date +%s)'000000000","endTimeUnixNano":"'$(date +%s)'250000000"}`;
    lines.push(
      'Try it:',
      `  curl -s ${httpAt}/v1/traces -H 'Content-Type: application/json' -d '{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"first"}}]},"scopeSpans":[{"spans":[${span}]}]}]}'`,
      `  curl -s ${apiAt}/api/traces/5b8efff798038103d269b633813fc60c`,
      `  curl -sG ${apiAt}/api/search --data-urlencode 'q={ resource.service.name = "first" }'`,
    );
  }
  return `${lines.join('\n')}\n`;
}
