/**
 * Which process owns which log folder below the WAL path, so that several processes can share it and a log whose process
 * died is taken over by exactly one other.
 *
 * ```
 *  <wal>/<instance>/           a log; while its process lives, it listens on <wal>/<instance>.sock
 *  <wal>/<instance>.<taker>/   the log of a dead process, being replayed by process <taker>
 * ```
 * A Unix socket answers exactly: the kernel refuses a connection to a socket whose process is gone, whatever the process
 * or container was. A folder that came from another machine (its `owner` file names another boot) cannot be asked like that;
 * there the owner's heartbeat decides.
 */
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

/** A log's folder; the second name is that of who replays it. */
export const INSTANCE = /^([0-9a-f]{12})(?:\.([0-9a-f]{12}))?$/;
export const HEARTBEAT_MS = 15_000;
const HEARTBEAT_STALE_MS = 60_000;

/** Marks the log of `instance` as owned by this machine's current boot. */
export function writeOwner(wal: string, instance: string): void {
  fs.writeFileSync(path.join(wal, instance, 'owner'), `${os.hostname()} ${bootId()}\n`);
}

export function heartbeat(wal: string, instance: string): void {
  const now = new Date();
  fs.utimes(path.join(wal, instance, 'owner'), now, now, () => {});
}

/** Takes over every log whose process is dead; returns [instance, folder] of each. */
export async function takeOverDeadLogs(wal: string, own: string): Promise<{ instance: string; directory: string }[]> {
  const taken: { instance: string; directory: string }[] = [];
  for (const name of fs.readdirSync(wal)) {
    const match = INSTANCE.exec(name);
    if (match === null) continue;
    const owner = match[2] ?? match[1];
    if (owner === own || (await isAlive(wal, owner, path.join(wal, name)))) continue;
    const directory = path.join(wal, `${match[1]}.${own}`);
    try {
      // The rename decides between two that want it.
      fs.renameSync(path.join(wal, name), directory);
    } catch {
      continue;
    }
    fs.rmSync(socketPath(wal, owner), { force: true });
    taken.push({ instance: match[1], directory });
  }
  await removeDeadSockets(wal, own);
  return taken;
}

/** Sockets of processes that died before they had a log. A young one may be bound and not listening yet. */
async function removeDeadSockets(wal: string, own: string): Promise<void> {
  for (const socket of otherSockets(wal, own)) {
    const changedMs = fs.statSync(socket, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (Date.now() - changedMs < HEARTBEAT_STALE_MS || fs.existsSync(socket.slice(0, -'.sock'.length))) continue;
    if (!(await answers(socket))) fs.rmSync(socket, { force: true });
  }
}

/** Instances other than `own` that have a socket. */
export function otherSockets(wal: string, own: string | undefined): string[] {
  try {
    return fs
      .readdirSync(wal)
      .filter((name) => /^[0-9a-f]{12}\.sock$/.test(name) && name !== `${own}.sock`)
      .map((name) => path.join(wal, name));
  } catch {
    return [];
  }
}

/** Whether another process works on the same folder now. */
export async function hasLivingPeer(wal: string, own: string | undefined): Promise<boolean> {
  for (const socket of otherSockets(wal, own)) if (await answers(socket)) return true;
  return false;
}

/** Whether the process of a log lives. */
export function isOwned(wal: string, instance: string): Promise<boolean> {
  return answers(socketPath(wal, instance));
}

export function socketPath(wal: string, instance: string): string {
  return path.join(wal, `${instance}.sock`);
}

/** A path of the same socket that is short enough for sockaddr_un (108 bytes); keep the handle open while it is used. */
export function shortSocketPath(file: string): { path: string; close: () => void } {
  if (Buffer.byteLength(file) < 100 || process.platform !== 'linux') return { path: file, close: () => {} };
  const handle = fs.openSync(path.dirname(file), 'r');
  return { path: `/proc/self/fd/${handle}/${path.basename(file)}`, close: () => fs.closeSync(handle) };
}

async function isAlive(wal: string, owner: string, directory: string): Promise<boolean> {
  if (await answers(socketPath(wal, owner))) return true;
  let text: string;
  let changedMs: number;
  try {
    text = fs.readFileSync(path.join(directory, 'owner'), 'utf8');
    changedMs = fs.statSync(path.join(directory, 'owner')).mtimeMs;
  } catch {
    // No owner file yet: a process that is just starting has its socket before its folder, and it did not answer.
    return false;
  }
  const [host, boot] = text.trim().split(' ');
  if (boot === bootId() || host === os.hostname()) return false;
  return Date.now() - changedMs < HEARTBEAT_STALE_MS;
}

function answers(file: string): Promise<boolean> {
  const short = shortSocketPath(file);
  return new Promise<boolean>((resolve) => {
    const socket = net.connect(short.path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // A full backlog (EAGAIN) is a process that lives.
    socket.on('error', (error) => resolve((error as NodeJS.ErrnoException).code === 'EAGAIN'));
  }).finally(short.close);
}

function bootId(): string {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return 'unknown';
  }
}
