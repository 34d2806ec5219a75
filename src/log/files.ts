/** Which files of which logs there are below the WAL path, of processes that live and of those that are gone. */
import fs from 'node:fs';
import path from 'node:path';
import { INSTANCE } from './ownership.ts';

/** Files of one log, up to and with a number. */
export interface LogFiles {
  instance: string;
  file: number;
}

/** A log that is there. */
export interface LogThere {
  instance: string;
  files: number[];
}

/** The latest file of each of the logs. */
export function latestFiles(logs: readonly LogThere[]): LogFiles[] {
  return logs.flatMap(({ instance, files }) => (files.length === 0 ? [] : [{ instance, file: Math.max(...files) }]));
}

/** Those of the logs that have one of the files. */
export function logsWith(logs: readonly LogThere[], of: readonly LogFiles[]): string[] {
  const left = logs.filter(({ instance, files }) =>
    of.some((each) => each.instance === instance && files.some((file) => file <= each.file)),
  );
  return left.map(({ instance }) => instance);
}

export function logsThere(wal: string): LogThere[] {
  return namesIn(wal).flatMap((name) => {
    const match = INSTANCE.exec(name);
    if (match === null) return [];
    const files = namesIn(path.join(wal, name)).flatMap((file) => {
      const number = /^(\d{8,})\.log$/.exec(file)?.[1];
      return number === undefined ? [] : [Number(number)];
    });
    return [{ instance: match[1], files }];
  });
}

function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}
