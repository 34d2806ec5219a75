import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { DuckDBInstance } from '@duckdb/node-api';
import fc from '../../tests/property.ts';
import { parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { CodeFlags } from './code-flags.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { ColumnSchema } from './column.ts';
import { decompress } from './compress.ts';
import { encodeDeltaInt32 } from './delta.ts';
import { cellOf, metadataOf, offsetIndexOf, pageBytes, type Row, readFile, rowsOf, writeFile } from './file.fixture.ts';
import { type ChunkMetadata, footerLength, type PageColumn, parseFooter } from './footer.ts';
import { parseColumnIndex, parseOffsetIndex } from './indexes.ts';
import { parsePageHeader } from './page-header.ts';
import { createPageScratch, decodeDictionary, decodePage, flagRows } from './read.ts';
import { createSink, putByte, putBytes, putUint32, written } from './sink.ts';
import { ThriftWriter } from './thrift.ts';

const folder = mkdtempSync(join(tmpdir(), 'vivace-parquet-'));
after(() => rmSync(folder, { recursive: true }));
const duckdb = await (await DuckDBInstance.create(':memory:')).connect();

const isUndecodable = (error: unknown) => error instanceof VivaceError && error.code === 'undecodable';

/** The rows of a column of a file without an offset index: page after page. */
function walk(file: Uint8Array, chunk: ChunkMetadata): { rows: Row[]; pages: string[] } {
  const rows: Row[] = [];
  const pages: string[] = [];
  let dictionary: ReturnType<typeof decodeDictionary> | undefined;
  let entries = 0;
  for (let at = chunk.startOffset; entries < chunk.numValues; ) {
    const header = parsePageHeader(file.subarray(at));
    const page = file.subarray(at, at + header.headerBytes + header.compressedBytes);
    if (header.type === 'dictionary') {
      dictionary = decodeDictionary(page, chunk);
    } else {
      const decoded = decodePage(page, chunk, undefined, { verifyChecksum: true });
      entries += decoded.entries;
      rows.push(...rowsOf(decoded, chunk, dictionary));
      pages.push(`${header.type} ${header.encoding}`);
    }
    at += page.length;
  }
  return { rows, pages };
}

for (const codec of ['uncompressed', 'zstd', 'snappy', 'gzip', 'lz4_raw']) {
  for (const version of ['V1', 'V2']) {
    test(`files of DuckDB are read: ${codec}, ${version}`, async () => {
      const path = join(folder, `${codec}-${version}.parquet`);
      await duckdb.run(`COPY (
          SELECT i::INTEGER AS n, (i * 1000000007)::BIGINT AS big, CASE WHEN i % 3 = 0 THEN NULL ELSE i / 7 END AS real,
            'value ' || (i % 5) AS few, 'value ' || i AS many, i % 3 = 0 AS flag, (i / 4)::FLOAT AS small,
            CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN [] ELSE [i, NULL, i + 1] END AS list
          FROM range(5000) t(i)
        ) TO '${path}' (FORMAT parquet, COMPRESSION ${codec}, PARQUET_VERSION ${version}, ROW_GROUP_SIZE 2048)`);
      const file = new Uint8Array(readFileSync(path));
      const metadata = metadataOf(file);
      const expected = (await duckdb.runAndReadAll(`SELECT * FROM '${path}'`)).getColumns();
      const seen = new Set<string>();
      metadata.leaves.forEach((leaf, i) => {
        const rows = metadata.rowGroups.flatMap((group) => {
          const column = walk(file, group.columns[i]);
          for (const page of column.pages) seen.add(page);
          return column.rows;
        });
        assert.deepEqual(rows, expected[i].map(fromDuckdb), leaf.path.join('.'));
      });
      assert.ok(seen.size >= 2, [...seen].join());
      if (version === 'V2') assert.ok(seen.has('data DELTA_BINARY_PACKED') || seen.has('data-v2 DELTA_BINARY_PACKED'));
    });
  }
}

test('a footer becomes a tree of nested fields', async () => {
  const path = join(folder, 'nested.parquet');
  await duckdb.run(`COPY (SELECT {'a': 1, 'b': [{'c': 'x'}]} AS s, MAP {'k': 2} AS m) TO '${path}' (FORMAT parquet)`);
  const metadata = metadataOf(new Uint8Array(readFileSync(path)));
  assert.deepEqual(
    metadata.leaves.map((leaf) => [leaf.path.join('.'), leaf.type, leaf.maxDefinition, leaf.maxRepetition]),
    [
      ['s.a', 'int32', 2, 0],
      ['s.b.list.element.c', 'bytes', 5, 1],
      ['m.key_value.key', 'bytes', 2, 1],
      ['m.key_value.value', 'int32', 3, 1],
    ],
  );
  const [struct, map] = metadata.schema.children;
  assert.deepEqual(
    [struct.name, struct.type, struct.children[1].logical, map.logical],
    ['s', undefined, 'list', 'map'],
  );
  assert.deepEqual([struct.columnIndex, struct.children[1].columnIndex, map.columnIndex], [0, 1, 2]);
  assert.equal(metadata.rowGroups[0].columns[1].name, 's.b.list.element.c');
});

/** A data page of version 1 around plain bytes, as older writers make it. */
function pageV1(encoding: number, count: number, body: Uint8Array, uncompressedBytes = body.length): Uint8Array {
  const sink = createSink();
  const thrift = new ThriftWriter(sink);
  thrift.beginElement();
  thrift.i32(1, 0);
  thrift.i32(2, uncompressedBytes);
  thrift.i32(3, body.length);
  thrift.begin(5);
  thrift.i32(1, count);
  thrift.i32(2, encoding);
  thrift.i32(3, 3);
  thrift.i32(4, 3);
  thrift.end();
  thrift.end();
  putBytes(sink, body);
  return new Uint8Array(written(sink));
}

const required = (type: PageColumn['type'], codec: PageColumn['codec'] = 'none', width = 0): PageColumn => ({
  name: 'c',
  type,
  width,
  maxDefinition: 0,
  maxRepetition: 0,
  codec,
});

test('values by prefix, booleans by runs, floats and 96-bit integers', () => {
  const sink = createSink();
  encodeDeltaInt32(sink, Int32Array.of(0, 3), 0, 2);
  encodeDeltaInt32(sink, Int32Array.of(4, 2), 0, 2);
  putBytes(sink, Buffer.from('cartry'));
  const prefixed = decodePage(pageV1(7, 2, written(sink)), required('bytes')).values!;
  assert.deepEqual([cellOf(prefixed, 0), cellOf(prefixed, 1)], ['cart', 'carry']);

  const runs = createSink();
  putUint32(runs, 4);
  for (const byte of [10, 1, 3, 0b101]) putByte(runs, byte);
  const flags = decodePage(pageV1(3, 8, written(runs)), required('boolean')).values!;
  assert.equal(Array.from({ length: 8 }, (_, i) => Number(cellOf(flags, i))).join(''), '11111101');

  const floats = decodePage(pageV1(0, 2, new Uint8Array(Float32Array.of(0.5, -2).buffer)), required('float')).values!;
  assert.deepEqual([cellOf(floats, 0), cellOf(floats, 1)], [0.5, -2]);

  const times = decodePage(pageV1(0, 1, new Uint8Array(12).fill(65)), required('int96')).values!;
  assert.deepEqual(times, { type: 'fixed', bytes: new Uint8Array(12).fill(65), width: 12, count: 1 });
});

const dictionaryColumn = (rows: Row[], repetition: ColumnSchema['repetition'] = 'optional') =>
  writeFile(
    [
      {
        schema: { name: 'service.name', type: 'bytes', logical: 'string', repetition },
        rows,
        dictionary: true,
        codec: 'zstd',
      },
    ],
    1000,
  );

/** The rows of the first pages whose code is even. */
function flagSome(bytes: Uint8Array, chunk: PageColumn): void {
  const wanted = new CodeFlags(Uint8Array.from({ length: 64 }, (_, code) => Number(code % 2 === 0)));
  flagRows(bytes, chunk, wanted, createPageScratch(), new Uint8Array(2 ** 16), 0, { entriesMax: 2 ** 18 });
}

test('a page without nulls has no levels', () => {
  const file = dictionaryColumn(['a', 'b', 'a']);
  const chunk = metadataOf(file).rowGroups[0].columns[0];
  const page = decodePage(pageBytes(file, offsetIndexOf(file, chunk), 0), chunk);
  assert.deepEqual([page.definition, page.repetition, page.count], [undefined, undefined, 3]);
});

test('aligned plain values are views, not copies', () => {
  const schema: ColumnSchema = { name: 't', type: 'int64', repetition: 'required' };
  const file = writeFile([{ schema, rows: [1n, 2n, 3n], codec: 'none' }], 10);
  const chunk = metadataOf(file).rowGroups[0].columns[0];
  const page = pageBytes(file, offsetIndexOf(file, chunk), 0);
  const header = parsePageHeader(page);
  for (let shift = 0; shift < 4; shift++) {
    const moved = new Uint8Array(new ArrayBuffer(page.length + 8), shift, page.length);
    moved.set(page);
    const { values } = decodePage(moved, chunk);
    assert.ok(values?.type === 'int64');
    assert.deepEqual([...values.words.subarray(0, 6)], [1, 0, 2, 0, 3, 0]);
    assert.equal(values.words.buffer === moved.buffer, (shift + header.headerBytes) % 4 === 0);
  }
});

test('errors name the column and the place', () => {
  const file = dictionaryColumn(['a', null]);
  const chunk = metadataOf(file).rowGroups[0].columns[0];
  const index = offsetIndexOf(file, chunk);
  const page = pageBytes(file, index, 0).slice();
  page[page.length - 1] ^= 1;
  const options = { offset: index.offsets[0], verifyChecksum: true };
  assert.throws(
    () => decodePage(page, chunk, undefined, options),
    new VivaceError(
      'undecodable',
      `cannot decode a page of column service.name at byte ${index.offsets[0]}: its checksum differs`,
      { cause: new VivaceError('undecodable', 'its checksum differs') },
    ),
  );
  assert.throws(() => flagSome(pageBytes(file, index, 0).subarray(0, 30), chunk), isUndecodable);
  assert.throws(() => decodeDictionary(pageBytes(file, index, 0), chunk), /cannot decode a dictionary page of column/);
  assert.throws(() => decodePage(file.subarray(chunk.startOffset), chunk), /it is a page of type dictionary/);
});

test('sizes are bounded before memory is spent', () => {
  const zeros = (size: number) => gzipSync(new Uint8Array(size));
  const lies = pageV1(0, 10, zeros(1 << 22), 80);
  assert.throws(() => decodePage(lies, required('int64', 'gzip')), isUndecodable);
  const large = pageV1(0, 10, zeros(80), 0x7fffffff);
  assert.throws(() => decodePage(large, required('int64', 'gzip')), /2147483647 bytes are above/);
  assert.throws(
    () => decodePage(large, required('int64', 'gzip'), undefined, { pageBytesMax: 2 ** 31 }),
    isUndecodable,
  );
  // One repeat of a code of no bits: two bytes for any number of values.
  const many = pageV1(8, 0x7fffffff, Uint8Array.of(0, 0xfe, 0xff, 0xff, 0xff, 0x0f));
  assert.throws(() => decodePage(many, required('bytes')), /2147483647 entries are above/);
  assert.equal(decodePage(pageV1(8, 1000, Uint8Array.of(0, 0xd0, 0x0f)), required('bytes')).count, 1000);
  for (const codec of ['snappy', 'lz4-raw', 'zstd', 'gzip'] as const) {
    assert.throws(() => decompress(codec, Uint8Array.of(0xff, 0xff, 0xff, 0x7f, 1, 2, 3), 1 << 20), isUndecodable);
    assert.throws(() => decompress(codec, new Uint8Array(0), 5), isUndecodable);
    assert.equal(decompress(codec, new Uint8Array(0), 0).length, 0);
  }
  assert.throws(() => decompress('brotli', new Uint8Array(3), 5), /rewrite the file with zstd or snappy/);
});

/** A file with every encoding, list and codec that we write. */
const sample = writeFile(
  (
    [
      ['int64', 'delta', 'required'],
      ['int32', 'plain', 'optional'],
      ['double', 'byte-stream-split', 'required'],
      ['boolean', 'plain', 'optional'],
      ['int32', 'delta', 'list'],
    ] as const
  ).map(([type, encoding, repetition], i) => ({
    schema: { name: `c${i}`, type, repetition },
    encoding,
    codec: i % 2 === 0 ? ('none' as const) : ('zstd' as const),
    rows: Array.from({ length: 60 }, (_, row): Row => {
      const cell = type === 'int64' ? BigInt(row) ** 9n : type === 'boolean' ? row % 3 === 0 : row * 7;
      if (repetition === 'list') return row % 4 === 0 ? null : Array<number | null>(row % 4).fill(row);
      return repetition === 'optional' && row % 5 === 0 ? null : cell;
    }),
  })),
  25,
);

test('damaged files are refused or misread, never a crash', () => {
  const survive = (file: Uint8Array) => {
    try {
      readFile(file);
    } catch (error) {
      // The fixture itself notices pages that stand in the wrong place.
      if (!(error instanceof VivaceError) && !/starts at row/.test(String(error))) throw error;
    }
  };
  fc.assert(
    fc.property(fc.nat(sample.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const file = sample.slice();
      file[at] ^= mask;
      survive(file);
    }),
    { numRuns: 3000 },
  );
  for (let length = 0; length < sample.length; length += 3) survive(sample.subarray(0, length));
});

test('damaged pages, footers and indexes are refused or misread, never a crash', () => {
  const dictionary = dictionaryColumn(Array.from({ length: 300 }, (_, i) => (i % 7 === 0 ? null : `name ${i % 40}`)));
  for (const file of [sample, dictionary]) {
    const metadata = metadataOf(file);
    const footerEnd = file.length - 8;
    const footer = file.subarray(footerEnd - footerLength(file), footerEnd);
    const pieces: [Uint8Array, (bytes: Uint8Array) => unknown][] = [[footer, parseFooter]];
    for (const chunk of metadata.rowGroups[0].columns) {
      const index = offsetIndexOf(file, chunk);
      for (let page = 0; page < index.pages; page++) {
        pieces.push([pageBytes(file, index, page), (bytes) => decodePage(bytes, chunk)]);
        if (chunk.encodings.includes('RLE_DICTIONARY')) {
          pieces.push([pageBytes(file, index, page), (bytes) => flagSome(bytes, chunk)]);
        }
      }
      if (chunk.dictionaryPageOffset !== undefined) {
        const page = file.subarray(chunk.dictionaryPageOffset, chunk.dataPageOffset);
        pieces.push([page, (bytes) => decodeDictionary(bytes, chunk)]);
      }
      const offsets = file.subarray(chunk.offsetIndexOffset, chunk.offsetIndexOffset! + chunk.offsetIndexLength);
      pieces.push([offsets, parseOffsetIndex]);
      const columns = file.subarray(chunk.columnIndexOffset, chunk.columnIndexOffset! + chunk.columnIndexLength);
      pieces.push([columns, parseColumnIndex]);
    }
    for (const [bytes, decode] of pieces) {
      const survive = (damaged: Uint8Array) => {
        try {
          decode(damaged);
        } catch (error) {
          if (!(error instanceof VivaceError)) throw error;
        }
      };
      for (let length = 0; length < bytes.length; length += 1 + (bytes.length >> 8)) survive(bytes.subarray(0, length));
      for (let at = 0; at < bytes.length; at += 1 + (bytes.length >> 9)) {
        for (const mask of [0x01, 0x80, 0xff, 0x0f, 0x10]) {
          const damaged = bytes.slice();
          damaged[at] ^= mask;
          survive(damaged);
        }
      }
    }
  }
});

test('hyparquet agrees on the sample', async () => {
  const rows = await parquetReadObjects({ file: sample.buffer as ArrayBuffer, compressors });
  const ours = readFile(sample);
  assert.deepEqual(
    rows.map((row) => Object.values(row).map((cell) => cell ?? null)),
    rows.map((_, i) => ours.map((column) => column[i])),
  );
});

function fromDuckdb(value: unknown): unknown {
  if (typeof value === 'string') return Buffer.from(value).toString('latin1');
  if (typeof value !== 'object' || value === null) return value;
  if ('items' in value) return (value.items as unknown[]).map(fromDuckdb);
  return value;
}
