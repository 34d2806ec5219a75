/**
 * Runs the benchmarks that sit beside hot code in their tiny form. Prints what an item costs and compares the hash of what
 * was made with the one in tiny.hashes.json: a faster run with another result is wrong. Times are for people and never fail.
 * After a change that is meant to change results: `node bench/tiny.ts --write`.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

interface Expected {
  /** Version of zstd that made the compressed results; another one may compress differently. */
  zstd: string;
  hashes: Record<string, Record<string, string>>;
}

const BENCHMARKS = ['src/parquet/bench.ts', 'src/cut/bench.ts', 'src/query/bench.ts', 'src/receive/bench.ts'];
/** Results that hold compressed bytes. */
const COMPRESSED = /^(?:writer|cut),/;

const root = path.resolve(import.meta.dirname, '..');
const expectedFile = path.join(import.meta.dirname, 'tiny.hashes.json');
const expected = JSON.parse(fs.readFileSync(expectedFile, 'utf8')) as Expected;
const zstd = process.versions.zstd ?? '';
const found: Expected = { zstd, hashes: {} };
const problems: string[] = [];

for (const benchmark of BENCHMARKS) {
  const output = execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', path.join(root, benchmark)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  console.log(`${benchmark}\n${output}`);
  found.hashes[benchmark] = hashesOf(output);
  compare(benchmark);
}

if (process.argv.includes('--write')) {
  fs.writeFileSync(expectedFile, `${JSON.stringify(found, null, 2)}\n`);
  console.log(`${path.relative(root, expectedFile)} is written`);
} else if (problems.length > 0) {
  for (const problem of problems) console.error(`error ${problem}`);
  console.error('If results were meant to change, run node bench/tiny.ts --write and say why in the commit.');
  process.exitCode = 1;
}

/** Lines look like `name   12.34 ns  89abcdef`. */
function hashesOf(output: string): Record<string, string> {
  const hashes: Record<string, string> = {};
  for (const match of output.matchAll(/^(.+?) +[\d.]+ ns +([0-9a-f]{8})$/gm)) hashes[match[1]] = match[2];
  return hashes;
}

function compare(benchmark: string): void {
  const wanted = expected.hashes[benchmark] ?? {};
  const made = found.hashes[benchmark];
  for (const name of new Set([...Object.keys(wanted), ...Object.keys(made)])) {
    if (COMPRESSED.test(name) && expected.zstd !== zstd) continue;
    if (wanted[name] !== made[name])
      problems.push(
        `${benchmark}: "${name}" made ${made[name] ?? 'nothing'} where ${wanted[name] ?? 'nothing'} was expected`,
      );
  }
}
