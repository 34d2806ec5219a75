import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { ImportRow } from './import-table.ts';
import { checkTree } from './imports.ts';

const root = path.resolve(import.meta.dirname, '../..');

test('this tree obeys the import table and the other rules', () => {
  const errors = checkTree(root).filter((finding) => !finding.warning);
  assert.deepEqual(errors, []);
});

/** A case: files, and the findings they give as `rule file:line`. */
const cases: [string, Record<string, string>, string[]][] = [
  ['down is fine', { 'src/block/a.ts': "import { b } from '../parquet/b.ts';\n" }, []],
  ['inside a folder is fine', { 'src/block/a.ts': "import { b } from './b.ts';\n" }, []],
  ['up', { 'src/parquet/a.ts': "\nimport { b } from '../block/b.ts';\n" }, ['import-table src/parquet/a.ts:2']],
  ['sideways', { 'src/cut/a.ts': "import { b } from '../query/b.ts';\n" }, ['import-table src/cut/a.ts:1']],
  ['receive and log', { 'src/receive/a.ts': "import '../log/b.ts';\n" }, ['import-table src/receive/a.ts:1']],
  [
    'types count',
    { 'src/parquet/a.ts': "import type { B } from '../block/b.ts';\n" },
    ['import-table src/parquet/a.ts:1'],
  ],
  [
    'over several lines, the line of the file',
    { 'src/wire/a.ts': "import {\n  b,\n  c,\n} from '../serve/b.ts';\n" },
    ['import-table src/wire/a.ts:4'],
  ],
  ['re-exports', { 'src/wire/a.ts': "export * from '../serve/b.ts';\n" }, ['import-table src/wire/a.ts:1']],
  [
    'dynamic imports',
    { 'src/wire/a.ts': "const b = await import('../serve/b.ts');\n" },
    ['import-table src/wire/a.ts:1'],
  ],
  [
    'files of threads',
    { 'src/wire/a.ts': "new Worker(new URL('../roles/b.ts', import.meta.url));\n" },
    ['import-table src/wire/a.ts:1'],
  ],
  ['comments are not imports', { 'src/wire/a.ts': "// import('../serve/b.ts')\n * import('../serve/b.ts')\n" }, []],
  ['types where only types may', { 'src/serve/a.ts': "import type { B } from '../query/b.ts';\n" }, []],
  ['each one a type', { 'src/serve/a.ts': "import { type A, type B } from '../query/b.ts';\n" }, []],
  [
    'one not a type',
    { 'src/serve/a.ts': "import { type A, b } from '../query/b.ts';\n" },
    ['import-table src/serve/a.ts:1'],
  ],
  ['outside src', { 'src/wire/a.ts': "import { b } from '../../bench/b.ts';\n" }, ['import-table src/wire/a.ts:1']],
  ['what is for tests', { 'src/wire/a.ts': "import { b } from './b.fixture.ts';\n" }, ['import-table src/wire/a.ts:1']],
  ['tests may import anything', { 'src/parquet/a.test.ts': "import { b } from '../roles/b.ts';\n" }, []],
  ['so may benchmarks', { 'src/parquet/bench.ts': "import { b } from '../roles/b.ts';\n" }, []],
  ['a package that is there', { 'src/wire/a.ts': "import { b } from '@known/package/file.js';\n" }, []],
  ['a package that is not', { 'src/wire/a.ts': "import b from 'unknown';\n" }, ['import-table src/wire/a.ts:1']],
  ['traceql and re2js', { 'src/traceql/a.ts': "import { RE2JS } from 're2js';\n" }, []],
  ['traceql and Node', { 'src/traceql/a.ts': "import fs from 'node:fs';\n" }, ['import-table src/traceql/a.ts:1']],
  ['a folder without a row', { 'src/new/a.ts': '\n' }, ['import-table src/new/a.ts:1']],
  ['barrels', { 'src/wire/index.ts': '\n' }, ['no-barrel src/wire/index.ts:1']],
  ['drawers', { 'tests/helpers/a.ts': '\n' }, ['no-drawer tests/helpers/a.ts:1']],
  [
    'tests switched off',
    { 'tests/a.test.ts': `\ntest.${'only'}('a', () => {});\ntest('b', { ${'skip'}: true }, () => {});\n` },
    ['no-switched-off-test tests/a.test.ts:2', 'no-switched-off-test tests/a.test.ts:3'],
  ],
  ['long files', { 'src/wire/a.ts': '\n'.repeat(701) }, ['file-length src/wire/a.ts:701']],
  ['an old drawing', { 'ARCHITECTURE.md': '# A\n' }, ['import-table-in-sync ARCHITECTURE.md:1']],
  [
    'dependencies without a reason, reasons without a dependency',
    { 'docs/decisions/0001-dependencies.md': '| package | why |\n| `gone` | was used |\n' },
    [
      'dependency-reason docs/decisions/0001-dependencies.md:1',
      'dependency-reason docs/decisions/0001-dependencies.md:2',
    ],
  ],
  [
    'a lock file without the package of another platform',
    {
      'package-lock.json':
        '{"packages":{"node_modules/a":{"optionalDependencies":{"a-linux":"1","a-windows":"1"}},"node_modules/a-linux":{}}}',
    },
    ['lock-complete package-lock.json:1'],
  ],
];

for (const [name, files, expected] of cases)
  test(`import gate: ${name}`, (t) => {
    const tree = fs.mkdtempSync(path.join(os.tmpdir(), 'gate-'));
    t.after(() => fs.rmSync(tree, { recursive: true }));
    const all = { 'package.json': '{"dependencies":{"@known/package":"1.0.0"}}', ...files };
    for (const [file, text] of Object.entries(all)) {
      fs.mkdirSync(path.dirname(path.join(tree, file)), { recursive: true });
      fs.writeFileSync(path.join(tree, file), text);
    }
    const found = checkTree(tree).map((finding) => `${finding.rule} ${finding.file}:${finding.line}`);
    assert.deepEqual(found, expected);
  });

test('a finding says what may be imported and what to do', (t) => {
  const tree = fs.mkdtempSync(path.join(os.tmpdir(), 'gate-'));
  t.after(() => fs.rmSync(tree, { recursive: true }));
  fs.mkdirSync(path.join(tree, 'src/low'), { recursive: true });
  fs.writeFileSync(path.join(tree, 'src/low/a.ts'), "import { b } from '../high/b.ts';\n");
  const table: ImportRow[] = [{ folder: 'low', may: ['ground'], why: 'test' }];
  assert.match(checkTree(tree, table)[0].text, /low may not import high \(it may: ground\); let the role pass it in/);
});
