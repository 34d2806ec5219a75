/** Whatever a request carried comes back: from live columns, from a block, from both, and through other readers of Parquet. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import fc from '../property.ts';
import { canonical, decodeRequest, encodeRequest, type Request, shuffled } from '../../src/cut/otlp.fixture.ts';
import { openDuckdb, rowsByDuckdb, rowsByHyparquet, rowsOfSpans } from './foreign-readers.fixture.ts';
import { anyRequest, anyRequests, TRACE_IDS } from './otlp-arbitrary.fixture.ts';
import { blockOf, cut, liveOf, linesOf, merged, read, TestColumns, unflatten } from './segments.fixture.ts';

/** `VIVACE_PROPERTY_RUNS=5000 node --test tests/contract/round-trip.test.ts` looks longer. */
const RUNS = Number(process.env['VIVACE_PROPERTY_RUNS'] ?? 120);

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-round-trip-'));
after(() => fs.rmSync(folder, { recursive: true }));

test('the encoder and decoder of these tests agree, in every order of fields', () => {
  fc.assert(
    fc.property(anyRequest, fc.integer(), (request, seed) => {
      assert.deepEqual(decodeRequest(encodeRequest(request, canonical)), request);
      assert.deepEqual(decodeRequest(encodeRequest(request, shuffled(seed))), request);
    }),
    { numRuns: RUNS },
  );
});

test('any requests come back from live columns, from a block, and from both, and other programs read the block', async () => {
  const duckdb = await openDuckdb();
  await fc.assert(
    fc.asyncProperty(anyRequests, fc.option(fc.integer()), fc.nat(), async (requests, seed, split) => {
      const bodies = requests.map((request) => encodeRequest(request, seed === null ? canonical : shuffled(seed)));
      const all = columnsOf(bodies);
      const spans = merged(requests);
      await assertTraces([liveOf(all)], requests, 'live');
      if (spans.length === 0) return;
      const ref = await cut(all, folder);
      const block = await blockOf(ref);
      await assertTraces([block], requests, 'block');
      block.close();
      const file = path.join(ref.directory, 'data.parquet');
      const expected = rowsOfSpans(spans);
      assert.deepEqual((await rowsByHyparquet(file)).sort(), expected, 'hyparquet');
      assert.deepEqual((await rowsByDuckdb(duckdb, file)).sort(), expected, 'duckdb');
      fs.rmSync(ref.directory, { recursive: true });

      const cutRequests = bodies.slice(0, split % (bodies.length + 1));
      const older = columnsOf(cutRequests);
      const newer = columnsOf(bodies.slice(cutRequests.length));
      if (older.columns.rows.count === 0) return;
      const half = await cut(older, folder, 3);
      const opened = await blockOf(half);
      await assertTraces([opened, liveOf(newer)], requests, 'both');
      opened.close();
      fs.rmSync(half.directory, { recursive: true });
    }),
    { numRuns: RUNS },
  );
});

function columnsOf(bodies: Uint8Array[]): TestColumns {
  const columns = new TestColumns();
  for (const body of bodies) columns.append(body);
  return columns;
}

async function assertTraces(segments: Parameters<typeof read>[0], requests: Request[], what: string): Promise<void> {
  for (const traceId of TRACE_IDS) {
    const expected = merged(requests).filter(({ span }) => span.traceId === traceId);
    const found = await read(segments, traceId);
    if (expected.length === 0) assert.equal(found, undefined, what);
    else assert.deepEqual(linesOf(found!), linesOf(unflatten(expected)), `${what}: ${traceId}`);
  }
}
