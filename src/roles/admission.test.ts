import assert from 'node:assert/strict';
import { it } from 'node:test';
import { VivaceError } from '../runtime/errors.ts';
import { Admission } from './admission.ts';

const still = new AbortController().signal;

it('lets so many run, refuses when too many wait, and gives free places to who has the fewest', async () => {
  const refused: string[] = [];
  const admission = new Admission({ runningMax: 2, waitingMax: 2, onRefused: (tenant) => refused.push(tenant) });
  const order: string[] = [];
  const enter = async (tenant: string, name: string): Promise<() => void> => {
    const { leave } = await admission.enter(tenant, still);
    order.push(name);
    return leave;
  };
  const leaves = [await enter('crowd', 'c1'), await enter('crowd', 'c2')];
  const waiting = [enter('crowd', 'c3'), enter('crowd', 'c4')];
  await assert.rejects(enter('crowd', 'c5'), (error) => {
    assert.ok(error instanceof VivaceError);
    return error.code === 'exhausted' && error.message === 'job queue full';
  });
  assert.deepEqual(refused, ['crowd']);
  assert.deepEqual([...admission.waiting()], [['crowd', 2]]);
  // Beyond the bound, since nothing of this tenant runs; its second one waits.
  leaves.push(await enter('single', 's1'));
  const second = enter('single', 's2');
  leaves[0]();
  leaves[0]();
  leaves[1]();
  // Two left, and three running are one too many still: one may begin, of those who have the fewest running.
  leaves.push(await waiting[0]);
  leaves[2]();
  leaves.push(await second);
  leaves[3]();
  leaves.push(await waiting[1]);
  assert.deepEqual(order, ['c1', 'c2', 's1', 'c3', 's2', 'c4']);
  assert.deepEqual([...admission.waiting()], []);
});

it('a client that leaves does not wait any longer', async () => {
  const admission = new Admission({ runningMax: 1, waitingMax: 0 });
  const { leave } = await admission.enter('a', still);
  const gone = new AbortController();
  const waiting = admission.enter('a', gone.signal);
  const next = admission.enter('a', still);
  gone.abort();
  await assert.rejects(waiting, { code: 'cancelled' });
  leave();
  (await next).leave();
  await assert.rejects(admission.enter('a', gone.signal), { code: 'cancelled' });
  (await admission.enter('a', still)).leave();
});

it('others begin beside those that compute for long, and among many of these when there is room', async () => {
  let room = true;
  const admission = new Admission({ runningMax: 4, ordinaryMax: 1, heldMax: 2, hasRoom: () => room, waitingMax: 0 });
  const began: number[] = [];
  const places = Array.from({ length: 6 }, async (_, number) => {
    const place = await admission.enter('a', still);
    began.push(number);
    return place;
  });
  const isHere = async (count: number): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(began, [0, 1, 2, 3, 4, 5].slice(0, count));
  };
  await isHere(1);
  (await places[0]).becameLong();
  (await places[0]).becameLong();
  await isHere(2);
  (await places[1]).becameLong();
  await isHere(3);
  room = false;
  // An ordinary place is free, but nobody may come who would hold more.
  (await places[2]).becameLong();
  await isHere(3);
  (await places[0]).leave();
  await isHere(3);
  (await places[1]).leave();
  await isHere(4);
  // It ends, and the place that it had is free for one.
  (await places[3]).leave();
  await isHere(5);
  (await places[4]).becameLong();
  await isHere(5);
  // Nothing ends, but there is room again.
  room = true;
  await places[5];
  await isHere(6);
  for (const place of places) (await place).leave();
  assert.deepEqual([...admission.running()], []);
  const other = await admission.enter('b', still);
  other.leave();
});
