/**
 * Named moments of work that must survive the end of the process (tests/faults/points.ts). Tests end it there, with
 * `VIVACE_KILL_AT=<name>`, as `kill -9` would. With `VIVACE_HOLD_AT=<name>` the thread makes the file `VIVACE_HOLD_FILE` when it
 * first comes there, and goes on when that is removed; no other thread is held then (`<file>.was`). Without these variables nothing happens.
 */
import fs from 'node:fs';

export function reached(name: string, env: NodeJS.ProcessEnv = process.env): void {
  if (env.VIVACE_KILL_AT === name) process.kill(process.pid, 'SIGKILL');
  if (env.VIVACE_HOLD_AT !== name || env.VIVACE_HOLD_FILE === undefined) return;
  try {
    fs.writeFileSync(`${env.VIVACE_HOLD_FILE}.was`, name, { flag: 'wx' });
  } catch {
    return;
  }
  fs.writeFileSync(env.VIVACE_HOLD_FILE, name);
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  while (fs.existsSync(env.VIVACE_HOLD_FILE)) Atomics.wait(nothing, 0, 0, HOLD_POLL_MS);
}

const HOLD_POLL_MS = 10;
