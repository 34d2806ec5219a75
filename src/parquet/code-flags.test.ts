import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { CodeFlags } from './code-flags.ts';
import { metadataOf, offsetIndexOf, pageBytes, writeFile } from './file.fixture.ts';
import { createPageScratch, decodePage, flagRows } from './read.ts';

/** Runs of cells, null for none, of a dictionary of up to `distinct` strings. */
const cells = fc
  .integer({ min: 1, max: 40 })
  .chain((distinct) =>
    fc
      .array(
        fc.tuple(
          fc.oneof({ weight: 4, arbitrary: fc.nat(distinct - 1) }, { weight: 1, arbitrary: fc.constant(null) }),
          fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat(90) }),
        ),
        { minLength: 1, maxLength: 120 },
      )
      .map((runs) =>
        runs.flatMap(([code, length]) => Array<string | null>(length).fill(code === null ? null : `s${code}`)),
      ),
  );

test('rows are flagged as their decoded codes say, whatever the width, the nulls and the place', () => {
  const scratch = createPageScratch();
  fc.assert(
    fc.property(
      cells,
      fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }),
      fc.nat(40),
      fc.boolean(),
      (rows, wanted, at, one) => {
        fc.pre(rows.length > 0);
        const schema = { name: 'c', type: 'bytes', logical: 'string', repetition: 'optional' } as const;
        const file = writeFile([{ schema, rows, dictionary: true, codec: 'zstd' }], 500);
        const chunk = metadataOf(file).rowGroups[0].columns[0];
        if (chunk.dictionaryPageOffset === undefined) return;
        const index = offsetIndexOf(file, chunk);
        const flags = Uint8Array.from(wanted, (flag, code) => Number(one ? code === wanted.indexOf(true) : flag));
        const codeFlags = new CodeFlags(flags);
        for (let page = 0; page < index.pages; page++) {
          const bytes = pageBytes(file, index, page);
          const decoded = decodePage(bytes, chunk);
          const expected = new Uint8Array((at + decoded.rows + 7) >>> 3);
          for (let row = 0, value = 0; row < decoded.rows; row++) {
            if (decoded.definition !== undefined && decoded.definition[row] === 0) continue;
            expected[(at + row) >>> 3] |= flags[decoded.codes![value++]] << ((at + row) & 7);
          }
          const out = new Uint8Array(expected.length);
          flagRows(bytes, chunk, codeFlags, scratch, out, at);
          assert.deepEqual(out, expected);
        }
      },
    ),
    { numRuns: 300 },
  );
});
