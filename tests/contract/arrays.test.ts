/** Arrays are lists for other programs, and for us the bytes that came: in blocks that were cut, merged and erased from. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import fc from '../property.ts';
import { BlockCatalog, type BlockRef, type LocalBlockRef } from '../../src/block/catalog.ts';
import { rebuiltMeta } from '../../src/block/meta-rebuilt.ts';
import { createBlockCaches, OpenBlock } from '../../src/block/open.ts';
import { checkVersion, VERSION, VERSION_KEY } from '../../src/block/schema.ts';
import type { RowRange, Segment } from '../../src/block/segment.ts';
import { type SpanTable, stringsOf } from '../../src/block/table.ts';
import { folderFiles } from '../../src/block/verify.ts';
import { writeBlockFolder } from '../../src/block/write-folder.ts';
import { writeTable } from '../../src/block/write-table.ts';
import { mergeBlocks } from '../../src/compact/merge-blocks.ts';
import { bytesField, decodeValue, encodeRequest, encodeValue, type Value } from '../../src/cut/otlp.fixture.ts';
import { ARRAY_REQUEST, ARRAY_TRACES, array, double, int, string } from './arrays.fixture.ts';
import { cut, linesOf, merged, read, rowGroupsOf, TestColumns, unflatten } from './segments.fixture.ts';

const RUNS = Number(process.env['VIVACE_PROPERTY_RUNS'] ?? 120);
const OLD_BLOCK = path.join(import.meta.dirname, '../golden/block-1');

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-arrays-'));
after(() => fs.rmSync(folder, { recursive: true }));

/** The AnyValue of each row, undefined where it has none. */
type Rows = readonly (Uint8Array | undefined)[];

const text = fc.oneof(
  fc.constantFrom('', 'a', 'b', 'größe', '\u0000', 'x'.repeat(200)),
  fc.string({ unit: 'grapheme' }),
);
const scalars: fc.Arbitrary<Value>[] = [
  text.map(string),
  fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }).map(int),
  fc.constantFrom(0n, -1n, 127n, 128n, (1n << 63n) - 1n, -(1n << 63n)).map(int),
  fc.double().map((value) => double(bitsOf(value))),
  fc.constantFrom(0x7ff8_0000_0000_1234n, 1n << 63n).map(double),
  fc.boolean().map((value): Value => ({ type: 'bool', value })),
];
const empty = fc.constant<Value>({ type: 'empty' });
const homogeneous = fc.oneof(
  ...scalars.map((scalar) =>
    fc.array(fc.oneof({ weight: 9, arbitrary: scalar }, { weight: 1, arbitrary: empty }), { maxLength: 6 }),
  ),
);
const mixed = fc.array(
  fc.oneof(
    ...scalars,
    empty,
    homogeneous.map((values) => array(...values)),
  ),
  { maxLength: 5 },
);
const canonicalArray = homogeneous.map((values) => encodeValue(array(...values)));
const anyBytes = fc.oneof(
  { weight: 6, arbitrary: canonicalArray },
  { weight: 2, arbitrary: mixed.map((values) => encodeValue(array(...values))) },
  // What is nearly an array: a byte changed, added, or lost.
  {
    weight: 2,
    arbitrary: fc.tuple(canonicalArray, fc.nat(), fc.nat(255)).map(([bytes, at, to]) => changed(bytes, at, to)),
  },
  { weight: 1, arbitrary: canonicalArray.map((bytes) => Buffer.concat([bytes, bytes])) },
  { weight: 1, arbitrary: fc.constantFrom(...notArrays()) },
);
const anyRows: fc.Arbitrary<Rows> = fc.array(fc.option(anyBytes, { nil: undefined, freq: 3 }), {
  minLength: 1,
  maxLength: 40,
});

/** Of a key with values of few types, so that there are lists of several lengths and equal ones. */
test('any values come back as they came, and arrays are lists, also when blocks are merged', async () => {
  await fc.assert(
    fc.asyncProperty(anyRows, anyRows, fc.nat(40), fc.nat(40), async (rows, others, at, length) => {
      const own = fs.mkdtempSync(path.join(folder, 'case-'));
      const refs = [await block(own, 1, rows), await block(own, 2, others)];
      await assertHolds(refs[0], rows, { from: Math.min(at, rows.length), to: Math.min(at + length, rows.length) });
      await assertHolds(refs[1], others);
      const { block: one } = await mergeBlocks(refs, mergeOptions(own));
      await assertHolds(one, [...rows, ...others]);
      const files = folderFiles(one.directory);
      const found = await rebuiltMeta(one.tenant, one.id, files, Date.now(), async () => {});
      await files.close();
      assert.ok(typeof found !== 'string', String(found));
      assert.equal(found.vivace.footerCrc, one.meta.vivace.footerCrc);
      fs.rmSync(own, { recursive: true });
    }),
    { numRuns: RUNS },
  );
});

test('an array that many rows have, or with many elements, is a list as long as all of them are few', async () => {
  const long = encodeValue(array(...Array.from({ length: 60_000 }, (_, i) => int(BigInt(i * i)))));
  const once = await block(folder, 1, [long, undefined, long.slice(0, -1)]);
  await assertHolds(once, [long, undefined, long.slice(0, -1)]);
  assert.deepEqual(await columnsOf(once), ['span.k[]', 'span.k:any']);
  const often = Array.from({ length: 200 }, () => encodeValue(array(...Array.from({ length: 1000 }, () => int(7n)))));
  const many = await block(folder, 1, often);
  assert.deepEqual(await columnsOf(many), ['span.k:any']);
  assert.deepEqual(await valuesOf(many), often.map(hexOf));
});

test('a block has no more columns of attributes for arrays of several types', async () => {
  const columns = new TestColumns();
  const keys = Array.from({ length: 511 }, (_, i) => `key ${i}`);
  const value = (span: number): Value => (span === 0 ? array(string('a')) : array(int(1n)));
  columns.append(
    encodeRequest([
      {
        ...ARRAY_REQUEST[0],
        scopes: [
          {
            ...ARRAY_REQUEST[0].scopes[0],
            spans: ARRAY_REQUEST[0].scopes[0].spans
              .slice(0, 2)
              .map((span, i) => ({ ...span, attributes: keys.map((key) => ({ key, value: value(i) })) })),
          },
        ],
      },
    ]),
  );
  const names = (await columnsOf(await cut(columns, folder))).filter((name) => name.startsWith('span.'));
  assert.equal(names.length, 512);
  assert.equal(names.filter((name) => name.endsWith('[]')).length, 1);
});

test('a block of version 1 is read, and merged with one of arrays as lists', async () => {
  const own = fs.mkdtempSync(path.join(folder, 'case-'));
  fs.cpSync(OLD_BLOCK, own, { recursive: true });
  const catalog = new BlockCatalog(own);
  catalog.refresh();
  const [old] = catalog.blocks('test') as LocalBlockRef[];
  assert.ok((await columnsOf(old)).includes('span.ports'));
  await assertTraces([old]);
  const columns = new TestColumns();
  columns.append(encodeRequest(ARRAY_REQUEST));
  const cutToday = await cut(columns, own);
  assert.deepEqual((await columnsOf(cutToday)).filter((name) => name.startsWith('span.')).sort(), [
    'span.flags[]',
    'span.holes[]',
    'span.mixed:any',
    'span.mixed[]',
    'span.nested:any',
    'span.ports[]',
    'span.ratios[]',
    'span.tags',
    'span.tags[]',
  ]);
  await assertTraces([cutToday]);
  const { block: one } = await mergeBlocks([old, cutToday], mergeOptions(own));
  await assertTraces([one]);
  assert.ok((await columnsOf(one)).includes('span.ports[]'));
  assert.throws(() => checkVersion('it', new Map([[VERSION_KEY, String(Number(VERSION) + 1)]])), /version 3.*newer/);
});

test('empty arrays stay when traces are left out, and the columns of these go', async () => {
  const own = fs.mkdtempSync(path.join(folder, 'case-'));
  const none = encodeValue(array());
  const refs = [await block(own, 1, [none, undefined]), await block(own, 2, [encodeValue(array(int(1n)))])];
  const { block: one } = await mergeBlocks(refs, { ...mergeOptions(own), drops: (ids, at) => ids[at] === 2 });
  assert.deepEqual(await valuesOf(one), [hexOf(none), undefined]);
  assert.deepEqual(await columnsOf(one), ['span.k[]']);
});

async function assertTraces(refs: readonly BlockRef[]): Promise<void> {
  const { groups, close } = await rowGroupsOf(refs);
  for (const traceId of ARRAY_TRACES) {
    const expected = merged([ARRAY_REQUEST]).filter(({ span }) => span.traceId === traceId);
    assert.deepEqual(linesOf((await read(groups, traceId))!), linesOf(unflatten(expected)));
  }
  close();
}

/** Against live values, and against lists as hyparquet sees them. */
async function assertHolds(ref: LocalBlockRef, rows: Rows, range?: RowRange): Promise<void> {
  assert.deepEqual(await valuesOf(ref), rows.map(hexOf));
  if (range !== undefined && range.to > range.from) {
    const some = await valuesOf(ref, range);
    for (let row = range.from; row < range.to; row++) assert.equal(some[row], hexOf(rows[row]));
    const few = await valuesOf(ref, undefined, Uint32Array.of(range.from));
    assert.equal(few[range.from], hexOf(rows[range.from]));
  }
  const cells = await byHyparquet(ref);
  assert.deepEqual(
    cells.map((cell) => plain(cell)),
    rows.map((bytes) => plain(bytes === undefined ? undefined : (listOf(bytes) ?? hexOf(bytes)))),
  );
}

/** Hex of each row's value, as a query sees it. */
async function valuesOf(ref: BlockRef, range?: RowRange, rows?: Uint32Array): Promise<(string | undefined)[]> {
  const opened = await OpenBlock.open(ref, createBlockCaches(1 << 20));
  const values: (string | undefined)[] = [];
  for (const group of opened.rowGroups) {
    const first = values.length;
    values.length += group.rows;
    values.fill(undefined, first);
    for await (const [row, value] of valuesOfGroup(group, range, rows)) values[first + row] = value;
  }
  opened.close();
  return values;
}

async function* valuesOfGroup(group: Segment, range?: RowRange, rows?: Uint32Array): AsyncGenerator<[number, string]> {
  const want = { of: 'attribute', space: 'span', key: 'k', type: 'any' } as const;
  const column = await group.column(want, range, rows && { rows });
  assert.equal(group.typesOf('span', 'k').includes('any'), column !== undefined);
  if (column === undefined) return;
  for (const part of column.parts) {
    const dictionary = part.dictionary ?? column.dictionary!;
    for (let row = 0, i = 0; row < part.rows && i < part.count; row++) {
      if (part.at === undefined && part.present?.[row] === 0) continue;
      const code = part.codes![i];
      const at = part.at === undefined ? part.first + row : part.at[i];
      i++;
      yield [at, hexOf(dictionary.bytes.subarray(dictionary.start(code), dictionary.end(code)))!];
    }
  }
}

/** What a program that knows Parquet and not us sees of each row. */
async function byHyparquet(ref: LocalBlockRef): Promise<unknown[]> {
  const file = fileOf(ref);
  const rows = await parquetReadObjects({ file, compressors, utf8: false });
  return rows.map((row) => {
    const cells = Object.entries(row).filter(
      ([name, cell]) => name.startsWith('span.k') && cell !== null && cell !== undefined,
    );
    assert.ok(cells.length <= 1, 'a value is in one column');
    const [[, cell] = []] = cells;
    return cell instanceof Uint8Array ? hexOf(cell) : cell;
  });
}

async function columnsOf(ref: LocalBlockRef): Promise<string[]> {
  const file = fileOf(ref);
  const [row] = await parquetReadObjects({ file, compressors, utf8: false, rowEnd: 1 });
  return Object.keys(row).filter((name) => name.startsWith('span.'));
}

function fileOf({ directory }: LocalBlockRef): ArrayBuffer {
  return new Uint8Array(fs.readFileSync(path.join(directory, 'data.parquet'))).buffer;
}

/** The elements, where the value must be a list; slow and obvious. */
function listOf(bytes: Uint8Array): unknown[] | undefined {
  let value: Value;
  try {
    value = decodeValue(bytes);
  } catch {
    return undefined;
  }
  if (value.type !== 'array' || !Buffer.from(encodeValue(value)).equals(bytes)) return undefined;
  const elements: unknown[] = [];
  const types = new Set<string>();
  for (const each of value.values) {
    if (each.type === 'empty') elements.push(null);
    else if (each.type === 'double') elements.push(doubleOf(each.bits));
    else if (each.type === 'string' || each.type === 'int' || each.type === 'bool') elements.push(each.value);
    else return undefined;
    if (each.type !== 'empty') types.add(each.type);
  }
  return types.size > 1 ? undefined : elements;
}

function plain(cell: unknown): unknown {
  if (cell === undefined || cell === null) return null;
  return JSON.stringify(cell, (_, value) =>
    typeof value === 'bigint'
      ? `${value}n`
      : typeof value === 'number'
        ? String(Object.is(value, -0) ? '-0' : value)
        : value,
  );
}

function changed(bytes: Uint8Array, at: number, to: number): Uint8Array {
  const place = at % bytes.length;
  const [head, tail] = [bytes.subarray(0, place), bytes.subarray(place + 1)];
  if (to % 3 === 0) return Buffer.concat([head, tail]);
  if (to % 3 === 1) return Buffer.concat([head, Uint8Array.of(to), bytes.subarray(place)]);
  return Buffer.concat([head, Uint8Array.of(to), tail]);
}

/** Bytes that mean an array, or nearly do, and are not what would be made of a list. */
function notArrays(): Uint8Array[] {
  const of = (...hex: string[]): Uint8Array => bytesField(5, Buffer.from(hex.join(''), 'hex')).bytes;
  return [
    new Uint8Array(0),
    of('0a02', '0aff'),
    of('0a04', '0a02c328'),
    of('0a03', '188000'),
    of('0a0c', '18ffffffffffffffffff7f'),
    of('0a02', '1002'),
    of('0a03', '100081'),
    of('0a8000'),
    of('0a8200', '1001'),
    of('1001'),
    of('0a04', '10011001'),
    Buffer.from('2a8000', 'hex'),
    Buffer.from('2a00ff', 'hex'),
    Buffer.from('2aff', 'hex'),
    Buffer.from('2affffffff0f', 'hex'),
  ];
}

/** A block with a span a row, all of one trace, whose attribute `k` has these values. */
function block(blocksDirectory: string, trace: number, rows: Rows): Promise<LocalBlockRef> {
  const texts = rows.filter((bytes) => bytes !== undefined);
  const zeros = (words: number): Int32Array => new Int32Array(words * rows.length);
  const spanIds = new Uint8Array(8 * rows.length);
  const starts = zeros(2);
  rows.forEach((_, row) => {
    new DataView(spanIds.buffer).setUint32(8 * row, row + 1);
    starts[2 * row] = row;
  });
  const table: SpanTable = {
    rows: rows.length,
    traceIds: new Uint8Array(16).fill(trace),
    traceStarts: Uint32Array.of(0, rows.length),
    ...{ parents: zeros(1), spanIds, parentIds: new Uint8Array(8 * rows.length) },
    ...{ starts, ends: starts, kinds: zeros(1), statuses: zeros(1) },
    names: { codes: new Uint32Array(rows.length), strings: stringsOf([Buffer.from('name')]) },
    ...{ resourceOf: new Uint32Array(rows.length), resources: [new Uint8Array(0)] },
    ...{ scopeOf: new Uint32Array(rows.length), scopes: [new Uint8Array(0)] },
    rare: [],
    columns: [
      {
        ...{ space: 'span', key: 'k', type: 'any' },
        load: () => ({
          present: Uint8Array.from(rows, (bytes) => (bytes === undefined ? 0 : 1)),
          count: texts.length,
          ...codesOf(texts),
        }),
      },
    ],
  };
  const options = { pageRows: 7, createdBy: 'vivace test', pause: async (): Promise<void> => {} };
  return writeBlockFolder((sink) => writeTable(table, sink, options), {
    ...{ id: randomUUID(), tenant: 'test', compactionLevel: 0, pageRows: 7, blocksDirectory, fsync: 'never' },
    more: { cut: new Date(1_700_000_000_000 + 1000 * trace).toISOString() },
  });
}

/** Equal values have one code, as they have in memory. */
function codesOf(texts: readonly Uint8Array[]) {
  const known = new Map(texts.map((bytes) => [hexOf(bytes), bytes]));
  const keys = [...known.keys()];
  return {
    codes: Uint32Array.from(texts, (bytes) => keys.indexOf(hexOf(bytes))),
    strings: stringsOf([...known.values()]),
  };
}

function mergeOptions(blocksDirectory: string) {
  return {
    ...{ blocksDirectory, pageRows: 5, createdBy: 'vivace test', fsync: 'never' as const, nowMs: Date.now() },
    bounds: { columnsMax: 512, rowsMax: 100_000, bytesMax: 1 << 24 },
    pause: async (): Promise<void> => {},
    checkLock: async (): Promise<void> => {},
  };
}

function hexOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString('hex');
}

function bitsOf(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}

function doubleOf(bits: bigint): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, bits);
  return view.getFloat64(0);
}
