/**
 * The rules about the tree that a machine can see: who imports whom (import-table.ts), no barrels, no drawers for odds and
 * ends, no tests that are switched off, documents that keep up. Every finding names the rule, the place and the cure.
 * `node tests/gate/imports.ts` checks, and ends with 1 when something is wrong; `--write` puts the table into ARCHITECTURE.md.
 */
import fs from 'node:fs';
import path from 'node:path';
import { IMPORT_TABLE, type ImportRow, importTableMarkdown } from './import-table.ts';

export interface Finding {
  rule: string;
  /** Path relative to the root of the tree. */
  file: string;
  line: number;
  /** What is wrong, and the cure. */
  text: string;
  /** A warning does not fail the gate. */
  warning?: boolean;
}

const FILE_LINES_MAX = 700;
const DRAWERS = new Set(['utils', 'util', 'common', 'helpers', 'helper', 'shared', 'core', 'misc']);
const TABLE_BEGIN = '<!-- import table: node tests/gate/imports.ts --write -->';
const TABLE_END = '<!-- end of import table -->';

if (import.meta.main) {
  const root = path.resolve(import.meta.dirname, '../..');
  if (process.argv.includes('--write')) writeTable(root);
  const findings = checkTree(root);
  for (const finding of findings)
    console.log(
      `${finding.warning ? 'warning' : 'error'} ${finding.rule} ${finding.file}:${finding.line}: ${finding.text}`,
    );
  const errors = findings.filter((finding) => !finding.warning).length;
  console.log(`import gate: ${errors} errors, ${findings.length - errors} warnings`);
  process.exitCode = errors > 0 ? 1 : 0;
}

/** Every finding in the tree below `root`, errors and warnings, in the order of files. */
export function checkTree(root: string, table: readonly ImportRow[] = IMPORT_TABLE): Finding[] {
  const files = ['src', 'tests', 'bench'].flatMap((folder) => filesBelow(root, folder));
  const packageJson = readPackage(root);
  const findings: Finding[] = [];
  for (const file of files) {
    findings.push(...checkNames(file));
    if (!file.endsWith('.ts') && !file.endsWith('.mjs')) continue;
    const text = fs.readFileSync(path.join(root, file), 'utf8');
    if (file.endsWith('.test.ts')) findings.push(...checkSwitchedOff(file, text));
    if (!file.startsWith('src/')) continue;
    findings.push(...checkLength(file, text));
    if (!isTest(file)) findings.push(...checkImports(file, text, table, packageJson.dependencies));
  }
  return [...findings, ...checkArchitecture(root, table), ...checkDecisions(root, packageJson), ...checkLock(root)];
}

function checkNames(file: string): Finding[] {
  const findings: Finding[] = [];
  const parts = file.split('/');
  const name = parts.pop()!;
  if (/^index\.[cm]?[jt]sx?$/.test(name))
    findings.push({
      rule: 'no-barrel',
      file,
      line: 1,
      text: 'a file named index hides what it holds; name it after its subject and import the file that has the thing',
    });
  const drawer = parts.find((part) => DRAWERS.has(part));
  if (drawer !== undefined)
    findings.push({
      rule: 'no-drawer',
      file,
      line: 1,
      text: `a folder named ${drawer} has no subject; put the file beside its only user, or name what it is about`,
    });
  return findings;
}

function checkSwitchedOff(file: string, text: string): Finding[] {
  const findings: Finding[] = [];
  const pattern = /\b(?:test|it|describe|suite)\.(?:only|skip|todo)\b|[{,]\s*(?:only|skip|todo):\s*true\b/g;
  for (const match of text.matchAll(pattern))
    findings.push({
      rule: 'no-switched-off-test',
      file,
      line: lineAt(text, match.index),
      text: `"${match[0].replace(/^[{,]\s*/, '')}" switches tests off; run the test, mend it or delete it`,
    });
  return findings;
}

function checkLength(file: string, text: string): Finding[] {
  const lines = text.split('\n').length - 1;
  if (lines <= FILE_LINES_MAX) return [];
  const why = `${lines} lines, more than ${FILE_LINES_MAX}; cut it along the stages of the flow`;
  return [{ rule: 'file-length', file, line: FILE_LINES_MAX + 1, text: why, warning: true }];
}

function checkImports(
  file: string,
  text: string,
  table: readonly ImportRow[],
  dependencies: Record<string, string>,
): Finding[] {
  const folder = folderOf(file);
  const row = table.find((each) => each.folder === folder);
  if (row === undefined) {
    const why = `src/${folder} has no row in the import table; give it one in tests/gate/import-table.ts`;
    return [{ rule: 'import-table', file, line: 1, text: why }];
  }
  const findings: Finding[] = [];
  for (const { specifier, line, typesOnly } of importsOf(text)) {
    const problem = specifier.startsWith('.')
      ? folderProblem(row, path.posix.join(path.posix.dirname(file), specifier), typesOnly)
      : packageProblem(row, packageOf(specifier), dependencies);
    if (problem !== undefined) findings.push({ rule: 'import-table', file, line, text: problem });
  }
  return findings;
}

function folderProblem(row: ImportRow, target: string, typesOnly: boolean): string | undefined {
  if (isTest(target))
    return `${target} belongs to tests; product code does not import it: move what is needed out of it`;
  if (!target.startsWith('src/')) return `${target} is outside src; product code imports only what is in src`;
  const folder = folderOf(target);
  if (folder === row.folder || row.may.includes(folder)) return undefined;
  if (row.types?.includes(folder))
    return typesOnly ? undefined : `${row.folder} may import types of ${folder} only; use "import type", or pass it in`;
  return `${row.folder} may not import ${folder} (it may: ${row.may.join(', ') || 'nothing'}); let the role pass it in, or move what both need down`;
}

function packageProblem(row: ImportRow, name: string, dependencies: Record<string, string>): string | undefined {
  if (row.packages !== undefined) {
    if (row.packages.includes(name)) return undefined;
    return `${row.folder} may not import ${name} (it may: ${row.packages.join(', ') || 'no package'}); do it without, or elsewhere`;
  }
  if (name.startsWith('node:') || name in dependencies) return undefined;
  return `${name} is not in "dependencies" of package.json; add it there with a line in docs/decisions/0001-dependencies.md`;
}

/** Static and dynamic imports, re-exports, and the files of worker threads. */
function importsOf(text: string): { specifier: string; line: number; typesOnly: boolean }[] {
  const found: { specifier: string; line: number; typesOnly: boolean }[] = [];
  const names = String.raw`\*(?:\s+as\s+[\w$]+)?|\{[^}]*\}|[\w$]+(?:\s*,\s*(?:\{[^}]*\}|\*\s+as\s+[\w$]+))?`;
  const statement = new RegExp(
    String.raw`^(?:import|export)\s+(type\s+)?(?:(${names})\s+from\s+)?['"]([^'"]+)['"]`,
    'gm',
  );
  for (const match of text.matchAll(statement)) {
    const [whole, type, clause, specifier] = match;
    const listed = clause?.startsWith('{')
      ? clause
          .slice(1, -1)
          .split(',')
          .map((each) => each.trim())
          .filter((each) => each !== '')
      : [];
    const typesOnly = type !== undefined || (listed.length > 0 && listed.every((each) => each.startsWith('type ')));
    found.push({ specifier, line: lineAt(text, match.index + whole.length), typesOnly });
  }
  for (const match of text.matchAll(/^(.*?)(?:\bimport\(\s*|\bnew URL\(\s*)['"]([^'"]+)['"]/gm)) {
    if (/^\s*(?:\*|\/\/|\/\*)/.test(match[1])) continue;
    const isUrl = match[0].includes('new URL');
    if (isUrl && !/^\.\.?\/.*\.ts$/.test(match[2])) continue;
    found.push({ specifier: match[2], line: lineAt(text, match.index + match[0].length), typesOnly: false });
  }
  return found;
}

function checkArchitecture(root: string, table: readonly ImportRow[]): Finding[] {
  const file = 'ARCHITECTURE.md';
  const text = readIfThere(path.join(root, file));
  if (text === undefined) return [];
  const from = text.indexOf(TABLE_BEGIN);
  const to = text.indexOf(TABLE_END);
  if (from >= 0 && to > from && text.slice(from + TABLE_BEGIN.length, to).trim() === importTableMarkdown(table))
    return [];
  const why = 'its import table is not the one that is checked; run node tests/gate/imports.ts --write';
  return [{ rule: 'import-table-in-sync', file, line: from < 0 ? 1 : lineAt(text, from), text: why }];
}

function checkDecisions(root: string, packageJson: PackageJson): Finding[] {
  const file = 'docs/decisions/0001-dependencies.md';
  const text = readIfThere(path.join(root, file));
  if (text === undefined) return [];
  const findings: Finding[] = [];
  const listed = new Set([...text.matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1]));
  const all = { ...packageJson.dependencies, ...packageJson.optionalDependencies, ...packageJson.devDependencies };
  for (const name of Object.keys(all))
    if (!listed.has(name))
      findings.push({ rule: 'dependency-reason', file, line: 1, text: `${name} has no line; write why it is needed` });
  for (const name of listed)
    if (!(name in all))
      findings.push({
        rule: 'dependency-reason',
        file,
        line: lineAt(text, text.indexOf(`| \`${name}\``)),
        text: `${name} is not in package.json any more; delete its line`,
      });
  return findings;
}

/** `npm ci` refuses a lock file that lacks the packages of other platforms, which some registries and npm versions leave out. */
function checkLock(root: string): Finding[] {
  const file = 'package-lock.json';
  const text = readIfThere(path.join(root, file));
  if (text === undefined) return [];
  const { packages } = JSON.parse(text) as { packages: Record<string, Partial<PackageJson>> };
  const findings: Finding[] = [];
  for (const [from, { dependencies = {}, optionalDependencies = {} }] of Object.entries(packages))
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies }))
      if (!(`node_modules/${name}` in packages) && !(`${from}/node_modules/${name}` in packages)) {
        const why = `${name}, which ${from || 'package.json'} names, has no entry, so npm ci fails; add it with its version, os and cpu`;
        findings.push({ rule: 'lock-complete', file, line: 1, text: why });
      }
  return findings;
}

function writeTable(root: string): void {
  const file = path.join(root, 'ARCHITECTURE.md');
  const text = fs.readFileSync(file, 'utf8');
  const from = text.indexOf(TABLE_BEGIN);
  const to = text.indexOf(TABLE_END);
  if (from < 0 || to < from) throw new Error(`cannot write the import table: ${file} lacks its two marks`);
  fs.writeFileSync(
    file,
    `${text.slice(0, from + TABLE_BEGIN.length)}\n\n${importTableMarkdown()}\n\n${text.slice(to)}`,
  );
}

interface PackageJson {
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}

function readPackage(root: string): PackageJson {
  const json = JSON.parse(readIfThere(path.join(root, 'package.json')) ?? '{}') as Partial<PackageJson>;
  return { dependencies: {}, optionalDependencies: {}, devDependencies: {}, ...json };
}

function readIfThere(file: string): string | undefined {
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : undefined;
}

/** Files below a folder, sorted, as paths with slashes relative to `root`. */
function filesBelow(root: string, folder: string): string[] {
  const directory = path.join(root, folder);
  if (!fs.existsSync(directory)) return [];
  return fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)).split(path.sep).join('/'))
    .sort();
}

/** Tests, what only tests use, and benchmarks may import anything. */
function isTest(file: string): boolean {
  return /(?:\.test|\.fixture|-under-test|\/bench)\.ts$/.test(file) || /^(?:tests|bench)\//.test(file);
}

/** `src/cut/append.ts` → `cut`, `src/main.ts` → `main`. */
function folderOf(file: string): string {
  const [, first, second] = file.split('/');
  return second === undefined ? first.replace(/\.ts$/, '') : first;
}

/** `@a/b/c.js` → `@a/b`, `prom-client/lib/counter.js` → `prom-client`. */
function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier;
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function lineAt(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < index; at = text.indexOf('\n', at + 1)) line++;
  return line;
}
