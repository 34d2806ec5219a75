/**
 * The golden run: servers of its own take the data set and answer every question while the data is in live columns, when it is
 * in a block, when a part is in a block and a part in live columns, and when both parts were merged into one block.
 */
import fs from 'node:fs';
import path from 'node:path';
import { type Cleanup, type Server, startServer, temporaryFolder, until } from '../process/server.fixture.ts';
import { askAll, baseFor } from './ask.ts';
import { type Answer, type Answers, differenceOf, readAnswers } from './compare.ts';
import { dataset } from './dataset.ts';
import { type GoldenQuery, readQueries } from './queries.ts';

/** Where the data was when the question was asked. */
export type Place = 'live' | 'blocks' | 'mixture' | 'merged';
export const PLACES: readonly Place[] = ['live', 'blocks', 'mixture', 'merged'];

export interface Difference {
  name: string;
  place: Place;
  /** How the answer differs from Tempo's, in a few words. */
  text: string;
  answer: Answer;
  query: GoldenQuery;
}

/** All that differs from what Tempo 3.0 answered. `only` chooses questions by name. */
export async function goldenRun(t: Cleanup, only = /./): Promise<Difference[]> {
  const queries = readQueries().filter(({ name }) => only.test(name));
  const base = baseFor(Date.now());
  const requests = dataset(base).protobuf;
  const found: Difference[] = [];
  const ask = async (place: Place, server: Server): Promise<void> => {
    found.push(...differences(place, queries, await askAll(server.url, queries, base)));
  };
  const plain = await startServer(t, { directory: temporaryFolder(t, 'golden') });
  for (const body of requests) await send(plain.otlpUrl, body);
  await ask('live', plain);
  await flush(plain);
  await ask('blocks', plain);
  // Every other request, so that the trace that comes in three is in both.
  const mixed = await startServer(t, { directory: temporaryFolder(t, 'golden'), flags: MERGING });
  for (const body of requests.filter((_, i) => i % 2 === 0)) await send(mixed.otlpUrl, body);
  await flush(mixed);
  for (const body of requests.filter((_, i) => i % 2 === 1)) await send(mixed.otlpUrl, body);
  await ask('mixture', mixed);
  await flush(mixed);
  await until('the blocks are merged', () => levelsOf(mixed).join() === '1', MERGED_MS_MAX, mixed.stderr);
  await ask('merged', mixed);
  return found;
}

/** Two blocks are merged as soon as there are two. */
const MERGING = [
  '--compactor.compaction.compaction-cycle=100ms',
  '--backend-scheduler.provider.compaction.max-input-blocks=4',
  '--backend-scheduler.provider.compaction.max-input-blocks=2',
  '--storage.trace.blocklist-poll=300ms',
];
const MERGED_MS_MAX = 60_000;

/** How often each block of a list was merged. */
function levelsOf({ dataDirectory }: Server): number[] {
  const folder = path.join(dataDirectory, 'blocks', 'single-tenant');
  const metas = fs.readdirSync(folder).map((id) => path.join(folder, id, 'meta.json'));
  return metas
    .filter((meta) => fs.existsSync(meta))
    .map((meta) => JSON.parse(fs.readFileSync(meta, 'utf8')).compactionLevel);
}

async function flush({ url }: Server): Promise<void> {
  const answer = await fetch(`${url}/flush`, { method: 'POST' });
  if (answer.status !== 204) throw new Error(`cannot flush: ${answer.status} ${await answer.text()}`);
}

async function send(url: string, body: Uint8Array): Promise<void> {
  const headers = { 'content-type': 'application/x-protobuf' };
  const response = await fetch(url, { method: 'POST', headers, body: new Uint8Array(body) });
  if (response.status !== 200) throw new Error(`cannot load: ${response.status} ${await response.text()}`);
}

function differences(place: Place, queries: GoldenQuery[], answers: Answers): Difference[] {
  const expected = readAnswers('answers-3.0.json');
  const alternatives = readAnswers('answers-2.9.json');
  return queries.flatMap((query) => {
    const answer = answers[query.name];
    const text = differenceOf(query, answer, expected, alternatives);
    return text === undefined ? [] : [{ name: query.name, place, text, answer, query }];
  });
}
