/** The same spans in every form that a query may meet them in. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { OpenBlock } from '../../src/block/open.ts';
import type { Segment } from '../../src/block/segment.ts';
import { encodeRequest, type SpanSpec } from '../../src/query/segments.fixture.ts';
import { blockOf, cut, liveOf, TestColumns } from '../contract/segments.fixture.ts';
import { type Dataset, PLACES } from './arbitrary-spans.ts';

export const FORMS = ['live', 'block', 'blocks', 'mixture'] as const;
export type Form = (typeof FORMS)[number];

export interface Forms {
  segments: Record<Form, Segment[]>;
  close(): void;
}

/**
 * Live columns, one block, blocks that hold whole traces, and live columns beside blocks with traces in pieces. Segments come
 * newest first.
 */
export async function formsOf({ requests, places }: Dataset): Promise<Forms> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-oracle-'));
  const opened: OpenBlock[] = [];
  const block = async (spans: SpanSpec[][]): Promise<Segment> => {
    const one = await blockOf(await cut(columnsOf(spans), folder, 4));
    opened.push(one);
    return one;
  };
  const pieces = spread(requests, places);
  const [first, ...rest] = requests;
  const segments: Forms['segments'] = {
    live: [liveOf(columnsOf(requests))],
    block: [await block(requests)],
    blocks: newestFirst([await block([first]), ...(rest.length > 0 ? [await block(rest)] : [])]),
    mixture: [],
  };
  const [live, ...cuts] = pieces;
  if (live.some((spans) => spans.length > 0)) segments.mixture.push(liveOf(columnsOf(live)));
  const blocks: Segment[] = [];
  for (const spans of cuts) if (spans.some((each) => each.length > 0)) blocks.push(await block(spans));
  segments.mixture.push(...newestFirst(blocks));
  return {
    segments,
    close() {
      for (const one of opened) one.close();
      fs.rmSync(folder, { recursive: true });
    },
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
