import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eachPush, PushGatherer, type Pushes } from './pushes.ts';

const body = (length: number, fill: number) => new Uint8Array(length).fill(fill);

/** What the other side gets: the message, with the memory that changed hands. */
function gatherer(): { gathered: PushGatherer; sent: Pushes[] } {
  const sent: Pushes[] = [];
  return { sent, gathered: new PushGatherer((pushes, transfer) => sent.push(structuredClone(pushes, { transfer }))) };
}

function unpacked(sent: Pushes[]): [id: number, tenant: string, length: number, fill: number | undefined][] {
  const all: ReturnType<typeof unpacked> = [];
  for (const pushes of sent)
    eachPush(pushes, (id, tenant, bytes) => {
      assert.ok(bytes.every((byte) => byte === bytes[0]));
      all.push([id, tenant, bytes.length, bytes[0]]);
    });
  return all;
}

test('requests of a turn go together, in order, with their numbers', async () => {
  const { gathered, sent } = gatherer();
  const ids = [
    gathered.push('a', body(5, 1)),
    gathered.push('b', body(20_000, 2)),
    gathered.push('a', body(0, 0)),
    gathered.push('c', body(16_383, 3)),
  ];
  assert.equal(sent.length, 0);
  await new Promise((resolve) => setImmediate(resolve));
  gathered.push('d', body(7, 4));
  gathered.flush();
  gathered.flush();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(sent.length, 2);
  assert.deepEqual(unpacked(sent), [
    [ids[0], 'a', 5, 1],
    [ids[1], 'b', 20_000, 2],
    [ids[2], 'a', 0, undefined],
    [ids[3], 'c', 16_383, 3],
    [ids[3] + 1, 'd', 7, 4],
  ]);
});

test('much does not wait', () => {
  const { gathered, sent } = gatherer();
  gathered.push('a', body(10, 1));
  gathered.push('a', body(300_000, 2));
  assert.equal(sent.length, 1);
  assert.equal(unpacked(sent).length, 2);
});

test('memory is given back when the last of its requests is done', () => {
  const { gathered, sent } = gatherer();
  for (const length of [10, 20_000, 30]) gathered.push('a', body(length, 1));
  gathered.flush();
  const done: (() => void)[] = [];
  const [{ small, large }] = sent;
  eachPush(sent[0], (_id, _tenant, _bytes, end) => done.push(end));
  done[2]();
  assert.deepEqual([small.length, large[0].length], [40, 20_000]);
  done[1]();
  assert.deepEqual([small.length, large[0].length], [40, 0]);
  done[0]();
  assert.deepEqual([small.length, large[0].length], [0, 0]);
});
