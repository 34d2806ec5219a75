/**
 * A block in one file, which every reader of Parquet reads: its data.parquet, with its file `traces` put in before the footer, where
 * nothing refers to it (docs/formats/export.md).
 *
 * ```
 *  ┌──────────────────────────┬────────┬─────────────────┬──────────────────────────┬──────────┬────────┬────────┬────────┐
 *  │ data.parquet up to there │ traces │ its length, u64 │ CRC-32 of what follows   │ VIVEXPT1 │ footer │ length │ "PAR1" │
 *  │                          │        │                 │ VIVEXPT1, u32            │          │        │        │        │
 *  └──────────────────────────┴────────┴─────────────────┴──────────────────────────┴──────────┴────────┴────────┴────────┘
 * ```
 * Without what was put in, both files are again those of a block, byte by byte, with all of their checksums.
 */
import type fs from 'node:fs';
import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { BlockCatalog, type BlockRef, blockRef } from '../block/catalog.ts';
import type { BlockMeta } from '../block/meta.ts';
import { rebuiltMeta } from '../block/meta-rebuilt.ts';
import { DATA_FILE, TRACES_FILE } from '../block/objects.ts';
import { createBlockCaches, OpenBlock } from '../block/open.ts';
import type { BlockFacts, BlockSink } from '../block/sink.ts';
import { fetchingSource, type RemoteSource } from '../block/source.ts';
import { readTraceIds, tracesParts } from '../block/traces-file.ts';
import type { BlockFiles } from '../block/verify.ts';
import { byCut, MERGE_CACHE_BYTES, mergeInto } from '../compact/merge.ts';
import { footerLength, TAIL_BYTES } from '../parquet/footer.ts';
import { VivaceError } from '../runtime/errors.ts';
import { BOUNDS } from './merging.ts';
import { readAt } from './otlp-file.ts';

const MAGIC = 'VIVEXPT1';
const MARK_BYTES = 20;

/** Writes those traces of the blocks, of which at least one holds one of them; `remote` opens those in a bucket. */
export async function writeExportedBlock(
  file: fs.promises.FileHandle,
  refs: readonly BlockRef[],
  wanted: ReadonlySet<string>,
  createdBy: string,
  remote: RemoteSource | undefined,
): Promise<{ traces: number; spans: number; bytes: number }> {
  const caches = { ...createBlockCaches(MERGE_CACHE_BYTES), remote };
  const opened: OpenBlock[] = [];
  const parts: Uint8Array[] = [];
  let facts: BlockFacts;
  try {
    for (const ref of byCut(refs)) opened.push(await OpenBlock.open(ref, caches));
    const sink: BlockSink = {
      data: (bytes) => file.writeFile(bytes),
      traces: async (bytes) => void parts.push(bytes),
    };
    facts = await mergeInto(sink, opened, {
      pageRows: refs[0].meta.vivace.pageRows,
      createdBy,
      bounds: BOUNDS,
      drops: (ids, at) => !wanted.has(Buffer.from(ids.buffer, ids.byteOffset + at, 16).toString('hex')),
      pause: () => setImmediate(),
    });
  } finally {
    for (const block of opened) block.close();
  }
  const { dataBytes, footerBytes, footerCrc, tracesBytes, traces, spans } = facts;
  const footerAt = dataBytes - footerBytes - TAIL_BYTES;
  const footer = await readAt(file, footerAt, footerBytes + TAIL_BYTES, dataBytes);
  const mark = Buffer.alloc(MARK_BYTES);
  mark.writeBigUInt64LE(BigInt(tracesBytes));
  mark.writeUInt32LE(footerCrc, 8);
  mark.write(MAGIC, 12, 'latin1');
  const tail = Buffer.concat([...parts, mark, footer]);
  for (let at = 0; at < tail.length; ) at += (await file.write(tail, at, tail.length - at, footerAt + at)).bytesWritten;
  return { traces, spans, bytes: dataBytes + tracesBytes + MARK_BYTES };
}

export interface ExportedBlock {
  meta: BlockMeta;
  /** Has both files written. */
  copy(sink: BlockSink): Promise<BlockFacts>;
  /** Hexadecimal, ascending. */
  traceIds(): Promise<string[]>;
  /** For queries over it as over a bucket with this one block. */
  catalog: BlockCatalog;
  remote: RemoteSource;
}

const COPY_BYTES = 4 * 1024 * 1024;

/** The block under a new id, with every byte of it checked. Throws VivaceError. */
export async function openExportedBlock(
  file: fs.promises.FileHandle,
  tenant: string,
  nowMs: number,
): Promise<ExportedBlock> {
  const { files, footerCrc } = await partsOf(file);
  const meta = await rebuiltMeta(tenant, randomUUID(), files, nowMs, () => setImmediate());
  if (typeof meta === 'string') throw new VivaceError('undecodable', meta);
  const { tracesBytes } = meta.vivace;
  if (meta.vivace.footerCrc !== footerCrc) throw new VivaceError('undecodable', 'the checksum of its footer differs');
  const catalog = new BlockCatalog('');
  catalog.changeRemote(tenant, [meta], []);
  const read = (name: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> =>
    files.read(name, offset, length) as Promise<Uint8Array<ArrayBuffer>>;
  return {
    meta,
    async copy(sink) {
      for (let at = 0; at < meta.size; at += COPY_BYTES)
        await sink.data(await read(DATA_FILE, at, Math.min(COPY_BYTES, meta.size - at)));
      await sink.traces(await read(TRACES_FILE, 0, tracesBytes));
      const { startSeconds, endSeconds } = blockRef(meta, tenant, undefined);
      return {
        dataBytes: meta.size,
        footerBytes: meta.footerSize,
        footerCrc: meta.vivace.footerCrc!,
        tracesBytes,
        rowGroups: meta.totalRecords,
        traces: meta.totalObjects,
        spans: meta.vivace.spans,
        startSeconds,
        endSeconds,
      };
    },
    async traceIds() {
      const ids = new Set<string>();
      for (const part of tracesParts(await read(TRACES_FILE, 0, tracesBytes))) {
        const all = Buffer.from(readTraceIds(part));
        for (let at = 0; at < all.length; at += 16) ids.add(all.toString('hex', at, at + 16));
      }
      return [...ids];
    },
    catalog,
    remote: (ref) => fetchingSource(ref, (name, { offset, length }) => read(name, offset, length)),
  };
}

/** The two files that are in it. */
async function partsOf(file: fs.promises.FileHandle): Promise<{ files: BlockFiles; footerCrc: number }> {
  const { size } = await file.stat();
  const footerBytes = footerLength(await readAt(file, size - TAIL_BYTES, TAIL_BYTES, size));
  const footerAt = size - TAIL_BYTES - footerBytes;
  const mark = Buffer.from(await readAt(file, footerAt - MARK_BYTES, MARK_BYTES, size));
  if (mark.toString('latin1', 12) !== MAGIC)
    throw new VivaceError(
      'unsupported',
      'it is Parquet, and not as export writes it; a file that another program wrote anew cannot be imported',
    );
  const tracesBytes = Number(mark.readBigUInt64LE());
  const tracesAt = footerAt - MARK_BYTES - tracesBytes;
  if (tracesAt < 0) throw new VivaceError('undecodable', 'the length of its list of traces is broken');
  const dataBytes = size - tracesBytes - MARK_BYTES;
  const files: BlockFiles = {
    bytes: async (name) => (name === DATA_FILE ? dataBytes : tracesBytes),
    async read(name, offset, length) {
      if (name === TRACES_FILE) return readAt(file, tracesAt + offset, length, tracesAt + tracesBytes);
      const before = Math.max(0, Math.min(length, tracesAt - offset));
      const parts = [await readAt(file, offset, before, size)];
      if (before < length)
        parts.push(await readAt(file, offset + before + tracesBytes + MARK_BYTES, length - before, size));
      return parts.length === 1 ? parts[0] : new Uint8Array(Buffer.concat(parts));
    },
    close: async () => {},
  };
  return { files, footerCrc: mark.readUInt32LE(8) };
}
