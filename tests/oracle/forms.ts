/** The same spans in every form that a query may meet them in. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { LocalBlockRef } from '../../src/block/catalog.ts';
import { createBlockCaches, OpenBlock } from '../../src/block/open.ts';
import type { Segment } from '../../src/block/segment.ts';
import { mergeBlocks, type FolderMergeOptions } from '../../src/compact/merge-blocks.ts';
import { encodeRequest, type SpanSpec } from '../../src/query/segments.fixture.ts';
import { blockOf, cut, liveOf, TestColumns } from '../contract/segments.fixture.ts';
import { type Dataset, PLACES } from './arbitrary-spans.ts';

export const FORMS = ['live', 'block', 'blocks', 'lives', 'mixture', 'merged'] as const;
export type Form = (typeof FORMS)[number];

export interface Forms {
  segments: Record<Form, Segment[]>;
  close(): void;
}

/**
 * Live columns, one block, and blocks that hold whole traces; with traces in pieces, two live segments beside a block, one
 * beside two blocks, and one beside what these were merged to. Spans that were sent twice are in all of them. Segments come
 * newest first.
 */
export async function formsOf({ requests, places }: Dataset): Promise<Forms> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-oracle-'));
  const opened: { close(): void }[] = [];
  const refs: LocalBlockRef[] = [];
  const block = async (spans: SpanSpec[][]): Promise<Segment[]> => {
    if (spans.every((each) => each.length === 0)) return [];
    const ref = await cut(columnsOf(spans), folder, 4);
    refs.push(ref);
    const one = await blockOf(ref);
    opened.push(one);
    return [one];
  };
  const live = (spans: SpanSpec[][], id: number): Segment[] =>
    spans.every((each) => each.length === 0) ? [] : [liveOf(columnsOf(spans), id)];
  const again = requests.flat().filter((_, i) => places[i].length > 1);
  const whole = [...requests, again];
  const [newest, older, oldest] = spread(requests, places);
  const single = await block(whole);
  const blocks = [...(await block([requests[0], again])), ...(await block([...requests.slice(1), again]))];
  const olderBlock = await block(older);
  const oldestBlock = await block(oldest);
  const lastLive = live(newest, 1);
  const merged = async (): Promise<Segment[]> => {
    if (olderBlock.length + oldestBlock.length < 2) return [...olderBlock, ...oldestBlock];
    const { block } = await mergeBlocks(refs.slice(-2), mergeOptions(folder));
    const one = await OpenBlock.open(block, createBlockCaches(1 << 24));
    opened.push(one);
    return [...one.rowGroups];
  };
  return {
    segments: {
      live: live(whole, 1),
      block: single,
      blocks: newestFirst(blocks),
      lives: [...lastLive, ...live(older, 2), ...oldestBlock],
      mixture: [...lastLive, ...newestFirst([...olderBlock, ...oldestBlock])],
      merged: [...lastLive, ...(await merged())],
    },
    close() {
      for (const one of opened) one.close();
      fs.rmSync(folder, { recursive: true });
    },
  };
}

function mergeOptions(blocksDirectory: string): FolderMergeOptions {
  return {
    blocksDirectory,
    pageRows: 4,
    createdBy: 'vivace test',
    fsync: 'never',
    nowMs: Date.now(),
    bounds: { columnsMax: 512, rowsMax: 3, bytesMax: 1 << 20 },
    pause: async () => {},
    checkLock: async () => {},
  };
}

function columnsOf(requests: SpanSpec[][]): TestColumns {
  const columns = new TestColumns({ attributeBytesMax: 2048, traceBytesMax: 0 }, 16 * 1024 * 1024);
  for (const spans of requests) if (spans.length > 0) columns.append(encodeRequest(spans));
  return columns;
}

function spread(requests: SpanSpec[][], places: readonly number[][]): SpanSpec[][][] {
  let next = 0;
  const placed = requests.map((spans) => spans.map((span) => ({ span, places: places[next++] })));
  return Array.from({ length: PLACES }, (_, place) =>
    placed.map((spans) => spans.filter((each) => each.places.includes(place)).map(({ span }) => span)),
  );
}

function newestFirst(segments: Segment[]): Segment[] {
  return segments.sort((a, b) => b.endSeconds - a.endSeconds);
}
