/** Requests of sizes that nobody plans for: taken, cut and read back like any other. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { ATTRIBUTE_COLUMNS_MAX, COLUMNS_KEY, type ColumnUse } from '../../src/block/schema.ts';
import { type Attribute, encodeRequest, mulberry32, type Request, requestOf } from '../../src/cut/otlp.fixture.ts';
import { openDuckdb } from './foreign-readers.fixture.ts';
import { blockOf, cut, double, int, linesOf, liveOf, read, str, TestColumns } from './segments.fixture.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-extremes-'));
after(() => fs.rmSync(folder, { recursive: true }));

const spanId = (n: number): string => (n + 1).toString(16).padStart(16, '0');

/** Appends, cuts and compares; returns where data.parquet is. */
async function comesBack(request: Request): Promise<string> {
  const columns = new TestColumns();
  columns.append(encodeRequest(request));
  const expected = linesOf(request);
  // Arrays of long texts are compared by equality first, for a difference of megabytes is no help to anybody.
  const assertSame = (found: string[], what: string): void => {
    assert.equal(found.length, expected.length, what);
    for (let i = 0; i < found.length; i++)
      if (found[i] !== expected[i])
        assert.fail(`${what}: span ${i} differs: ${found[i].slice(0, 500)} … instead of ${expected[i].slice(0, 500)}`);
  };
  assertSame(linesOf((await read([liveOf(columns)], TRACE))!), 'live');
  const ref = await cut(columns, folder, 8192);
  const block = await blockOf(ref);
  assertSame(linesOf((await read([block], TRACE))!), 'block');
  block.close();
  return path.join(ref.directory, 'data.parquet');
}

async function usesOf(file: string): Promise<ColumnUse[]> {
  const duckdb = await openDuckdb();
  const rows = (
    await duckdb.runAndReadAll(`SELECT value FROM parquet_kv_metadata('${file}') WHERE key::VARCHAR = '${COLUMNS_KEY}'`)
  ).getRows();
  return JSON.parse(Buffer.from((rows[0][0] as { bytes: Uint8Array }).bytes).toString('utf8')) as ColumnUse[];
}

test('50,000 attribute names in one batch: 512 have columns, the others come back through `more`', async () => {
  const attributes = (of: string, from: number, count: number): Attribute[] =>
    Array.from({ length: count }, (_, i) => ({
      key: `${of}.${from + i}`,
      value:
        i % 3 === 0
          ? int(from + i)
          : i % 3 === 1
            ? str(`value ${from + i}`)
            : { type: 'array', values: [double(i / 3)] },
    }));
  const common: Attribute = { key: 'common', value: str('everywhere') };
  const request = requestOf(
    ...Array.from({ length: 100 }, (_, i) => ({
      traceId: TRACE,
      spanId: spanId(i),
      attributes: [...attributes('name', 500 * i, 500), common],
      events: [{ time: BigInt(i), name: 'e', attributes: attributes('event', 10 * i, 10), dropped: 0 }],
      links: [
        {
          traceId: TRACE,
          spanId: spanId(i),
          traceState: '',
          attributes: attributes('link', 7 * i, 7),
          dropped: 0,
          flags: 0,
        },
      ],
    })),
  );
  const file = await comesBack(request);
  const uses = await usesOf(file);
  for (const space of ['span', 'event', 'link'])
    assert.equal(uses.filter((use) => use.s === space && use.f !== true).length, ATTRIBUTE_COLUMNS_MAX, space);
  assert.ok(
    uses.some((use) => use.s === 'span' && use.k === 'common'),
    'what most spans have keeps its column',
  );
  assert.equal(uses.filter((use) => use.k === 'more').length, 3);
});

test('100,000 spans in one trace', async () => {
  const random = mulberry32(7);
  const request = requestOf(
    ...Array.from({ length: 100_000 }, (_, i) => ({
      traceId: TRACE,
      spanId: spanId(i),
      // Chains, wide fans and parents that come later.
      parentId: i === 0 ? '' : spanId(i % 3 === 0 ? i - 1 : Math.floor(random() * 100_000)),
      name: `operation ${i % 40}`,
      start: 1_700_000_000_000_000_000n + BigInt(Math.floor(random() * 1e9)),
      end: 1_700_000_002_000_000_000n,
      attributes: [{ key: 'i', value: int(i) }],
    })),
  );
  await comesBack(request);
});

test('a chain of 50,000 spans, the last one first', async () => {
  await comesBack(
    requestOf(
      ...Array.from({ length: 50_000 }, (_, i) => ({
        traceId: TRACE,
        spanId: spanId(50_000 - i),
        parentId: i === 49_999 ? '' : spanId(49_999 - i),
      })),
    ),
  );
});

test('several megabytes of attributes on one span', async () => {
  const random = mulberry32(3);
  const noise = (length: number): string =>
    Buffer.from(Array.from({ length }, () => 32 + Math.floor(random() * 95))).toString('latin1');
  await comesBack(
    requestOf(
      {
        traceId: TRACE,
        spanId: spanId(0),
        attributes: [
          { key: 'long', value: str(noise(3_000_000)) },
          { key: 'even', value: str('é'.repeat(1_000_000)) },
        ],
      },
      {
        traceId: TRACE,
        spanId: spanId(1),
        attributes: Array.from({ length: 3000 }, (_, i) => ({ key: `key.${i}`, value: str(noise(1000)) })),
      },
      {
        traceId: TRACE,
        spanId: spanId(2),
        attributes: [
          { key: 'long', value: { type: 'bytes', hex: Buffer.from(noise(2_000_000), 'latin1').toString('hex') } },
        ],
      },
    ),
  );
});

test('one attribute with every type: a column each, and the values of one span in `more`', async () => {
  const values = [
    str('text'),
    int(5),
    double(2.5),
    { type: 'bool' as const, value: true },
    { type: 'array' as const, values: [int(1)] },
  ];
  const file = await comesBack(
    requestOf(
      ...values.map((value, i) => ({ traceId: TRACE, spanId: spanId(i), attributes: [{ key: 'mixed', value }] })),
      {
        traceId: TRACE,
        spanId: spanId(9),
        attributes: [...values, ...values].map((value) => ({ key: 'mixed', value })),
      },
    ),
  );
  const types = (await usesOf(file)).filter((use) => use.s === 'span' && use.k === 'mixed').map((use) => use.t);
  assert.deepEqual(types.sort(), ['bool', 'double', 'int', 'int[]', 'string']);
  const duckdb = await openDuckdb();
  const names = (
    await duckdb.runAndReadAll(
      `SELECT column_name FROM (DESCRIBE SELECT * FROM read_parquet('${file}')) WHERE column_name LIKE 'span.mixed%' ORDER BY 1`,
    )
  ).getRows();
  assert.deepEqual(names.flat(), [
    'span.mixed',
    'span.mixed:bool',
    'span.mixed:double',
    'span.mixed:int',
    'span.mixed[]',
  ]);
});

test('a span with 10,000 events and links', async () => {
  await comesBack(
    requestOf(
      {
        traceId: TRACE,
        spanId: spanId(0),
        events: Array.from({ length: 10_000 }, (_, i) => ({
          time: BigInt(i),
          name: `e${i % 7}`,
          attributes: [{ key: 'i', value: int(i) }],
          dropped: i,
        })),
        links: Array.from({ length: 10_000 }, (_, i) => ({
          traceId: TRACE,
          spanId: spanId(i),
          traceState: `s=${i % 5}`,
          attributes: i % 2 ? [{ key: 'i', value: int(i) }] : [],
          dropped: 0,
          flags: i,
        })),
      },
      { traceId: TRACE, spanId: spanId(1) },
    ),
  );
});
