/** Traces are deleted from real servers: gone from answers at once, from every byte later, whatever happens meanwhile. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { MERGE_POINTS } from '../../src/compact/merge-blocks.ts';
import { filesHolding } from '../held-bytes.fixture.ts';
import { assertHidden, flush, remove, secretBatch, send, untilErased } from './deletions.fixture.ts';
import { type Cleanup, lockLapses, ROOT, run, type Server, startServer, temporaryFolder } from './server.fixture.ts';
import { ask, assertSpans, makeBatch, random, randomId, spansOf } from './spans.fixture.ts';

const FLAGS = ['--vivace.delete-traces=always', '--storage.trace.blocklist-poll=300ms'];
/** Merging would do the same by the way. */
const ALONE = [...FLAGS, '--compactor.compaction.compaction-cycle=1h'];

const start = (t: Cleanup, flags: readonly string[] = ALONE, env: Record<string, string> = {}): Promise<Server> =>
  startServer(t, { directory: temporaryFolder(t, 'deletion'), flags, env });
/** The note of what was deleted aside. */
function holding(server: Server, trace: string, marker: string): string[] {
  return filesHolding(server.dataDirectory, marker, trace, Buffer.from(trace, 'hex')).filter(
    (file) => !file.includes(`${path.sep}deleted${path.sep}`),
  );
}

it('a trace in live columns, the log and blocks is hidden at once, and no byte of it is left', async (t) => {
  const server = await start(t);
  const trace = randomId(random(1), 16);
  const { batch, marker } = secretBatch(2, trace);
  await send(server, batch);
  await flush(server);
  const again = secretBatch(20, trace, [...batch.traces.keys()]);
  await send(server, again.batch);
  assert.equal((await spansOf(server.url, trace)).length, 14);
  const kept = new Map(
    [...batch.traces].map(([id, spans]) => [id, [...spans, ...again.batch.traces.get(id)!]] as const),
  );
  assert.ok(holding(server, trace, marker).length >= 2, 'it is in the log and in a block');

  const answer = await remove(server, trace);
  assert.equal(answer.status, 202, answer.body.toString());
  await assertHidden(server, trace, marker);
  await assertSpans(server.url, kept);
  await untilErased(server, trace);
  for (const each of [marker, again.marker]) assert.deepEqual(holding(server, trace, each), []);
  await assertHidden(server, trace, again.marker);
  await assertSpans(server.url, kept);
  assert.equal((await remove(server, trace)).status, 200, 'nothing is left to do');

  // Who still sends it is answered, and nobody sees it.
  await send(server, secretBatch(3, trace).batch);
  await assertHidden(server, trace, marker);
  await flush(server);
  await untilErased(server, trace);
  assert.deepEqual(holding(server, trace, 'secret-'), []);
  const { body } = await ask(`${server.url}/api/deleted-traces`);
  assert.deepEqual(
    (JSON.parse(body.toString()) as { traces: { traceID: string }[] }).traces.map(({ traceID }) => traceID),
    [trace],
  );
  const metrics = (await ask(`${server.url}/metrics`)).body.toString();
  assert.match(metrics, /^vivace_deleted_traces_total 1$/m);
});

it('a block that holds nothing else goes, and the trace that was never there is erased at once', async (t) => {
  const server = await start(t);
  const trace = randomId(random(4), 16);
  const { body } = makeBatch(random(5), { traces: [trace], service: 'secret' });
  await send(server, { traces: new Map(), body });
  await flush(server);
  assert.equal((await remove(server, trace)).status, 202);
  await untilErased(server, trace);
  assert.deepEqual(holding(server, trace, 'secret'), []);
  assert.deepEqual(fs.readdirSync(path.join(server.dataDirectory, 'blocks', 'single-tenant')), ['deleted']);
  const unknown = randomId(random(6), 16);
  assert.equal((await ask(`${server.url}/api/deleted-traces/${unknown}`)).status, 404);
  await remove(server, unknown);
  await untilErased(server, unknown);
});

describe('whoever is killed meanwhile', () => {
  it('hides it again from the first answer on', async (t) => {
    const directory = temporaryFolder(t, 'deletion-killed');
    const first = await startServer(t, { directory, flags: [...ALONE, '--compactor.disabled=true'] });
    const trace = randomId(random(7), 16);
    const { batch, marker } = secretBatch(8, trace);
    await send(first, batch);
    assert.equal((await remove(first, trace)).status, 202);
    await first.kill();
    lockLapses(first);
    const second = await startServer(t, { directory, flags: ALONE });
    await assertHidden(second, trace, marker);
    await untilErased(second, trace);
    assert.deepEqual(holding(second, trace, marker), []);
    await assertSpans(second.url, batch.traces);
  });

  for (const point of MERGE_POINTS)
    it(`goes on: ${point}`, async (t) => {
      const directory = temporaryFolder(t, `deletion-${point}`);
      const first = await startServer(t, { directory, flags: ALONE, env: { VIVACE_KILL_AT: `erasing ${point}` } });
      const trace = randomId(random(9), 16);
      const { batch, marker } = secretBatch(10, trace);
      await send(first, batch);
      await flush(first);
      await remove(first, trace).catch(() => {});
      assert.equal((await first.exited).signal, 'SIGKILL');
      lockLapses(first);
      const second = await startServer(t, { directory, flags: ALONE });
      await assertHidden(second, trace, marker);
      await assertSpans(second.url, batch.traces);
      await untilErased(second, trace);
      assert.deepEqual(holding(second, trace, marker), []);
      await assertSpans(second.url, batch.traces);
    });
});

it('the command line deletes, waits, and looks into the folder as the server does', async (t) => {
  const server = await start(t);
  const trace = randomId(random(15), 16);
  const { batch, marker } = secretBatch(16, trace);
  await send(server, batch);
  await flush(server);
  const cli = (...args: string[]) => run(path.join(ROOT, 'bin', 'vivace-cli'), args);
  const folder = path.join(server.dataDirectory, 'blocks');
  const asked = await cli('delete', 'trace', server.url, trace, '--json');
  assert.equal(asked.code, 0, asked.stderr);
  assert.equal((JSON.parse(asked.stdout) as [{ traceID: string }])[0].traceID, trace);
  const found = await cli('query', 'api', 'search', folder, `{ resource.service.name = "${marker}" }`, '--json');
  assert.ok(found.code === 0 && !found.stdout.includes(trace), found.stdout + found.stderr);
  assert.equal((await cli('query', 'trace-id', '--bucket', folder, trace)).code, 1);
  const waited = await cli('delete', 'trace', server.url, trace, '--wait');
  assert.match(waited.stdout, new RegExp(`^${trace}  erased: no byte of it was left at `));
  assert.match((await cli('delete', 'status', server.url)).stdout, new RegExp(`^${trace}  erased`));
  const refused = await cli('delete', 'trace', folder, trace);
  assert.equal(refused.code, 2, refused.stderr);
});

it('processes that share the folder hide it, too, and it is erased when both have done their part', async (t) => {
  const directory = temporaryFolder(t, 'deletion-shared');
  const [first, second] = [
    await startServer(t, { directory, flags: ALONE }),
    await startServer(t, { directory, flags: ALONE }),
  ];
  const trace = randomId(random(11), 16);
  const { batch, marker } = secretBatch(12, trace);
  await send(first, batch);
  await send(second, secretBatch(12, trace, [...batch.traces.keys()]).batch);
  assert.equal((await remove(first, trace)).status, 202);
  for (const server of [first, second]) await assertHidden(server, trace, marker);
  await untilErased(second, trace);
  assert.deepEqual(holding(first, trace, marker), []);
});

it('nobody deletes over a port that everybody reaches, unless told so', async (t) => {
  const server = await start(t, []);
  const trace = randomId(random(13), 16);
  const { batch } = secretBatch(14, trace);
  await send(server, batch);
  const answer = await remove(server, trace);
  assert.equal(answer.status, 403);
  assert.match(answer.body.toString(), /vivace\.auth_file/);
  assert.equal((await spansOf(server.url, trace)).length, 7);
});
