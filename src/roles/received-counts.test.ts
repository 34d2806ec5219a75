import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Appended } from '../cut/append.ts';
import { eachTenant, ReceivedCounts, type TenantCounts } from './received-counts.ts';

const appended = (spans: number): Appended => ({
  ...{ spans, traces: 2, discarded: 3, discardedTooLong: 4, discardedLiveTraces: 5, truncated: 6 },
});

function taken(counts: ReceivedCounts, nowMs: number, isLast?: boolean): Map<string, TenantCounts> | undefined {
  const message = counts.take(nowMs, isLast);
  if (message === undefined) return undefined;
  const all = new Map<string, TenantCounts>();
  eachTenant(message, (tenant, of) => all.set(tenant, of));
  return all;
}

test('sums by tenant, and begins anew', () => {
  const counts = new ReceivedCounts();
  assert.equal(counts.take(0), undefined);
  for (let i = 0; i < 200; i++) counts.add(`t${i}`, appended(i), 10);
  counts.add('t7', appended(100), 5);
  const all = taken(counts, 0)!;
  assert.equal(all.size, 200);
  const same = { discarded: 6, discardedTooLong: 8, discardedLiveTraces: 10, truncated: 12 };
  assert.deepEqual(all.get('t7'), { spans: 107, bytes: 15, tracesCreated: 4, ...same });
  assert.equal(all.get('t199')!.spans, 199);
  counts.add('t7', appended(1), 1);
  assert.deepEqual(
    [...taken(counts, 1)!.values()].map(({ spans }) => spans),
    [1],
  );
});

test('of many tenants only now and then, and at the end', () => {
  const counts = new ReceivedCounts();
  const addAll = (): void => {
    for (let i = 0; i < 3000; i++) counts.add(`t${i}`, appended(1), 1);
  };
  addAll();
  assert.equal(taken(counts, 0)!.size, 3000);
  addAll();
  assert.equal(taken(counts, 9_999), undefined);
  addAll();
  assert.equal(taken(counts, 10_000)!.get('t5')!.spans, 2);
  addAll();
  assert.equal(taken(counts, 10_001, true)!.size, 3000);
});
