/**
 * Reads back the segments that a process left behind. A file that ends inside a record was torn by the crash: nothing in
 * the tail was acknowledged, and it is dropped. Damage in the middle (a checksum that differs, a length that cannot be, or one
 * that only seems to reach beyond the end) is reported, and the next intact record is searched for: first where the damaged
 * one says that it ends, then byte by byte. Nothing here is fatal.
 */
import fs from 'node:fs';
import path from 'node:path';
import { SEGMENT_MAGIC } from './local-log.ts';
import {
  type LogRecord,
  parseRecord,
  RECORD_BYTES_MAX,
  RECORD_CUT,
  RECORD_HEAD_BYTES,
  RECORD_SPANS,
} from './record.ts';
import { BLOCK_BYTES } from './segment-file.ts';

export interface ReplayReport {
  segments: number;
  records: number;
  /** One line a damaged place: file, offset, reason. */
  damage: string[];
}

/** Hands every intact record of `directory`, in order, to `each`; waits for it, so that memory stays bounded. */
export async function replayLog(
  directory: string,
  each: (record: LogRecord) => void | Promise<void>,
): Promise<ReplayReport> {
  const report: ReplayReport = { segments: 0, records: 0, damage: [] };
  const names = (await fs.promises.readdir(directory)).filter((name) => /^\d{8,}\.log$/.test(name)).sort();
  for (const name of names) {
    report.segments++;
    await replaySegment(path.join(directory, name), each, report);
  }
  return report;
}

/** Hands every intact record of one commit to `each`, in order; returns a line for each damaged place. */
export async function replayCommit(
  bytes: Uint8Array,
  each: (record: LogRecord) => void | Promise<void>,
): Promise<string[]> {
  const damage: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const parsed = parseRecord(bytes, at);
    if (parsed.kind === 'record') await each(parsed.record);
    else damage.push(`offset ${at}: ${parsed.kind === 'torn' ? 'its length reaches beyond the end' : parsed.reason}`);
    if (parsed.kind === 'torn' || parsed.end < 0) break;
    at = parsed.end;
  }
  return damage;
}

/** Segments are read in windows, so that a long one does not have to fit in memory. */
const WINDOW_BYTES = 4 * 1024 * 1024;

async function replaySegment(
  file: string,
  each: (record: LogRecord) => void | Promise<void>,
  report: ReplayReport,
): Promise<void> {
  const handle = await fs.promises.open(file, 'r');
  try {
    const size = (await handle.stat()).size;
    let window = await readAt(handle, 0, Math.min(size, WINDOW_BYTES));
    let base = 0;
    let at = SEGMENT_MAGIC.length;
    if (window.length < SEGMENT_MAGIC.length || !SEGMENT_MAGIC.every((byte, index) => window[index] === byte)) {
      if (window.length > 0) report.damage.push(`${file}: offset 0: not a log segment`);
      return;
    }
    while (base + at < size) {
      const padding = paddingAt(window, at, base);
      if (padding > 0) {
        at += padding;
        continue;
      }
      const parsed = parseRecord(window, at);
      if (parsed.kind === 'record') {
        report.records++;
        await each(parsed.record);
        at = parsed.end;
        continue;
      }
      if (parsed.kind === 'torn' && base + window.length < size) {
        const wanted = window.length - at >= WINDOW_BYTES ? 2 * (window.length - at) : WINDOW_BYTES;
        base += at;
        at = 0;
        window = await readAt(handle, base, Math.min(size - base, wanted));
        continue;
      }
      const offset = base + at;
      const claimedEnd = parsed.kind === 'corrupt' && parsed.end > 0 ? base + parsed.end : -1;
      const next = await nextRecord(handle, offset + 1, claimedEnd, size);
      if (parsed.kind === 'torn' && next < 0) {
        report.damage.push(`${file}: offset ${offset}: torn tail of ${size - offset} bytes dropped`);
        return;
      }
      const reason = parsed.kind === 'torn' ? 'its length reaches beyond the end of the file' : parsed.reason;
      report.damage.push(`${file}: offset ${offset}: record skipped: ${reason}`);
      if (next < 0) return;
      base = next;
      at = 0;
      window = await readAt(handle, base, Math.min(size - base, WINDOW_BYTES));
    }
  } finally {
    await handle.close();
  }
}

/** How many zeros stand from `at` to the end of its block, or to the end of the file in it; 0 when not all of them are zeros. */
function paddingAt(window: Uint8Array, at: number, base: number): number {
  const rest = -(base + at) & (BLOCK_BYTES - 1);
  const end = Math.min(window.length, at + rest);
  for (let index = at; index < end; index++) if (window[index] !== 0) return 0;
  return end - at;
}

/** What looks like a record is read and checked up to this many times the bytes of the file, so that no content makes it long. */
const CHECKED_TIMES_MAX = 8;

/** The file offset of the next intact record: at `claimedEnd`, or else the first from `from` on; -1 when there is none. */
async function nextRecord(
  handle: fs.promises.FileHandle,
  from: number,
  claimedEnd: number,
  size: number,
): Promise<number> {
  if (claimedEnd === size) return size;
  if (claimedEnd > 0 && (await isRecord(handle, claimedEnd, size))) return claimedEnd;
  let checkedBytes = 0;
  for (let base = from; base + RECORD_HEAD_BYTES <= size; ) {
    const window = await readAt(handle, base, Math.min(size - base, WINDOW_BYTES));
    const heads = window.length - RECORD_HEAD_BYTES + 1;
    if (heads <= 0) return -1;
    const view = new DataView(window.buffer, window.byteOffset, window.byteLength);
    for (let at = 0; at < heads; at++) {
      if (!looksLikeHead(window, view, at, size - base)) continue;
      checkedBytes += view.getUint32(at, true);
      if (checkedBytes > CHECKED_TIMES_MAX * size) return -1;
      if (await isRecord(handle, base + at, size)) return base + at;
    }
    base += heads;
  }
  return -1;
}

/** A cheap test before anything is read: type, the two zeros, a length that fits and a whole sequence number. */
function looksLikeHead(window: Uint8Array, view: DataView, at: number, rest: number): boolean {
  if (window[at + 18] !== 0 || window[at + 19] !== 0) return false;
  if (window[at + 16] !== RECORD_SPANS && window[at + 16] !== RECORD_CUT) return false;
  const length = view.getUint32(at, true);
  if (length < RECORD_HEAD_BYTES - 8 || length > RECORD_BYTES_MAX || at + 8 + length > rest) return false;
  const sequence = view.getFloat64(at + 8, true);
  return Number.isSafeInteger(sequence) && sequence > 0;
}

async function isRecord(handle: fs.promises.FileHandle, offset: number, size: number): Promise<boolean> {
  const head = await readAt(handle, offset, Math.min(RECORD_HEAD_BYTES, size - offset));
  if (head.length < RECORD_HEAD_BYTES) return false;
  const length = new DataView(head.buffer, head.byteOffset).getUint32(0, true);
  if (length > RECORD_BYTES_MAX || offset + 8 + length > size) return false;
  return parseRecord(await readAt(handle, offset, 8 + length), 0).kind === 'record';
}

async function readAt(handle: fs.promises.FileHandle, position: number, length: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
