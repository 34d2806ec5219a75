/**
 * Where the bytes of a block come from. Decoding reads without waiting, page after page; so what it will want is fetched
 * before, and a source only hands out what was fetched. Files are read when they are wanted: fetching costs nothing there.
 */
import fs from 'node:fs';
import path from 'node:path';
import { VivaceError } from '../runtime/errors.ts';
import type { BlockRef } from './catalog.ts';
import { DATA_FILE, TRACES_FILE } from './objects.ts';

export interface ByteRange {
  offset: number;
  length: number;
}

/** Bytes of data.parquet, in the front of `into` when that is given; only what was fetched. */
export type ReadBytes = (offset: number, length: number, into?: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;

export interface BlockSource {
  /** Resolves when these ranges of data.parquet can be read. They may overlap. */
  fetch(ranges: ByteRange[]): Promise<ReadBytes>;
  /** Fetches these ranges together and keeps them for later fetches, until `forget`; absent where fetching costs nothing. */
  prepare?(ranges: ByteRange[]): Promise<void>;
  forget?(): void;
  /** These ranges, or this one of the file `traces`, will probably be fetched soon. */
  warm?(ranges: ByteRange[]): void;
  warmTraces?(range: ByteRange): void;
  /** These bytes of the file `traces`. */
  traces(range: ByteRange): Promise<Uint8Array>;
  /** Nothing is fetched afterwards. */
  close(): void;
}

/** Opens blocks that are not in a folder. */
export type RemoteSource = (ref: BlockRef) => BlockSource;

/** The block's folder; where there is none (any more), the bucket. Throws VivaceError 'not-found' without either. */
export function openSource(ref: BlockRef, remote: RemoteSource | undefined): BlockSource {
  if (ref.directory !== undefined) {
    try {
      return folderSource(ref, ref.directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  if (remote !== undefined) return remote(ref);
  throw new VivaceError('not-found', `cannot open block ${ref.id} of tenant ${ref.tenant}: it has gone`);
}

function folderSource(ref: BlockRef, directory: string): BlockSource {
  const file = fs.openSync(path.join(directory, DATA_FILE), 'r');
  let closed = false;
  return {
    fetch: async () => (offset, length, into) => {
      const bytes = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
      readWhole(ref, file, DATA_FILE, offset, bytes);
      return bytes;
    },
    async traces({ offset, length }) {
      const bytes = new Uint8Array(length);
      try {
        const traces = fs.openSync(path.join(directory, TRACES_FILE), 'r');
        try {
          readWhole(ref, traces, TRACES_FILE, offset, bytes);
        } finally {
          fs.closeSync(traces);
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        throw new VivaceError('not-found', `cannot read block ${ref.id} of tenant ${ref.tenant}: it has gone`);
      }
      return bytes;
    },
    close() {
      if (!closed) fs.closeSync(file);
      closed = true;
    },
  };
}

function readWhole({ id, tenant }: BlockRef, file: number, name: string, offset: number, into: Uint8Array): void {
  const read = fs.readSync(file, into, 0, into.length, offset);
  if (read === into.length) return;
  throw new VivaceError(
    'internal',
    `cannot read block ${id} of tenant ${tenant}: ${name} ends at byte ${offset + read}`,
  );
}

/** Ranges closer than this are fetched as one: a request takes as long as so many bytes. */
export const GAP_BYTES_MAX = 128 * 1024;
/** Longer fetches are cut, and the pieces fetched side by side. */
export const PIECE_BYTES_MAX = 4 * 1024 * 1024;

/** What is prepared comes in so many pieces, unless more than so many bytes had to be fetched in vain for it. */
export const PREPARED_PIECES_MAX = 4;
export const WASTED_BYTES_MAX = 6 * 1024 * 1024;

/** A source over something that can only be asked and waited for; `get` returns exactly the bytes of a file of `size`. */
export function fetchingSource(
  ref: BlockRef,
  get: (name: string, range: ByteRange, size: number) => Promise<Uint8Array<ArrayBuffer>>,
  warm: (name: string, range: ByteRange, size: number) => void = () => {},
): BlockSource {
  const { size } = ref.meta;
  const { tracesBytes } = ref.meta.vivace;
  const fetch = async (pieces: ByteRange[]): Promise<Fetched> => ({
    pieces,
    bytes: await Promise.all(pieces.map((piece) => get(DATA_FILE, piece, size))),
  });
  const reader =
    ({ pieces, bytes }: Fetched): ReadBytes =>
    (offset, length, into) => {
      const out = into === undefined ? new Uint8Array(length) : into.subarray(0, length);
      for (let done = 0; done < length; ) {
        const index = pieces.findLastIndex((piece) => piece.offset <= offset + done);
        const from = index < 0 ? 0 : offset + done - pieces[index].offset;
        if (index < 0 || from >= pieces[index].length)
          throw new Error(`byte ${offset + done} of block ${ref.id} was not fetched`);
        const part = bytes[index].subarray(from, from + length - done);
        out.set(part, done);
        done += part.length;
      }
      return out;
    };
  let prepared: Fetched | undefined;
  return {
    async fetch(ranges) {
      if (prepared !== undefined && holds(prepared.pieces, ranges)) return reader(prepared);
      return reader(await fetch(coalesce(ranges)));
    },
    async prepare(ranges) {
      if (prepared === undefined || !holds(prepared.pieces, ranges)) prepared = await fetch(fewer(coalesce(ranges)));
    },
    forget() {
      prepared = undefined;
    },
    warm(ranges) {
      for (const piece of coalesce(ranges)) warm(DATA_FILE, piece, size);
    },
    warmTraces: (range) => warm(TRACES_FILE, range, tracesBytes),
    traces: (range) => get(TRACES_FILE, range, tracesBytes),
    close() {},
  };
}

interface Fetched {
  /** Ascending and apart, or neighbours. */
  pieces: ByteRange[];
  bytes: Uint8Array<ArrayBuffer>[];
}

/** Whether every byte of the ranges is in the pieces. */
function holds(pieces: ByteRange[], ranges: ByteRange[]): boolean {
  return ranges.every(({ offset, length }) => {
    let at = offset;
    for (const piece of pieces)
      if (piece.offset <= at && at < piece.offset + piece.length) at = piece.offset + piece.length;
    return at >= offset + length;
  });
}

/** Joins the nearest of ascending pieces until there are few, or joining them would fetch too much that nobody wants. */
export function fewer(pieces: ByteRange[]): ByteRange[] {
  const joined = pieces.map((piece) => ({ ...piece }));
  for (let wasted = 0; joined.length > PREPARED_PIECES_MAX; ) {
    const gapAt = (i: number): number => joined[i + 1].offset - (joined[i].offset + joined[i].length);
    let best = 0;
    for (let i = 1; i < joined.length - 1; i++) if (gapAt(i) < gapAt(best)) best = i;
    wasted += gapAt(best);
    if (wasted > WASTED_BYTES_MAX) break;
    const [after] = joined.splice(best + 1, 1);
    joined[best].length = after.offset + after.length - joined[best].offset;
  }
  return joined;
}

/** Fewer, larger ranges that hold all of the given ones, ascending and apart; long ones cut into pieces. */
export function coalesce(ranges: ByteRange[]): ByteRange[] {
  const joined: ByteRange[] = [];
  for (const { offset, length } of [...ranges].sort((a, b) => a.offset - b.offset)) {
    const last = joined.at(-1);
    if (last !== undefined && offset - (last.offset + last.length) <= GAP_BYTES_MAX)
      last.length = Math.max(last.length, offset + length - last.offset);
    else if (length > 0) joined.push({ offset, length });
  }
  return joined.flatMap(({ offset, length }) =>
    Array.from({ length: Math.ceil(length / PIECE_BYTES_MAX) }, (_, i) => ({
      offset: offset + i * PIECE_BYTES_MAX,
      length: Math.min(PIECE_BYTES_MAX, length - i * PIECE_BYTES_MAX),
    })),
  );
}
