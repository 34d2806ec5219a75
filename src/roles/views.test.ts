import assert from 'node:assert/strict';
import { it } from 'node:test';
import { LiveColumns } from '../cut/columns.ts';
import { Views } from './views.ts';
import type { LeaseAnswer } from './writer-messages.ts';

/** A writer thread whose tenant has one live segment, and questions that come. */
function writer() {
  const columns = new LiveColumns(1 << 20, 0);
  let lastAsked = 0;
  let lease = 0;
  const out = new Set<number>();
  const views = new Views({
    lastAsked: () => lastAsked,
    release: (number) => assert.ok(out.delete(number)),
    async lease(tenant, knownVersion): Promise<LeaseAnswer> {
      if (tenant === 'bad') throw new Error('no');
      out.add(++lease);
      const isKnown = knownVersion === 1;
      return {
        ...{ type: 'lease', id: 0, lease, takenMs: 0, packs: [], from: [], version: 1, damaged: [] },
        segments: [columns.snapshot(7, tenant)],
        blocks: isKnown ? undefined : [],
        deleted: isKnown ? undefined : [],
      };
    },
  });
  return { views, out, ask: () => (lastAsked = (lastAsked + 1) | 0), begin: (at: number) => (lastAsked = at) };
}

it('questions that were asked before a view was taken share it, later ones get their own', async () => {
  const { views, out, ask } = writer();
  const [a, b] = [ask(), ask()];
  const [first, second] = await Promise.all([views.take('t', a), views.take('t', b)]);
  assert.equal(first, second);
  const later = await views.take('t', ask());
  assert.notEqual(later, first);
  // What was made of what has not changed since is not made again; columns are each query's own.
  const [one] = await first.live();
  const [two] = await later.live();
  assert.notEqual(one, two);
  assert.equal(await one.lines(), await two.lines());
  assert.equal(await views.take('t', a), later);
  assert.notEqual(await views.take('other', a), later);
  views.give('t', first);
  assert.equal(out.size, 3);
  views.give('t', second);
  assert.equal(out.size, 2);
  views.give('t', later);
  views.give('t', later);
  assert.equal(out.size, 1);
});

it('a view that was renewed or could not be had is not handed out again', async () => {
  const { views, out, ask } = writer();
  const a = ask();
  const first = await views.take('t', a);
  views.renew('t');
  const second = await views.take('t', a);
  assert.notEqual(first, second);
  views.renewAll();
  views.give('t', first);
  views.give('t', second);
  assert.equal(out.size, 0);
  await assert.rejects(views.take('bad', a), /no/);
  await assert.rejects(views.take('bad', a), /no/);
});

it('numbers of questions begin anew', async () => {
  const { views, ask, begin } = writer();
  begin(2 ** 31 - 2);
  const first = await views.take('t', ask());
  const second = await views.take('t', ask());
  assert.notEqual(first, second);
  assert.equal(await views.take('t', 2 ** 31 - 1), second);
});
