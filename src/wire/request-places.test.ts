import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestPlaces } from './request-places.ts';

function connection() {
  const states: string[] = [];
  return { states, pause: () => states.push('paused'), resume: () => states.push('reads') };
}

test('beyond the bound requests wait in the order in which they came, and nothing is read from their connections', async () => {
  const places = new RequestPlaces(2);
  const [a, b] = [connection(), connection()];
  const entered: number[] = [];
  const waits = [a, a, a, b, a, undefined].map((of, i) => {
    const wait = places.enter(of);
    if (wait === undefined) entered.push(i);
    return wait?.then(() => entered.push(i));
  });
  assert.deepEqual(entered, [0, 1]);
  assert.deepEqual([a.states, b.states], [['paused', 'paused'], ['paused']]);
  places.leave();
  places.leave();
  await Promise.all(waits.slice(0, 4));
  assert.deepEqual(entered, [0, 1, 2, 3]);
  assert.deepEqual(a.states, ['paused', 'paused'], 'one more of it waits');
  assert.deepEqual(b.states, ['paused', 'reads']);
  places.leave();
  places.leave();
  await Promise.all(waits);
  assert.deepEqual(entered, [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(a.states, ['paused', 'paused', 'reads']);
  places.leave();
  places.leave();
  assert.equal(places.enter(undefined), undefined, 'there is a place again');
});
