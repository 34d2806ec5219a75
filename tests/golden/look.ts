/**
 * Shows how the server of this folder differs from Tempo 3.0, one line a difference:
 *   npm run golden -- [--only REGEX] [--all] [--write]
 * Without `--all` only news are shown. `--write` puts what differs for no good reason into open.ts, and our answers to the
 * accepted questions into answers-own.json: read the diff.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeAnswers } from './compare.ts';
import { judge, openList, ownAnswers } from './judge.ts';
import { type Difference, goldenRun } from './run.ts';

const { values } = parseArgs({
  options: { only: { type: 'string' }, all: { type: 'boolean' }, write: { type: 'boolean' } },
});
if (values.write && values.only) throw new Error('cannot write: --only leaves questions out');

const works: (() => void | Promise<void>)[] = [];
const differences = await goldenRun({ after: (work) => works.push(work) }, new RegExp(values.only ?? '.'));
for (const work of works) await work();

const { news, changed, settled } = judge(differences);
for (const each of values.all ? differences : [...news, ...changed]) console.log(line(each));
if (values.only === undefined) for (const each of settled) console.log(`differs no longer: ${each}`);
console.log(`${differences.length} differ, ${news.length} of them new, ${changed.length} accepted and changed`);
if (values.write) write();

function line({ name, place, text, query }: Difference): string {
  const asked = query.params.q === undefined ? '' : `   ${query.params.q}`;
  return `${name} ${place}: ${text}${asked}${query.quirk ? `   [${query.quirk}]` : ''}`;
}

function write(): void {
  writeAnswers('answers-own.json', ownAnswers(differences));
  const file = fileURLToPath(new URL('open.ts', import.meta.url));
  const head = fs.readFileSync(file, 'utf8').split('export const OPEN')[0];
  const list = JSON.stringify(openList(differences));
  fs.writeFileSync(file, `${head}export const OPEN: { readonly [name: string]: readonly Place[] } = ${list};\n`);
  spawnSync('npx', ['biome', 'check', '--write', file], { stdio: 'inherit' });
}
