/**
 * Real processes merge the blocks of one bucket on a real S3 server, several at once: nobody sees a span twice or not at all
 * meanwhile, nor afterwards, also when the process that merges is killed at any step.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { BUCKET_MERGE_POINTS } from '../../src/compact/bucket-merge.ts';
import { type Fault, faultProxy } from '../contract/fault-proxy.fixture.ts';
import { testBuckets } from './bucket-servers.fixture.ts';
import { type Cleanup, type Server, type StartOptions, startServer, until } from './server.fixture.ts';
import { ask, makeBatch, post, random, randomId, spansOf } from './spans.fixture.ts';

const buckets = await testBuckets('merged');
const { skip } = buckets;

const PACE = [
  '--live-store.complete-block-timeout=500ms',
  '--compactor.compaction.compaction-cycle=100ms',
  '--backend-scheduler.provider.compaction.max-input-blocks=4',
  '--compactor.compaction.compacted-block-retention=3s',
];
/** Looks without a pause took more of the machine than all that they look at. */
const LOOK_EVERY_MS = 20;
const over = (t: Cleanup, bucket: string, flags: string[] = [], endpoint?: string): StartOptions =>
  buckets.over(t, bucket, [...PACE, ...flags], endpoint);

describe('blocks of a bucket are merged', { skip }, () => {
  test('by two processes at once, level by level, before the eyes of others', async (t) => {
    const bucket = buckets.make();
    const writer = await startServer(t, over(t, bucket, ['--compactor.disabled=true']));
    const reader = await startServer(t, { ...over(t, bucket), target: 'querier' });
    const sent = new Map<string, string[]>();
    for (let seed = 0; seed < 2; seed++) await fill(writer, seed, 8, sent);
    for (const server of [writer, reader]) await untilComplete(server, sent);
    const looking = look([writer, reader], sent);
    const compactors = await Promise.all(
      ['all', 'compactor'].map((target) => startServer(t, { ...over(t, bucket), target })),
    );
    await until('one block is left', () => levels(bucket).length === 1, 120_000, compactors[0].stderr);
    await until('replaced blocks are gone', () => blockFolders(bucket).length === 1, 120_000, compactors[0].stderr);
    assert.deepEqual(levels(bucket), [2]);
    assert.ok((await looking.end()) > 10);
    for (const server of [writer, reader, ...compactors]) await untilComplete(server, sent);
    for (const server of [writer, reader]) await assertOnce(server, sent);
    // Two metrics tell of each merge; they are sent once a second.
    const sum = async (name: string): Promise<number> =>
      (await metric(compactors[0], name)) + (await metric(compactors[1], name));
    await until('the metrics tell', async () => (await sum('tempodb_compaction_blocks_total')) === 20);
    assert.equal(await sum('tempodb_compaction_outstanding_blocks'), 0);
  });

  test('while a quarter of all requests fails', async (t) => {
    const bucket = buckets.make();
    const proxy = await faultProxy(t, buckets.server.endpoint);
    const next = random(77);
    const faults: Fault[] = ['slow-down', 'error', 'reset', 'lost-answer', 'truncate'];
    let bad = 0;
    proxy.decide = () => (next() < 1 / 4 ? faults[bad++ % faults.length] : 'none');
    const writers = [
      await startServer(t, over(t, bucket, [], proxy.endpoint)),
      await startServer(t, over(t, bucket, [], proxy.endpoint)),
    ];
    const sent = new Map<string, string[]>();
    for (const [i, writer] of writers.entries()) await fill(writer, 40 + i, 4, sent);
    for (const server of writers) await untilComplete(server, sent);
    await until('blocks are merged', () => levels(bucket).length <= 2, 120_000, writers[0].stderr);
    for (const server of writers) await untilComplete(server, sent);
    proxy.decide = () => 'none';
    for (const server of writers) await assertOnce(server, sent);
    assert.ok(bad > 10);
  });

  for (const point of [...BUCKET_MERGE_POINTS, 'marked'])
    test(`killed when it has reached "${point}": another one goes on`, async (t) => {
      const bucket = buckets.make();
      const off = ['--compactor.disabled=true'];
      const reader = await startServer(t, over(t, bucket, off));
      const first = await startServer(t, { ...over(t, bucket), env: { VIVACE_KILL_AT: `bucket compaction ${point}` } });
      const sent = new Map<string, string[]>();
      await fill(reader, 7, 4, sent);
      assert.equal((await first.exited).signal, 'SIGKILL');
      await untilComplete(reader, sent);
      const looking = look([reader], sent);
      const second = await startServer(t, over(t, bucket));
      await until('one block is left', () => levels(bucket).length === 1, 60_000, second.stderr);
      await until('nothing else is left', () => blockFolders(bucket).length === 1, 60_000, second.stderr);
      assert.ok((await looking.end()) > 0);
      for (const server of [reader, second]) await assertOnce(server, sent);
    });
});

/** Sends so many blocks, each with a few spans of every one of five traces. */
async function fill(server: Server, seed: number, blocks: number, sent: Map<string, string[]>): Promise<void> {
  const next = random(seed);
  const traces = Array.from({ length: 5 }, () => randomId(next, 16));
  for (let block = 0; block < blocks; block++) {
    const batch = makeBatch(next, { traces, spansPerTrace: 3, startMs: Date.now() });
    for (const [trace, ids] of batch.traces) sent.set(trace, [...(sent.get(trace) ?? []), ...ids]);
    assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
    await ask(`${server.url}/flush`, { method: 'POST' }).catch(() => {});
  }
}

/** Asks all servers for all spans again and again, and leaves them time to merge; the answer is always the same. */
function look(servers: Server[], sent: Map<string, string[]>): { end: () => Promise<number> } {
  let looking = true;
  const loops = servers.map(async (server) => {
    for (let looks = 0; ; looks++) {
      if (!looking) return looks;
      assert.equal(await countOf(server), total(sent), `spans that ${server.url} counts at its look ${looks}`);
      const [trace, ids] = [...sent][looks % sent.size];
      assert.deepEqual((await spansOf(server.url, trace)).sort(), [...ids].sort());
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  });
  const ends = Promise.all(loops);
  ends.catch(() => {});
  return {
    async end() {
      looking = false;
      return (await ends).reduce((sum, looks) => sum + looks, 0);
    },
  };
}

async function untilComplete(server: Server, sent: Map<string, string[]>): Promise<void> {
  const counts: number[] = [];
  await until(
    `${server.url} has ${total(sent)} spans`,
    async () => counts[counts.push(await countOf(server)) - 1] === total(sent),
    60_000,
    () => `${counts.slice(-20)}\n${server.stderr()}`,
  );
}

/** How often spans are there: one that two blocks have counts twice. */
async function countOf(server: Server): Promise<number> {
  const q = encodeURIComponent('{ } | count_over_time()');
  const { status, body } = await ask(`${server.url}/api/metrics/query?q=${q}&since=1h`);
  assert.equal(status, 200, body.toString());
  const { series } = JSON.parse(body.toString()) as { series: { value: number }[] };
  return series[0]?.value ?? 0;
}

async function assertOnce(server: Server, sent: Map<string, string[]>): Promise<void> {
  assert.equal(await countOf(server), total(sent));
  for (const [trace, ids] of sent) assert.deepEqual((await spansOf(server.url, trace)).sort(), [...ids].sort());
}

function total(sent: Map<string, string[]>): number {
  return [...sent.values()].reduce((sum, { length }) => sum + length, 0);
}

/** The sum of a metric's series. */
async function metric(server: Server, name: string): Promise<number> {
  const text = (await ask(`${server.url}/metrics`)).body.toString();
  return [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))].reduce(
    (sum, [, value]) => sum + Number(value),
    0,
  );
}

/** How often the blocks that are in lists were merged. */
function levels(bucket: string): number[] {
  return buckets.glob(bucket, '*/*/meta.json').flatMap((meta) => {
    try {
      return [JSON.parse(fs.readFileSync(meta, 'utf8')).compactionLevel as number];
    } catch {
      return [];
    }
  });
}

/** Blocks of which anything is there. */
function blockFolders(bucket: string): string[] {
  return [...new Set(buckets.glob(bucket, '*/*/*').map((name) => path.dirname(name)))];
}
