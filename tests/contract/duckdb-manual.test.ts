/** The queries of docs/manual/duckdb.md, as they stand there, over two blocks. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { DuckDBConnection } from '@duckdb/node-api';
import { encodeRequest, type Request, requestOf, type Span } from '../../src/cut/otlp.fixture.ts';
import { openDuckdb } from './foreign-readers.fixture.ts';
import { cut, int, str, TestColumns } from './segments.fixture.ts';

const page = fs.readFileSync(path.join(import.meta.dirname, '../../docs/manual/duckdb.md'), 'utf8');
const sqls = [...page.matchAll(/```sql\n(.*?)```/gs)].map(([, sql]) => sql);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-duckdb-'));
after(() => fs.rmSync(folder, { recursive: true }));

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const START = 1_700_000_000_000_000_000n;
let duckdb: DuckDBConnection;

before(async () => {
  // The shop's trace lies in both blocks, one span even twice.
  await write(
    service(
      'shop',
      span(TRACE, 1, { name: 'GET /checkout', kind: 2, attributes: [route('/checkout')] }, 0, 900),
      span(TRACE, 3, { name: 'charge', parentId: id(1), attributes: [tags('retry', 'cold')] }, 200, 600),
    ),
    service(
      'payment',
      span(
        TRACE,
        4,
        {
          name: 'POST /charge',
          kind: 2,
          parentId: id(3),
          status: 2,
          statusMessage: 'declined',
          attributes: [route('/charge')],
        },
        210,
        500,
      ),
    ),
    service(
      'shop',
      ...Array.from({ length: 99 }, (_, i) =>
        span(other(i), 100 + i, { name: 'GET /', kind: 2, attributes: [route('/')] }, i, 10 + i),
      ),
    ),
  );
  await write(
    service(
      'shop',
      span(TRACE, 2, { name: 'cart', parentId: id(1), attributes: [{ key: 'items', value: int(3) }, tags()] }, 100, 50),
      span(TRACE, 3, { name: 'charge', parentId: id(1) }, 200, 600),
    ),
    service(
      'worker',
      span(TRACE, 7, { name: 'late', parentId: id(9), status: 2, statusMessage: 'timeout' }, 1000, 5),
      span(other(200), 300, { status: 2, statusMessage: 'timeout', attributes: [tags('retry')] }, 0, 1),
      span(other(201), 301, { status: 2, statusMessage: 'refused' }, 0, 1),
      span(other(202), 302, {}, 0, 1),
    ),
  );
  duckdb = await openDuckdb();
  await duckdb.run(sqls[0].replace("'*/data.parquet'", `'${folder}/test/*/data.parquet'`));
});

test('the page has a view and four queries', () => {
  assert.equal(sqls.length, 5);
  assert.ok(sqls[0].includes("'*/data.parquet'"));
});

test('the slowest routes', async () => {
  const rows = await run(sqls[1]);
  assert.deepEqual(rows, [
    { route: '/checkout', spans: 1n, p99_ms: 900 },
    { route: '/charge', spans: 1n, p99_ms: 500 },
    // 99 % of the way from 10 to 108
    { route: '/', spans: 99n, p99_ms: 107 },
  ]);
});

test('errors by service', async () => {
  assert.deepEqual(await run(sqls[2]), [
    { service: 'worker', errors: 3n, percent: 75, most_often: 'timeout' },
    { service: 'payment', errors: 1n, percent: 100, most_often: 'declined' },
  ]);
});

test('what is in an array', async () => {
  assert.deepEqual(await run(sqls[3]), [
    { tag: 'retry', spans: 2n, traces: 2n },
    { tag: 'cold', spans: 1n, traces: 1n },
  ]);
});

test('a trace as a tree', async () => {
  assert.deepEqual(await run(sqls[4]), [
    { span: 'GET /checkout', service: 'shop', ms: 900 },
    { span: '  cart', service: 'shop', ms: 50 },
    { span: '  charge', service: 'shop', ms: 600 },
    { span: '    POST /charge', service: 'payment', ms: 500 },
    { span: 'late', service: 'worker', ms: 5 },
  ]);
});

test('what the page says of columns', async () => {
  const types = new Map((await run('DESCRIBE spans')).map((row) => [row['column_name'], row['column_type']]));
  for (const [name, type] of [
    ['trace_id', 'BLOB'],
    ['start_time', 'TIMESTAMP_NS'],
    ['duration', 'BIGINT'],
    ['span.http.route', 'VARCHAR'],
    ['span.items', 'BIGINT'],
    ['span.tags[]', 'VARCHAR[]'],
  ])
    assert.equal(types.get(name), type, name);
  fs.mkdirSync(path.join(folder, 'case'));
  const request = requestOf(
    span(
      TRACE,
      1,
      {
        attributes: [
          { key: 'Id', value: str('a') },
          { key: 'id', value: str('b') },
          { key: 'id', value: int(1) },
        ],
      },
      0,
      1,
    ),
  );
  const columns = new TestColumns();
  columns.append(encodeRequest(request));
  const ref = await cut(columns, path.join(folder, 'case'));
  const [row] = await run(`SELECT * FROM '${ref.directory}/data.parquet'`);
  assert.deepEqual([row['span.Id'], row['span.id_1'], row['span.id:int']], ['a', 'b', 1n]);
});

async function run(sql: string): Promise<Record<string, unknown>[]> {
  return (await duckdb.runAndReadAll(sql)).getRowObjects();
}

async function write(...requests: Request[]): Promise<void> {
  const columns = new TestColumns();
  for (const request of requests) columns.append(encodeRequest(request));
  await cut(columns, folder);
}

function service(name: string, ...spans: Parameters<typeof requestOf>): Request {
  const request = requestOf(...spans);
  request[0].resource.attributes = [{ key: 'service.name', value: str(name) }];
  return request;
}

function span(
  traceId: string,
  n: number,
  more: Partial<Span>,
  startMs: number,
  ms: number,
): Partial<Span> & { traceId: string; spanId: string } {
  const start = START + BigInt(startMs) * 1_000_000n;
  return { traceId, spanId: id(n), start, end: start + BigInt(ms) * 1_000_000n, ...more };
}

function route(value: string): Span['attributes'][number] {
  return { key: 'http.route', value: str(value) };
}

function tags(...values: string[]): Span['attributes'][number] {
  return { key: 'tags', value: { type: 'array', values: values.map(str) } };
}

function id(n: number): string {
  return n.toString(16).padStart(16, '0');
}

function other(n: number): string {
  return (n + 1).toString(16).padStart(32, '0');
}
