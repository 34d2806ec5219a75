import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import { Turns } from './turns.ts';

it('gives each tenant its turn, and each query of a tenant one after the other', async () => {
  const turns = new Turns();
  const order: string[] = [];
  const query = async (tenant: string, name: string): Promise<void> => {
    for (let slice = 0; slice < 3; slice++) {
      await turns.wait(tenant);
      order.push(name);
    }
  };
  await Promise.all([query('crowd', 'a'), query('crowd', 'b'), query('crowd', 'c'), query('single', 'x')]);
  assert.equal(order.join(''), 'axbxcxabcabc');
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
  for (let slice = 0; slice < 10_000 && !heard; slice++) await turns.wait('one');
  assert.equal(heard, true);
  await message;
  port1.close();
});
