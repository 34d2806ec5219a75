/**
 * Traces that are to be gone, in the folder of their tenant. The names say what readers must know, so that a look into the
 * folder is enough:
 *
 * ```
 *  <blocks>/<tenant>/deleted/<trace id>.json          it is hidden from now on; since when, and which logs may hold it
 *  <blocks>/<tenant>/deleted/<trace id>.<log>.late    spans of it came later: that log may hold them up to this file
 *  <blocks>/<tenant>/deleted/<trace id>.erased        no byte of it was left then
 * ```
 * Whoever shares the folder writes there: a file appears as a whole, by a rename, and each process has names of its own.
 */
import fs from 'node:fs';
import path from 'node:path';
import { syncDirectory } from '../runtime/sync-directory.ts';

export const DELETED_FOLDER = 'deleted';

/** Files of one log, up to and with a number (log/files.ts). */
interface LogFiles {
  instance: string;
  file: number;
}

/** What is known of a trace that is to be gone. */
export interface DeletedTrace {
  /** 32 hex digits. */
  id: string;
  deletedMs: number;
  /** Logs that may hold spans of it; undefined: whatever there is. */
  logs: LogFiles[] | undefined;
  /** Since when no byte of it is left; undefined: there may be some. */
  erasedMs: number | undefined;
}

const NAME = /^[0-9a-f]{32}\.(?:json|erased|[0-9a-f]{12}\.late)$/;
const ID_LENGTH = 32;
const INSTANCE_LENGTH = 12;

/** Ids of the traces of a tenant that are hidden, which of them may not be gone yet, and of which spans came later. */
export function listDeleted(folder: string): { hidden: string[]; pending: string[]; late: string[] } {
  const names = namesIn(folder).filter((name) => NAME.test(name));
  const idsOf = (end: string): string[] =>
    names.filter((name) => name.endsWith(end)).map((name) => name.slice(0, ID_LENGTH));
  const late = new Set(idsOf('.late'));
  const erased = new Set(idsOf('.erased'));
  const hidden = idsOf('.json');
  return { hidden, pending: hidden.filter((id) => !erased.has(id) || late.has(id)), late: [...late] };
}

/** undefined: nobody has asked for it to be gone, or so long ago that it is forgotten. */
export function readDeleted(folder: string, id: string): DeletedTrace | undefined {
  return readAllDeleted(folder, [id])[0];
}

/** Those of the traces that are to be gone. */
export function readAllDeleted(folder: string, ids: readonly string[]): DeletedTrace[] {
  const late = new Map<string, LogFiles[]>();
  for (const name of namesIn(folder)) {
    if (!name.endsWith('.late') || !NAME.test(name)) continue;
    const id = name.slice(0, ID_LENGTH);
    const instance = name.slice(ID_LENGTH + 1, ID_LENGTH + 1 + INSTANCE_LENGTH);
    late.set(id, [...(late.get(id) ?? []), { instance, file: Number(readText(path.join(folder, name)) ?? 0) }]);
  }
  return ids.flatMap((id) => {
    const text = readText(path.join(folder, `${id}.json`));
    if (text === undefined) return [];
    const { deletedMs, logs } = JSON.parse(text) as Pick<DeletedTrace, 'deletedMs' | 'logs'>;
    const since = late.get(id) ?? [];
    const erased = since.length > 0 ? undefined : readText(path.join(folder, `${id}.erased`));
    return [
      { id, deletedMs, logs: logs && [...logs, ...since], erasedMs: erased === undefined ? undefined : Number(erased) },
    ];
  });
}

/** Resolves when the trace will stay hidden whatever happens to the process. */
export async function writeDeleted(folder: string, { id, deletedMs, logs }: DeletedTrace): Promise<void> {
  await fs.promises.mkdir(folder, { recursive: true, mode: 0o700 });
  await syncDirectory(path.dirname(path.dirname(folder)));
  await syncDirectory(path.dirname(folder));
  await writeWhole(folder, `${id}.json`, JSON.stringify({ deletedMs, logs }));
}

/** Spans of the trace have come since: the log may hold them. */
export async function noteLate(folder: string, id: string, { instance, file }: LogFiles): Promise<void> {
  await writeWhole(folder, `${id}.${instance}.late`, String(file));
}

/** No byte of the trace is left, as far as these logs go. */
export async function noteErased(folder: string, { id, logs }: DeletedTrace, nowMs: number): Promise<void> {
  await writeWhole(folder, `${id}.erased`, String(nowMs));
  for (const { instance, file } of logs ?? []) {
    const name = path.join(folder, `${id}.${instance}.late`);
    // What came since counts from a later file on.
    if (Number(readText(name) ?? 0) <= file) await fs.promises.rm(name, { force: true });
  }
}

/** The trace is hidden no longer. */
export async function forgetDeleted(folder: string, id: string): Promise<void> {
  for (const name of namesIn(folder)
    .filter((each) => each.startsWith(`${id}.`))
    .sort()
    .reverse())
    await fs.promises.rm(path.join(folder, name), { force: true });
}

async function writeWhole(folder: string, name: string, text: string): Promise<void> {
  const temporary = path.join(folder, `.${name}.${process.pid}`);
  try {
    const handle = await fs.promises.open(temporary, 'w', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await fs.promises.rename(temporary, path.join(folder, name));
  } catch (error) {
    // The disk is full, perhaps.
    await fs.promises.rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(folder);
}

function namesIn(folder: string): string[] {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}

function readText(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
