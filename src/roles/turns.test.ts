import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { ORDINARY_MS, Turns } from './turns.ts';

/** Lets queries take slices of a millisecond until they have computed for so many; who had which slice. */
async function slices(queries: readonly (readonly [tenant: string, name: string, ms: number])[]): Promise<string> {
  const turns = new Turns();
  let order = '';
  const query = async (tenant: string, name: string, ms: number): Promise<void> => {
    const began = turns.begin();
    for (let usedMs = 0; usedMs < ms; usedMs++) {
      await turns.wait(tenant, began, usedMs);
      order += name;
    }
  };
  await Promise.all(queries.map((each) => query(...each)));
  return order;
}

it('gives each tenant its turn, and in a tenant the one that came first', async () => {
  const order = await slices([
    ['crowd', 'a', 3],
    ['crowd', 'b', 3],
    ['crowd', 'c', 3],
    ['single', 'x', 3],
  ]);
  assert.equal(order, 'axaxaxbbbccc');
});

it('gives those that take long every second turn, one after the other', async () => {
  const order = await slices([
    ['crowd', 'A', ORDINARY_MS + 9],
    ['crowd', 'B', ORDINARY_MS + 9],
    ['crowd', 'c', 12],
  ]);
  // What is long of A comes between ordinary turns of B, and so it is with B and c.
  assert.match(order, /^A{100,}(BA){8,}B{80,}(cB){8,}c+$/);
  assert.equal(order.length, 2 * (ORDINARY_MS + 9) + 12);
});

it('goes on with a long one as soon as nobody else waits', async () => {
  assert.equal(await slices([['one', 'A', 3 * ORDINARY_MS]]), 'A'.repeat(3 * ORDINARY_MS));
});

it('looks at messages between two turns', async () => {
  const turns = new Turns();
  const { port1, port2 } = new MessageChannel();
  let heard = false;
  const message = new Promise<void>((resolve) => {
    port2.once('message', () => {
      heard = true;
      resolve();
    });
  });
  port1.postMessage('stop');
  // A query that never waits for anything else would not hear of its end.
  for (let slice = 0; slice < 10_000 && !heard; slice++) await turns.wait('one', 0, 0);
  assert.equal(heard, true);
  await message;
  port1.close();
});
