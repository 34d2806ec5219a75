import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { parseFilterPack, renderFilterPack } from './filter-pack.ts';
import type { TraceFilter } from './trace-filters.ts';

function anyFilters(count: number): Map<string, TraceFilter[]> {
  return new Map(
    Array.from({ length: count }, (_, i) => [
      randomUUID(),
      Array.from({ length: 1 + (i % 3) }, () => {
        const words = new Int32Array(8 * (1 + (i % 5)));
        new Uint8Array(words.buffer).set(randomBytes(words.byteLength));
        const [first, last] = [randomBytes(16), randomBytes(16)].map((id) => new Uint8Array(id));
        return { first, last, bloom: { words } };
      }),
    ]),
  );
}

test('filters come back', () => {
  for (const count of [0, 1, 17]) {
    const filters = anyFilters(count);
    assert.deepEqual(parseFilterPack(Buffer.concat(renderFilterPack(filters))), filters);
  }
});

test('a byte that differs anywhere never makes another filter', () => {
  const filters = anyFilters(3);
  const bytes = Buffer.concat(renderFilterPack(filters));
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes);
    damaged[at] ^= 0x10;
    let found: Map<string, TraceFilter[]>;
    try {
      found = parseFilterPack(damaged);
    } catch (error) {
      assert.match(String(error), /cannot read the filters of trace ids/);
      continue;
    }
    assert.equal(found.size, 2);
    for (const [id, filter] of found) assert.deepEqual(filter, filters.get(id));
  }
  for (let end = 0; end < bytes.length; end += 7) {
    try {
      assert.ok(parseFilterPack(bytes.subarray(0, end)).size < 3);
    } catch (error) {
      assert.match(String(error), /cannot read the filters of trace ids/);
    }
  }
});
