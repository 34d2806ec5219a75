import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import fc from '../../tests/property.ts';
import { parquetMetadata, parquetReadObjects, readColumnIndex, readOffsetIndex } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { checksPlaces } from './checks.ts';
import type { ColumnSchema } from './column.ts';
import { type Cell, metadataOf, type Row, readFile, type TestColumn, writeFile } from './file.fixture.ts';
import { createPageScratch } from './read.ts';
import { ParquetWriter } from './write.ts';

const folder = mkdtempSync(join(tmpdir(), 'vivace-parquet-'));
after(() => rmSync(folder, { recursive: true }));
const duckdb = await (await DuckDBInstance.create(':memory:')).connect();

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

const cells: Record<ColumnSchema['type'], fc.Arbitrary<Cell>> = {
  boolean: fc.boolean(),
  int32: fc.oneof(fc.integer({ min: -3, max: 3 }), fc.integer(), fc.constantFrom(-(2 ** 31), 2 ** 31 - 1)),
  int64: fc.oneof(
    fc.bigInt({ min: -3n, max: 3n }),
    fc.bigInt({ min: 1_700_000_000_000_000_000n, max: 1_700_000_100_000_000_000n }),
    fc.bigInt({ min: INT64_MIN, max: INT64_MAX }),
    fc.constantFrom(INT64_MIN, INT64_MAX),
  ),
  double: fc.oneof(fc.double(), fc.constantFrom(NaN, 0, -0, Infinity, -Infinity, 5e-324)),
  bytes: fc.oneof(
    fc.constantFrom('', 'a', 'frontend', 'http://shop/cart/1', 'http://shop/cart/2'),
    fc.string({ maxLength: 12, unit: fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)) }),
    fc.integer({ min: 60, max: 70 }).map((length) => 'ÿ'.repeat(length)),
    fc.integer({ min: 0, max: 200 }).map((length) => 'x'.repeat(length)),
  ),
  fixed: fc
    .array(fc.integer({ min: 0, max: 255 }), { minLength: 5, maxLength: 5 })
    .map((bytes) => String.fromCharCode(...bytes)),
};

const encodings: Record<ColumnSchema['type'], (TestColumn['encoding'] | 'dictionary')[]> = {
  boolean: ['plain', undefined],
  int32: ['plain', 'delta', 'byte-stream-split', 'dictionary'],
  int64: ['plain', 'delta', 'byte-stream-split', 'dictionary'],
  double: ['plain', 'byte-stream-split', 'dictionary'],
  bytes: ['plain', 'delta-length', 'dictionary'],
  fixed: ['plain', 'byte-stream-split', 'dictionary'],
};

/** Values come in runs, as they do in traces. */
function runsOf<T>(value: fc.Arbitrary<T>, rows: number): fc.Arbitrary<T[]> {
  const run = fc.tuple(value, fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 40 })));
  return fc.array(run, { minLength: 1, maxLength: rows }).map((runs) => {
    const values = runs.flatMap(([cell, length]) => Array<T>(length).fill(cell));
    while (values.length < rows) values.push(...values.slice(0, rows - values.length));
    return values.slice(0, rows);
  });
}

function columnOf(type: ColumnSchema['type'], rows: number): fc.Arbitrary<TestColumn> {
  const repetition = fc.constantFrom<ColumnSchema['repetition']>('required', 'optional', 'list');
  return fc
    .record({
      repetition,
      encoding: fc.constantFrom(...encodings[type]),
      codec: fc.constantFrom<'none' | 'zstd'>('none', 'zstd'),
      bloom: fc.constantFrom(undefined, 10),
      statistics: fc.constantFrom(undefined, undefined, false),
      nulls: fc.constantFrom(0, 0.1, 1),
    })
    .chain(({ repetition, encoding, codec, bloom, statistics, nulls }) => {
      const cell = cells[type];
      const optional: fc.Arbitrary<Cell | null> =
        nulls === 0 ? cell : nulls === 1 ? fc.constant(null) : fc.oneof(cell, fc.constant(null));
      const row: fc.Arbitrary<Row> =
        repetition === 'required'
          ? cell
          : repetition === 'optional'
            ? optional
            : fc.oneof(fc.constant(null), fc.array(optional, { maxLength: 4 }));
      // hyparquet cannot filter by a name with a dot.
      const name = type.startsWith('int') || type === 'double' ? type : `a.${type}`;
      const schema: ColumnSchema = { name, type, repetition, width: type === 'fixed' ? 5 : undefined };
      return runsOf(row, rows).map((values) => ({
        schema,
        rows: values,
        dictionary: encoding === 'dictionary',
        encoding: encoding === 'dictionary' ? undefined : encoding,
        codec,
        bloom: type === 'boolean' ? undefined : bloom,
        statistics,
      }));
    });
}

const files = fc.integer({ min: 1, max: 300 }).chain((rows) =>
  fc.record({
    columns: fc.tuple(...(Object.keys(cells) as ColumnSchema['type'][]).map((type) => columnOf(type, rows))),
    pageRows: fc.constantFrom(1, 7, 64, 1000),
    groupRows: fc.constantFrom(50, 1000),
  }),
);

test('what is written comes back through our reader', () => {
  const scratch = createPageScratch();
  fc.assert(
    fc.property(files, ({ columns, pageRows, groupRows }) => {
      const file = writeFile(columns, pageRows, groupRows);
      const written = columns.map((column) => column.rows);
      assert.deepEqual(readFile(file), written);
      assert.deepEqual(readFile(file, scratch), written, 'with scratch arrays');
    }),
    { numRuns: 150 },
  );
});

test('hyparquet reads the same values, by pages and by filters too', async () => {
  await fc.assert(
    fc.asyncProperty(files, async ({ columns, pageRows, groupRows }) => {
      const bytes = writeFile(columns, pageRows, groupRows);
      const file = bytes.buffer as ArrayBuffer;
      for (const column of columns) {
        const name = column.schema.name;
        const options = { file, compressors, columns: [name], utf8: false };
        const rows = await parquetReadObjects(options);
        assert.deepEqual(
          rows.map((row) => fromHyparquet(row[name])),
          column.rows,
        );
        const rowStart = column.rows.length >> 1;
        const tail = await parquetReadObjects({ ...options, useOffsetIndex: true, rowStart });
        assert.deepEqual(
          tail.map((row) => fromHyparquet(row[name])),
          column.rows.slice(rowStart),
          'through the offset index',
        );
        const wanted = column.rows.find((row) => typeof row === 'number' || typeof row === 'bigint');
        if (wanted === undefined || Number.isNaN(wanted)) continue;
        const found = await parquetReadObjects({
          ...options,
          filter: { [name]: { $eq: wanted } },
          usePageIndex: true,
          useBloomFilters: !(typeof wanted === 'number' && wanted === 0),
        });
        assert.equal(
          found.length,
          column.rows.filter((row) => row === wanted).length,
          `rows where ${name} = ${wanted}`,
        );
      }
    }),
    { numRuns: 60 },
  );
});

test('DuckDB reads the same values', async () => {
  let number = 0;
  await fc.assert(
    fc.asyncProperty(files, async ({ columns: any, pageRows, groupRows }) => {
      // DuckDB splits the bytes of floating-point numbers only.
      const columns = any.map((column) =>
        column.encoding === 'byte-stream-split' && column.schema.type !== 'double'
          ? { ...column, encoding: 'plain' as const }
          : column,
      );
      const path = join(folder, `${number++}.parquet`);
      writeFileSync(path, writeFile(columns, pageRows, groupRows));
      const reader = await duckdb.runAndReadAll(`SELECT * FROM read_parquet('${path}')`);
      const read = reader.getColumns().map((column) => column.map(fromDuckdb));
      assert.deepEqual(
        read,
        columns.map((column) => column.rows),
      );
      for (const column of columns) {
        const wanted = column.rows.find((row) => typeof row === 'bigint');
        if (wanted === undefined) continue;
        const found = await duckdb.runAndReadAll(
          `SELECT count(*) FROM read_parquet('${path}') WHERE "${column.schema.name}" = '${wanted}'::BIGINT`,
        );
        assert.equal(found.getRows()[0][0], BigInt(column.rows.filter((row) => row === wanted).length));
      }
    }),
    { numRuns: 40 },
  );
});

test('DuckDB understands strings, UUIDs and nanoseconds, and asks the bloom filter', async () => {
  const path = join(folder, 'logical.parquet');
  const rows = 100;
  const names = Array.from({ length: rows }, (_, i) => ['fröntend', '', 'cart', 'z'.repeat(100)][i % 4]);
  const utf8 = (text: string) => Buffer.from(text).toString('latin1');
  writeFileSync(
    path,
    writeFile(
      [
        {
          schema: { name: 'service.name', type: 'bytes', logical: 'string', repetition: 'optional' },
          rows: names.map((name) => utf8(name)),
          dictionary: true,
          codec: 'zstd',
          bloom: 16,
        },
        {
          schema: { name: 'id', type: 'fixed', width: 16, logical: 'uuid', repetition: 'required' },
          rows: names.map((_, i) => '\x12\x34'.repeat(7) + String.fromCharCode(0, i)),
          codec: 'none',
        },
        {
          schema: { name: 'start', type: 'int64', logical: 'timestamp-nanos', repetition: 'required' },
          rows: names.map((_, i) => 1_700_000_000_123_456_789n + BigInt(i)),
          encoding: 'delta',
          codec: 'none',
        },
      ],
      30,
    ),
  );
  const ask = async (sql: string) => (await duckdb.runAndReadAll(sql)).getRowsJson();
  assert.deepEqual(await ask(`DESCRIBE SELECT * FROM '${path}'`).then((all) => all.map((row) => row.slice(0, 2))), [
    ['service.name', 'VARCHAR'],
    ['id', 'UUID'],
    ['start', 'TIMESTAMP_NS'],
  ]);
  assert.deepEqual(await ask(`SELECT "service.name", id::VARCHAR, start::VARCHAR FROM '${path}' LIMIT 1`), [
    ['fröntend', '12341234-1234-1234-1234-123412340000', '2023-11-14 22:13:20.123456789'],
  ]);
  assert.deepEqual(await ask(`SELECT count(*)::INT FROM '${path}' WHERE "service.name" = 'cart'`), [[25]]);
  const longest = `'${'z'.repeat(100)}'`;
  assert.deepEqual(await ask(`SELECT count(*)::INT FROM '${path}' WHERE "service.name" = ${longest}`), [[25]]);
  assert.deepEqual(await ask(`SELECT count(*)::INT FROM '${path}' WHERE "service.name" >= ${longest}`), [[25]]);
  const excluded = async (value: string) =>
    (await ask(`SELECT bloom_filter_excludes FROM parquet_bloom_probe('${path}', 'service.name', '${value}')`))[0][0];
  assert.equal(await excluded('cart'), false);
  assert.equal(await excluded('carts'), true);
});

test('hyparquet finds the indexes where the footer says', () => {
  const rows = Array.from({ length: 100 }, (_, i) => (i < 50 && i >= 40 ? null : i * 10));
  const bytes = writeFile(
    [{ schema: { name: 'n', type: 'int32', repetition: 'optional' }, rows, encoding: 'delta', codec: 'zstd' }],
    10,
  );
  const metadata = parquetMetadata(bytes.buffer as ArrayBuffer);
  const places = checksPlaces(metadataOf(bytes))?.places;
  assert.deepEqual(
    metadata.key_value_metadata?.map(({ key, value }) => [key, value]),
    [
      ['first', '1'],
      ['second', 'zwei'],
      ['vivace.checks', `10 ${places?.[0].offset} ${places?.[0].crc}`],
    ],
  );
  const column = metadata.row_groups[0].columns[0];
  const view = new DataView(bytes.buffer);
  const schema = metadata.schema[1];
  const columnIndex = readColumnIndex({ view, offset: Number(column.column_index_offset) }, schema);
  const offsetIndex = readOffsetIndex({ view, offset: Number(column.offset_index_offset) });
  assert.deepEqual(columnIndex.null_pages, [false, false, false, false, true, false, false, false, false, false]);
  assert.deepEqual(columnIndex.min_values?.[5], 500);
  assert.deepEqual(columnIndex.max_values?.[5], 590);
  assert.equal(columnIndex.boundary_order, 'ASCENDING');
  assert.deepEqual(columnIndex.null_counts?.map(Number), [0, 0, 0, 0, 10, 0, 0, 0, 0, 0]);
  assert.deepEqual(
    offsetIndex.page_locations.map((location) => Number(location.first_row_index)),
    [0, 10, 20, 30, 40, 50, 60, 70, 80, 90],
  );
  const statistics = column.meta_data?.statistics;
  assert.deepEqual([statistics?.min_value, statistics?.max_value, Number(statistics?.null_count)], [0, 990, 10]);
});

test('a file without rows is a file', async () => {
  const bytes = writeFile(
    [{ schema: { name: 'n', type: 'int32', repetition: 'required' }, rows: [], codec: 'none' }],
    10,
  );
  assert.deepEqual(readFile(bytes), [[]]);
  const path = join(folder, 'empty.parquet');
  writeFileSync(path, bytes);
  assert.deepEqual((await duckdb.runAndReadAll(`SELECT * FROM '${path}'`)).getRows(), []);
});

test('huge strings pass whole', () => {
  const huge = 'a'.repeat(5 << 20);
  for (const encoding of ['plain', 'delta-length'] as const) {
    const schema: ColumnSchema = { name: 's', type: 'bytes', logical: 'string', repetition: 'optional' };
    const bytes = writeFile([{ schema, rows: ['b', huge, null, ''], encoding, codec: 'zstd' }], 2);
    assert.ok(bytes.length < huge.length / 100, 'the index keeps no huge string');
    assert.deepEqual(readFile(bytes), [['b', huge, null, '']]);
    const { statistics } = metadataOf(bytes).rowGroups[0].columns[0];
    assert.equal(statistics?.min?.length, 0);
    assert.equal(Buffer.from(statistics?.max ?? []).toString(), 'b');
  }
});

test('a NaN leaves a column without bounds', () => {
  const schema: ColumnSchema = { name: 'd', type: 'double', repetition: 'required' };
  const chunkOf = (rows: number[], dictionary: boolean) =>
    metadataOf(writeFile([{ schema, rows, dictionary, codec: 'none' }], 2)).rowGroups[0].columns[0];
  for (const dictionary of [false, true]) {
    const chunk = chunkOf([1, 2, 3, NaN], dictionary);
    assert.equal(chunk.statistics?.min, undefined);
    assert.equal(chunk.columnIndexOffset, undefined);
    const zeros = chunkOf([0, -0, 0], dictionary);
    assert.deepEqual(doubleOf(zeros.statistics?.min), -0);
    assert.deepEqual(doubleOf(zeros.statistics?.max), 0);
  }
});

test('without statistics there is an offset index only', () => {
  const schema: ColumnSchema = { name: 'n', type: 'int32', repetition: 'optional' };
  const column = { schema, rows: [1, null, 3], codec: 'none', statistics: false } as const;
  const chunk = metadataOf(writeFile([column], 2)).rowGroups[0].columns[0];
  assert.deepEqual(
    [chunk.columnIndexOffset, chunk.statistics?.min, chunk.statistics?.max, chunk.statistics?.nullCount],
    [undefined, undefined, undefined, 1],
  );
  assert.ok(chunk.offsetIndexLength > 0);
});

test('calls out of order and data that contradicts itself are refused', () => {
  const make = () =>
    new ParquetWriter({
      schema: [
        { name: 'a', type: 'int32', repetition: 'required' },
        { name: 'b', type: 'int32', repetition: 'optional' },
      ],
      pageRows: 10,
      createdBy: 'test',
      keyValue: [],
      write: () => {},
    });
  const values = { type: 'int32', values: Int32Array.of(1, 2), count: 2 } as const;
  const good = { rows: 2, values, codec: 'none' } as const;
  assert.throws(() => make().writeChunk(0, good), /no row group has started/);
  assert.throws(() => make().startRowGroup(0), /leave an empty one out/);
  const writer = make();
  writer.startRowGroup(2);
  assert.throws(() => writer.writeChunk(1, good), /column 0 is next/);
  assert.throws(() => writer.writeChunk(0, { ...good, rows: 3 }), /it has 3 rows, its row group 2/);
  writer.writeChunk(0, good);
  assert.throws(() => writer.endRowGroup(), /after 1 of 2 columns/);
  assert.throws(() => writer.finish(), /has not ended/);
  assert.throws(() => writer.writeChunk(1, { ...good, definition: Uint8Array.of(1, 0) }), /its levels hold 1 values/);
});

function doubleOf(bytes: Uint8Array | undefined): number {
  return new Float64Array(new Uint8Array(bytes ?? []).buffer)[0];
}

function fromHyparquet(value: unknown): unknown {
  if (value === undefined) return null;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  return Array.isArray(value) ? value.map(fromHyparquet) : value;
}

function fromDuckdb(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if ('items' in value) return (value.items as unknown[]).map(fromDuckdb);
  if ('bytes' in value) return Buffer.from(value.bytes as Uint8Array).toString('latin1');
  return value;
}
