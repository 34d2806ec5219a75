/** A snapshot shows one moment, whatever the writer does meanwhile in its own thread. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { LiveSnapshot } from '../../src/cut/layout.ts';
import { LiveSegment } from '../../src/cut/live-segment.ts';
import { LiveView } from '../../src/cut/live-view.ts';
import { linesOf, merged, read, unflatten } from './segments.fixture.ts';
import { requestNumber, TRACE } from './snapshots-requests.fixture.ts';

test('snapshots are read while the writer appends and takes back', async (t) => {
  const worker = new Worker(new URL('./snapshots-writer.fixture.ts', import.meta.url));
  // A failure must not leave the writer running, or this file never ends.
  t.after(() => worker.terminate());
  let newest: { request: number; snapshot: LiveSnapshot } | undefined;
  worker.on('message', (message) => {
    newest = message;
  });
  const exited = once(worker, 'exit');
  const kept: { request: number; snapshot: LiveSnapshot }[] = [];
  let reads = 0;
  while (reads < 60) {
    await new Promise((resolve) => setImmediate(resolve));
    if (newest === undefined) continue;
    if (kept.length < 4 && newest !== kept.at(-1)) kept.push(newest);
    // The newest, in which the writer has just been, and an old one.
    for (const { request, snapshot } of [newest, kept[reads % kept.length]]) {
      await assertHolds(snapshot, request);
      reads++;
    }
  }
  worker.postMessage('stop');
  await exited;
  for (const { request, snapshot } of kept) await assertHolds(snapshot, request);
});

async function assertHolds(snapshot: LiveSnapshot, last: number): Promise<void> {
  const requests = Array.from({ length: last + 1 }, (_, n) => requestNumber(n));
  const expected = merged(requests).filter(({ span }) => span.traceId === TRACE);
  assert.equal(snapshot.rows, 5 * (last + 1));
  assertColumns(new LiveView(snapshot), 5 * (last + 1));
  const found = linesOf((await read([new LiveSegment(snapshot)], TRACE))!);
  const wanted = linesOf(unflatten(expected));
  assert.equal(found.length, wanted.length);
  for (let i = 0; i < found.length; i++) if (found[i] !== wanted[i]) assert.equal(found[i], wanted[i]);
}

/** In these requests every span has one event, so the numbers of both have one limit. */
function assertColumns(view: LiveView, limit: number): void {
  for (const head of view.columnHeads()) {
    const { rows } = view.load(head);
    for (let i = 0; i < rows.length; i++)
      if (rows[i] >= limit || (i > 0 && rows[i] < rows[i - 1]))
        assert.fail(`column ${view.string(head.key)}: row ${rows[i]} after ${rows[i - 1]}, of ${limit}`);
  }
}
