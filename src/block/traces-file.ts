/**
 * The file `traces` of a block: one line a trace, so that finding a trace, checking its time and describing it in a search
 * result need no column of spans. Little-endian; see docs/formats/block.md.
 *
 * ```
 *  0         8        12     16          20        24          28
 *  ┌─────────┬────────┬──────┬───────────┬─────────┬───────────┬──────────────────┬─────────────────────────────┐
 *  │VIVTRC2\n│ traces │ rows │ body raw  │ body    │ crc-32 of │ ids, 16 bytes    │ body, zstd                  │
 *  │         │ T      │      │ bytes     │ bytes   │ all else  │ each, ascending  │                             │
 *  └─────────┴────────┴──────┴───────────┴─────────┴───────────┴──────────────────┴─────────────────────────────┘
 *  body: first row u32[T+1] · start low, high u32[T] each · end low, high u32[T] each · root service u32[T] · root name u32[T]
 *        · first stat u32[T+1] · stat service u32[S] · stat spans u32[S] · stat errors u32[S]
 *        · number of strings u32 · string ends u32[N] · strings
 * ```
 * Strings are numbered from 1; 0 = no root is here. Trace start and end are the earliest start and latest end of its spans.
 */
import { constants, crc32, zstdCompressSync } from 'node:zlib';
import { decompressZstd } from '../parquet/page-zstd.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { utf8 } from './any-value.ts';

const MAGIC = 'VIVTRC2\n';
/** The same with a checksum of the body alone. */
const MAGIC_BEFORE = 'VIVTRC1\n';
export const TRACES_HEAD_BYTES = 28;

/** What is known of the traces of a block. Arrays have one entry a trace unless said otherwise. */
export interface TraceLines {
  ids: Uint8Array;
  firstRow: Uint32Array;
  startLow: Uint32Array;
  startHigh: Uint32Array;
  endLow: Uint32Array;
  endHigh: Uint32Array;
  rootService: Numbers;
  rootName: Numbers;
  /** T + 1 entries into the stat arrays. */
  firstStat: Uint32Array;
  statService: Numbers;
  statSpans: Numbers;
  statErrors: Numbers;
  strings: string[];
}

/** Numbers below 2^32, mostly small ones. */
export type Numbers = Uint8Array | Uint16Array | Uint32Array;

/** Lines of these traces with nothing in them. */
export function emptyLines(ids: Uint8Array, firstRow: Uint32Array): TraceLines {
  const traces = firstRow.length - 1;
  return {
    ids,
    firstRow,
    startLow: new Uint32Array(traces),
    startHigh: new Uint32Array(traces),
    endLow: new Uint32Array(traces),
    endHigh: new Uint32Array(traces),
    rootService: new Uint32Array(traces),
    rootName: new Uint32Array(traces),
    firstStat: new Uint32Array(traces + 1),
    statService: new Uint32Array(0),
    statSpans: new Uint32Array(0),
    statErrors: new Uint32Array(0),
    strings: [],
  };
}

/** Adds texts to `strings`, each once, and says their numbers, from 1 on: 0 stands for none. */
export function numbering(strings: string[]): (text: string) => number {
  const numbers = new Map<string, number>();
  return (text) => {
    let found = numbers.get(text);
    if (found === undefined) {
      found = strings.push(text);
      numbers.set(text, found);
    }
    return found;
  };
}

export function writeTraces(lines: TraceLines): Uint8Array {
  const traces = lines.ids.length / 16;
  const texts = lines.strings.map((text) => Buffer.from(text));
  const ends = new Uint32Array(texts.length);
  let length = 0;
  for (let i = 0; i < texts.length; i++) ends[i] = length += texts[i].length;
  const parts: Numbers[] = [
    lines.firstRow,
    lines.startLow,
    lines.startHigh,
    lines.endLow,
    lines.endHigh,
    lines.rootService,
    lines.rootName,
    lines.firstStat,
    lines.statService,
    lines.statSpans,
    lines.statErrors,
    Uint32Array.of(texts.length),
    ends,
  ];
  const bodyBytes = Buffer.concat([
    ...parts.map((part) => {
      const words = part instanceof Uint32Array ? part : Uint32Array.from(part);
      return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    }),
    ...texts,
  ]);
  const body = zstdCompressSync(bodyBytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  const out = new Uint8Array(TRACES_HEAD_BYTES + lines.ids.length + body.length);
  out.set(Buffer.from(MAGIC));
  const view = new DataView(out.buffer);
  view.setUint32(8, traces, true);
  view.setUint32(12, lines.firstRow[traces], true);
  view.setUint32(16, bodyBytes.length, true);
  view.setUint32(20, body.length, true);
  out.set(lines.ids, TRACES_HEAD_BYTES);
  out.set(body, TRACES_HEAD_BYTES + lines.ids.length);
  view.setUint32(24, crcOf(out), true);
  return out;
}

/**
 * What is read stays long, so it takes no more memory than it needs: nothing refers to the file or to all of its body, and numbers
 * have as many bytes as the largest of them (530 KB instead of 1.2 MB of 5,700 traces).
 * Throws VivaceError 'internal' when the file is damaged.
 */
export function readTraces(file: Uint8Array): TraceLines {
  const { traces, rawBytes, ids, body } = checkedFile(file);
  const raw = decompressed(body, rawBytes);
  if (raw.length !== rawBytes) throw damaged('its length differs');
  const bytes = raw.byteOffset % 4 === 0 ? raw : new Uint8Array(raw);
  let at = bytes.byteOffset;
  const take = (count: number): Uint32Array => {
    const part = new Uint32Array(bytes.buffer, at, count);
    at += 4 * count;
    return part;
  };
  const firstRow = take(traces + 1);
  const startLow = take(traces);
  const startHigh = take(traces);
  const endLow = take(traces);
  const endHigh = take(traces);
  const rootService = take(traces);
  const rootName = take(traces);
  const firstStat = take(traces + 1);
  const stats = firstStat[traces];
  const statService = take(stats);
  const statSpans = take(stats);
  const statErrors = take(stats);
  const ends = take(take(1)[0]);
  const strings: string[] = [];
  let from = at - bytes.byteOffset;
  const base = from;
  for (const end of ends) {
    strings.push(utf8(bytes.subarray(from, base + end)));
    from = base + end;
  }
  return {
    ids: ids.slice(),
    firstRow: firstRow.slice(),
    startLow: startLow.slice(),
    startHigh: startHigh.slice(),
    endLow: endLow.slice(),
    endHigh: endHigh.slice(),
    rootService: narrow(rootService),
    rootName: narrow(rootName),
    firstStat: firstStat.slice(),
    statService: narrow(statService),
    statSpans: narrow(statSpans),
    statErrors: narrow(statErrors),
    strings,
  };
}

/** What the lines take in memory, bytes. */
export function bytesOfLines(lines: TraceLines): number {
  const { ids, firstRow, startLow, rootService, rootName, firstStat, statService, statSpans, statErrors } = lines;
  const arrays = [ids, firstRow, rootService, rootName, firstStat, statService, statSpans, statErrors];
  const texts = lines.strings.reduce((sum, text) => sum + 32 + text.length, 0);
  return arrays.reduce((sum, { byteLength }) => sum + byteLength, 4 * startLow.byteLength + texts);
}

/** A copy with as few bytes a number as hold the largest. */
function narrow(numbers: Uint32Array): Numbers {
  let all = 0;
  for (let i = 0; i < numbers.length; i++) all |= numbers[i];
  all >>>= 0;
  return all < 256 ? new Uint8Array(numbers) : all < 65536 ? new Uint16Array(numbers) : numbers.slice();
}

/** The ids alone, which ascend. Throws VivaceError 'internal' when the file is damaged. */
export function readTraceIds(file: Uint8Array): Uint8Array {
  const { ids } = checkedFile(file);
  // A copy: the rest need not stay.
  return ids.slice();
}

/** The parts of a file whose checksum is right. */
function checkedFile(file: Uint8Array): { traces: number; rawBytes: number; ids: Uint8Array; body: Uint8Array } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const magic = Buffer.from(file.subarray(0, 8)).toString('latin1');
  if (file.length < TRACES_HEAD_BYTES || (magic !== MAGIC && magic !== MAGIC_BEFORE))
    throw damaged('it does not begin as a traces file');
  const traces = view.getUint32(8, true);
  const bodyAt = TRACES_HEAD_BYTES + 16 * traces;
  const body = file.subarray(bodyAt, bodyAt + view.getUint32(20, true));
  const crc = magic === MAGIC ? crcOf(file) : crc32(body);
  if (body.length !== view.getUint32(20, true) || crc !== view.getUint32(24, true))
    throw damaged('its checksum differs');
  return { traces, rawBytes: view.getUint32(16, true), ids: file.subarray(TRACES_HEAD_BYTES, bodyAt), body };
}

/** The parts of a file, one a row group. Throws VivaceError 'internal' when it is damaged. */
export function tracesParts(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < file.length; ) {
    if (at + TRACES_HEAD_BYTES > file.length) throw damaged('it ends early');
    const end = at + TRACES_HEAD_BYTES + 16 * view.getUint32(at + 8, true) + view.getUint32(at + 20, true);
    parts.push(file.subarray(at, end));
    at = end;
  }
  return parts;
}

/** Of all but itself. */
function crcOf(file: Uint8Array): number {
  return crc32(file.subarray(TRACES_HEAD_BYTES), crc32(file.subarray(0, 24)));
}

/** The number of the trace with this id, or -1. */
export function findTrace(ids: Uint8Array, id: Uint8Array): number {
  let from = 0;
  let to = ids.length / 16;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const order = compareId(ids, 16 * middle, id);
    if (order === 0) return middle;
    if (order < 0) from = middle + 1;
    else to = middle;
  }
  return -1;
}

function compareId(ids: Uint8Array, at: number, id: Uint8Array): number {
  for (let i = 0; i < 16; i++) {
    const difference = ids[at + i] - id[i];
    if (difference !== 0) return difference;
  }
  return 0;
}

function decompressed(body: Uint8Array, rawBytes: number): Uint8Array {
  try {
    return decompressZstd(body, rawBytes);
  } catch (error) {
    throw damaged(messageOf(error));
  }
}

function damaged(reason: string): VivaceError {
  return new VivaceError('internal', `cannot read the traces file of a block: ${reason}`);
}
