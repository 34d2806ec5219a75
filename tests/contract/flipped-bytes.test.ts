/**
 * One byte of one file of a block is another one. Whoever asks gets the right answer, or is told that the block is missing and
 * gets that of the others; and whoever looks through the block finds it, wherever it is.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { BlockCatalog, type LocalBlockRef } from '../../src/block/catalog.ts';
import { parseMeta } from '../../src/block/meta.ts';
import { folderFiles, verifyBlock } from '../../src/block/verify.ts';
import { folderQueries } from '../../src/cli/folder-queries.ts';
import { encodeRequest } from '../../src/cut/otlp.fixture.ts';
import type { Queries } from '../../src/serve/queries.ts';
import { SEED } from '../property.ts';
import { cut, TestColumns } from './segments.fixture.ts';
import { requestNumber } from './snapshots-requests.fixture.ts';

/** In the long form every byte of the small files is changed, and this many of the large one. */
const FLIPS = Number(process.env.VIVACE_FLIPS ?? 24);

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-flipped-'));
after(() => fs.rmSync(folder, { recursive: true }));
let state = SEED >>> 0 || 1;
/** A number below `count` (xorshift). */
function below(count: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % count;
}

const traces: string[] = [];
async function blockOf(from: number, to: number): Promise<LocalBlockRef> {
  const columns = new TestColumns();
  for (let number = from; number < to; number++) {
    const request = requestNumber(number);
    columns.append(encodeRequest(request));
    for (const { scopes } of request)
      for (const { spans } of scopes)
        for (const { traceId } of spans) if (!traces.includes(traceId)) traces.push(traceId);
  }
  return cut(columns, folder);
}
const victim = await blockOf(0, 20);
const other = await blockOf(20, 26);
const { tenant } = victim;

const EVER = { startSeconds: 0, endSeconds: 2 ** 40 };
const QUESTIONS = [
  '{ }',
  '{ resource.service.name =~ ".*a.*" } | count() > 1',
  '{ duration > 1ms && kind = server }',
  '{ } >> { status = error }',
  '{ event:name != nil } | select(span.http.route, event:name)',
];

/** What everybody may ask, as text; and what was said to be missing. */
async function answers(): Promise<{ all: string[]; missing: string[] }> {
  const missing: string[] = [];
  const catalog = new BlockCatalog(folder);
  for (const problem of catalog.refresh()) missing.push(problem);
  const options = { catalog, traceBytesMax: 0, onBlock() {}, onDamage: (what: string) => missing.push(what) };
  const queries: Queries = folderQueries(options);
  const { signal } = new AbortController();
  const all: string[] = [];
  const keep = (answer: unknown): void => {
    const { metrics: _, inspectedBytes: __, ...rest } = (answer ?? {}) as Record<string, unknown>;
    all.push(JSON.stringify(rest, (_, value) => (typeof value === 'bigint' ? `${value}` : value)));
  };
  for (const id of traces)
    keep(await queries.trace({ tenant, id: Buffer.from(id, 'hex'), mode: 'all', bytesMax: 0 }, signal));
  for (const query of QUESTIONS)
    keep(await queries.search({ tenant, query, limit: 1000, spansPerSpanSet: 3, ...EVER }, signal));
  return { all, missing };
}

const whole = await answers();
assert.deepEqual(whole.missing, []);
fs.renameSync(victim.directory, `${victim.directory}.away`);
const without = await answers();
fs.renameSync(`${victim.directory}.away`, victim.directory);
assert.notDeepEqual(without.all, whole.all);

for (const name of fs.readdirSync(victim.directory).sort())
  test(`a byte of ${name}`, async (t) => {
    const file = path.join(victim.directory, name);
    const sound = fs.readFileSync(file);
    t.after(() => fs.writeFileSync(file, sound));
    let told = 0;
    // Where a flipped byte says most: the two ends of the file.
    const places = Array.from({ length: FLIPS }, (_, i) =>
      i % 3 === 0
        ? below(sound.length)
        : i % 3 === 1
          ? sound.length - 1 - below(Math.min(4000, sound.length))
          : below(Math.min(400, sound.length)),
    );
    for (const place of places) {
      const bit = 1 + below(255);
      const where = `byte ${place} of ${name} xor ${bit}, seed ${SEED}`;
      const bytes = Buffer.from(sound);
      bytes[place] ^= bit;
      fs.writeFileSync(file, bytes);
      const meta = parseMeta(fs.readFileSync(path.join(victim.directory, 'meta.json'), 'utf8'));
      if (name === 'meta.json') assert.equal(meta, undefined, where);
      else {
        const files = folderFiles(victim.directory);
        const problems = await verifyBlock(meta!, files, async () => {});
        await files.close();
        assert.notDeepEqual(problems, [], where);
      }
      const { all, missing } = await answers();
      for (const text of missing) assert.ok(text.includes(victim.id) && !text.includes(other.id), `${where}: ${text}`);
      for (const [i, answer] of all.entries())
        if (answer !== whole.all[i]) {
          assert.equal(answer, without.all[i], where);
          assert.ok(missing.length > 0, `${where}: an answer lacks the block and nobody is told`);
        }
      if (missing.length > 0) told++;
    }
    // The test must have met what it is for.
    assert.ok(told > FLIPS / 4, `told of ${told} of ${FLIPS}`);
  });

test('a sound block has no problems', async () => {
  for (const ref of [victim, other]) {
    const files = folderFiles(ref.directory);
    assert.deepEqual(await verifyBlock(ref.meta, files, async () => {}), []);
    await files.close();
  }
});
