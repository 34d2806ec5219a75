import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import type { Values } from './column.ts';
import { metadataOf, offsetIndexOf, pageBytes, writeFile } from './file.fixture.ts';
import { createPageScratch, decodePage, pickRows } from './read.ts';
import { PickedValues } from './sparse.ts';
import type { ColumnSchema } from './column.ts';

const columns: [
  name: string,
  schema: ColumnSchema,
  cell: (number: number) => string | number | bigint,
  dictionary: boolean,
][] = [
  ['codes', { name: 'c', type: 'bytes', repetition: 'optional' }, (n) => `s${n}`, true],
  ['coded numbers', { name: 'c', type: 'int64', repetition: 'optional' }, BigInt, true],
  ['differences', { name: 'c', type: 'int64', repetition: 'optional' }, (n) => BigInt(n * n), false],
  ['doubles', { name: 'c', type: 'double', repetition: 'optional' }, (n) => n / 3, false],
  [
    'ids',
    { name: 'c', type: 'fixed', width: 2, repetition: 'optional' },
    (n) => String.fromCharCode(65 + n, 66 + n),
    false,
  ],
];

/** Runs of cells and of nulls. */
const runs = fc.array(fc.tuple(fc.option(fc.nat(40)), fc.integer({ min: 1, max: 60 })), {
  minLength: 1,
  maxLength: 40,
});

for (const [name, schema, cell, dictionary] of columns)
  test(`a few values of a page are those of all: ${name}`, () => {
    const scratch = createPageScratch();
    fc.assert(
      fc.property(runs, fc.integer({ min: 1, max: 30 }), fc.nat(30), (lengths, every, first) => {
        const rows = lengths.flatMap(([n, length]) => Array.from({ length }, () => (n === null ? null : cell(n))));
        const file = writeFile([{ schema, rows, dictionary, codec: 'zstd' }], 10_000);
        const chunk = metadataOf(file).rowGroups[0].columns[0];
        const bytes = pageBytes(file, offsetIndexOf(file, chunk), 0);
        const all = decodePage(bytes, chunk);
        const wanted = Uint32Array.from({ length: Math.ceil(rows.length / every) }, (_, i) => first + i * every).filter(
          (row) => row < rows.length,
        );
        // The row group's rows begin with 100, and something was picked before.
        const picked = new PickedValues(wanted.length + 3);
        picked.count = 3;
        const isPicked = pickRows(
          bytes,
          chunk,
          scratch,
          {},
          picked,
          wanted.map((row) => row + 100),
          0,
          wanted.length,
          100,
        );
        const valueOfRow = new Map<number, unknown>();
        for (let row = 0, value = 0; row < all.rows; row++)
          if (all.definition === undefined || all.definition[row] === 1) {
            valueOfRow.set(row, all.codes?.[value] ?? valueAt(all.values!, value));
            value++;
          }
        const expected = [...wanted].filter((row) => valueOfRow.has(row)).map((row) => [row, valueOfRow.get(row)]);
        if (!isPicked) {
          assert.ok(schema.type === 'int64' || all.count === 0);
          return;
        }
        const found = Array.from({ length: picked.count - 3 }, (_, i) => [
          picked.rows[3 + i] - 100,
          picked.codes?.[3 + i] ?? pickedAt(picked, 3 + i),
        ]);
        assert.deepEqual(found, expected);
      }),
      { numRuns: 100 },
    );
  });

function pickedAt({ words, doubles, bytes }: PickedValues, at: number): unknown {
  if (words !== undefined) return `${words[2 * at]} ${words[2 * at + 1]}`;
  return doubles?.[at] ?? Buffer.from(bytes!.subarray(2 * at, 2 * at + 2)).toString('hex');
}

function valueAt(values: Values, at: number): unknown {
  switch (values.type) {
    case 'int64':
      return `${values.words[2 * at]} ${values.words[2 * at + 1]}`;
    case 'double':
      return values.values[at];
    case 'fixed':
      return Buffer.from(values.bytes.subarray(at * values.width, (at + 1) * values.width)).toString('hex');
    default:
      throw new Error(values.type);
  }
}
