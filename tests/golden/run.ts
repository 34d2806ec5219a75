/**
 * The golden run: a server of its own takes the data set and answers every question twice, while the data is in live columns
 * and when it is in blocks.
 */
import { type Cleanup, startServer, temporaryFolder } from '../process/server.fixture.ts';
import { askAll, baseFor } from './ask.ts';
import { type Answer, type Answers, differenceOf, readAnswers } from './compare.ts';
import { dataset } from './dataset.ts';
import { type GoldenQuery, readQueries } from './queries.ts';

/** Where the data was when the question was asked. */
export type Place = 'live' | 'blocks';
export const PLACES: readonly Place[] = ['live', 'blocks'];

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
  const server = await startServer(t, { directory: temporaryFolder(t, 'golden') });
  const base = baseFor(Date.now());
  for (const body of dataset(base).protobuf) await send(server.otlpUrl, body);
  const live = await askAll(server.url, queries, base);
  const flushed = await fetch(`${server.url}/flush`, { method: 'POST' });
  if (flushed.status !== 204) throw new Error(`cannot flush: ${flushed.status} ${await flushed.text()}`);
  const blocks = await askAll(server.url, queries, base);
  return [...differences('live', queries, live), ...differences('blocks', queries, blocks)];
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
