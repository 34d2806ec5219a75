/** Whether a block is what its meta and its checksums say: every byte of its files is read, none is decoded but the trace lines. */
import fs from 'node:fs';
import path from 'node:path';
import type { FileMetadata } from '../parquet/footer.ts';
import { verifyFile } from '../parquet/verify.ts';
import { messageOf } from '../runtime/errors.ts';
import type { BlockMeta } from './meta.ts';
import { DATA_FILE, TRACES_FILE } from './objects.ts';
import { placesOf } from './row-group-places.ts';
import { readTraces, type TraceLines } from './traces-file.ts';

/** The files of one block, by name. */
export interface BlockFiles {
  /** undefined: there is no such file. */
  bytes(name: string): Promise<number | undefined>;
  read(name: string, offset: number, length: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** What is wrong with the block; nothing when it is sound. */
export async function verifyBlock(meta: BlockMeta, files: BlockFiles, pause: () => Promise<void>): Promise<string[]> {
  const { size, footerSize, totalObjects, totalRecords, startTime, endTime, vivace } = meta;
  const problems: string[] = [];
  const isThere = async (name: string, expected: number): Promise<boolean> => {
    const bytes = await files.bytes(name);
    if (bytes === expected) return true;
    problems.push(
      bytes === undefined ? `${name} is missing` : `${name} has ${bytes} bytes, meta.json says ${expected}`,
    );
    return false;
  };
  const differs = (what: string, found: number | string | undefined, said: number | string): void => {
    if (found !== said) problems.push(`${what}: ${found} in the files, ${said} in meta.json`);
  };
  let metadata: FileMetadata | undefined;
  if (await isThere(DATA_FILE, size)) {
    const found = await verifyFile({
      bytes: size,
      read: (offset, length) => files.read(DATA_FILE, offset, length),
      footerCrc: vivace.footerCrc,
      pause,
    });
    problems.push(...found.problems.map((problem) => `${DATA_FILE}: ${problem}`));
    metadata = found.metadata;
    if (found.metadata !== undefined) {
      differs('spans', found.metadata.rows, vivace.spans);
      differs('row groups', found.metadata.rowGroups.length, totalRecords);
      const tail = await files.read(DATA_FILE, size - 8, 4);
      differs('bytes of the footer', Buffer.from(tail).readUInt32LE(), footerSize);
    }
  }
  await pause();
  // Without the footer it is not known which part of it is whose.
  if ((await isThere(TRACES_FILE, vivace.tracesBytes)) && metadata !== undefined)
    try {
      const [startSeconds, endSeconds] = [Date.parse(startTime) / 1000, Date.parse(endTime) / 1000];
      let [traces, spans] = [0, 0];
      let last = new Uint8Array(0);
      for (const { traces: range } of placesOf({ meta, startSeconds, endSeconds }, metadata)) {
        const lines = readTraces(await files.read(TRACES_FILE, range.offset, range.length));
        traces += lines.ids.length / 16;
        spans += lines.firstRow.at(-1) ?? 0;
        const disorder = disorderOf(lines, last);
        if (disorder !== undefined) problems.push(disorder);
        last = lines.ids.slice(-16);
        const { start, end } = secondsOf(lines);
        if (start < startSeconds || end > endSeconds) problems.push(`spans lie outside of ${startTime} to ${endTime}`);
        await pause();
      }
      differs('traces', traces, totalObjects);
      differs('spans of the traces', spans, vivace.spans);
    } catch (error) {
      problems.push(`${TRACES_FILE}: ${messageOf(error)}`);
    }
  return problems;
}

export function folderFiles(directory: string): BlockFiles {
  const open = new Map<string, Promise<fs.promises.FileHandle>>();
  const handleOf = (name: string): Promise<fs.promises.FileHandle> => {
    let handle = open.get(name);
    if (handle === undefined) open.set(name, (handle = fs.promises.open(path.join(directory, name), 'r')));
    return handle;
  };
  return {
    bytes: (name) =>
      fs.promises.stat(path.join(directory, name)).then(
        ({ size }) => size,
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'ENOENT') return undefined;
          throw error;
        },
      ),
    async read(name, offset, length) {
      const handle = await handleOf(name);
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        const { bytesRead } = await handle.read(bytes, at, length - at, offset + at);
        if (bytesRead === 0) throw new Error(`it ends at byte ${offset + at}`);
        at += bytesRead;
      }
      return bytes;
    },
    async close() {
      for (const handle of open.values()) await (await handle.catch(() => undefined))?.close();
    },
  };
}

/** `last`: the last id of the row group before; a trace that is too large for one goes on in the next. */
function disorderOf({ ids, firstRow }: TraceLines, last: Uint8Array): string | undefined {
  if (last.length > 0 && Buffer.compare(last, ids.subarray(0, 16)) > 0)
    return 'the ids of the traces do not ascend from row group to row group';
  for (let trace = 1; 16 * trace < ids.length; trace++) {
    if (Buffer.compare(ids.subarray(16 * trace - 16, 16 * trace), ids.subarray(16 * trace, 16 * trace + 16)) >= 0)
      return `the ids of the traces do not ascend at trace ${trace}`;
    if (firstRow[trace] <= firstRow[trace - 1]) return `trace ${trace - 1} has no spans`;
  }
  return undefined;
}

/** Of the earliest start and the latest end, in seconds with a fraction. */
export function secondsOf({ startLow, startHigh, endLow, endHigh }: TraceLines): { start: number; end: number } {
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  for (let trace = 0; trace < startLow.length; trace++) {
    start = Math.min(start, (startHigh[trace] * 4294967296 + startLow[trace]) / 1e9);
    end = Math.max(end, (endHigh[trace] * 4294967296 + endLow[trace]) / 1e9);
  }
  return { start, end };
}
