/** Traces that tests delete from real servers: made so that every byte of them can be looked for. */
import assert from 'node:assert/strict';
import { type Server, until } from './server.fixture.ts';
import { type Answer, ask, type Batch, makeBatch, post, random, randomId, search, spansOf } from './spans.fixture.ts';

export interface State {
  state: string;
  waitsFor?: string[];
  erased?: string;
}

export const remove = (server: Server, trace: string): Promise<Answer> =>
  ask(`${server.url}/api/traces/${trace}`, { method: 'DELETE' });
export const flush = (server: Server): Promise<Answer> => ask(`${server.url}/flush`, { method: 'POST' });

export async function stateOf(server: Server, trace: string): Promise<State> {
  const { status, body } = await ask(`${server.url}/api/deleted-traces/${trace}`);
  assert.equal(status, 200, body.toString());
  return JSON.parse(body.toString()) as State;
}

/** A trace whose every attribute, name and service has the marker, among spans of others. */
export function secretBatch(
  seed: number,
  trace: string,
  others: readonly string[] = [],
): { batch: Batch; marker: string } {
  const next = random(seed);
  const marker = `secret-${randomId(next, 16)}`;
  const secret = makeBatch(next, { traces: [trace], spansPerTrace: 7, service: marker });
  const rest = makeBatch(next, { traces: others.length > 0 ? others : 5, spansPerTrace: 4 });
  return {
    marker,
    batch: { traces: rest.traces, body: Buffer.concat([secret.body, rest.body]) as Uint8Array<ArrayBuffer> },
  };
}

export async function send(server: Server, { body }: Batch): Promise<void> {
  assert.equal((await post(server.otlpUrl, body.slice())).status, 200);
}

/** In no answer is anything of the trace. */
export async function assertHidden(server: Server, trace: string, marker: string): Promise<void> {
  assert.deepEqual(await spansOf(server.url, trace), []);
  assert.ok(!(await search(server.url, { q: '{}', limit: '1000' })).includes(trace));
  assert.deepEqual(await search(server.url, { q: `{ resource.service.name = "${marker}" }` }), []);
  assert.deepEqual(await search(server.url, { tags: `service.name=${marker}` }), []);
  const paths = [
    '/api/search/tags',
    '/api/v2/search/tag/resource.service.name/values',
    '/api/v2/search/tag/span.test.trace/values',
    '/api/search/tag/service.name/values',
    `/api/metrics/query?q=${encodeURIComponent('{} | rate() by (resource.service.name)')}`,
    `/api/metrics/query_range?q=${encodeURIComponent('{} | count_over_time() by (span.test.trace)')}`,
  ];
  for (const each of paths) {
    const { status, body } = await ask(`${server.url}${each}`);
    assert.equal(status, 200, `${each}: ${body}`);
    assert.ok(!body.includes(marker) && !body.includes(trace), `${each} tells of it`);
  }
}

export async function untilErased(server: Server, trace: string, msMax = 60_000): Promise<void> {
  let state: State | undefined;
  await until(
    `trace ${trace} is erased`,
    async () => {
      state = await stateOf(server, trace);
      return state.state === 'erased';
    },
    msMax,
    () => `${JSON.stringify(state)}\n${server.stderr()}`,
  );
}
