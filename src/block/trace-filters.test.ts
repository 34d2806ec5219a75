import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { parseBloomFilter, putBloomFilter } from '../parquet/bloom.ts';
import { createSink } from '../parquet/sink.ts';
import type { BlockRef } from './catalog.ts';
import { type TraceFilter, TraceFilters } from './trace-filters.ts';

const ref = (id: string): BlockRef => ({ id, tenant: 't' }) as BlockRef;
const noPack = async (): Promise<ReadonlyMap<string, TraceFilter[]>> => new Map();

/** Of one row group. */
function filterOf(ids: Uint8Array[]): TraceFilter[] {
  const sink = createSink();
  const bytes = new Uint8Array(Buffer.concat(ids));
  putBloomFilter(sink, { type: 'fixed', bytes, width: 16, count: ids.length }, 12);
  const [first, last] = [new Uint8Array(16), new Uint8Array(16).fill(0xff)];
  return [{ first, last, bloom: parseBloomFilter(sink.bytes.subarray(0, sink.length)) }];
}

test('a trace is looked for where it may be, and wherever that is not known', async () => {
  const traces = Array.from({ length: 40 }, () => new Uint8Array(randomBytes(16)));
  const filters = new TraceFilters({
    bytesMax: 1 << 20,
    concurrency: 3,
    async read({ id }) {
      if (id === 'broken') throw new Error('cannot be read');
      return id === 'bare' ? undefined : filterOf([traces[Number(id)]]);
    },
    readPack: noPack,
  });
  filters.add([...traces.keys()].map((i) => ref(String(i))));
  filters.add([ref('broken'), ref('bare')]);
  await filters.settled();
  const all = [...[...traces.keys()].map(String), 'broken', 'bare', 'unheard of'];
  for (const i of traces.keys()) {
    const holding = filters.holding(all, traces[i]);
    for (const id of [String(i), 'broken', 'bare', 'unheard of']) assert.ok(holding.includes(id));
    assert.ok(holding.length < 10);
  }
  filters.remove(all);
  assert.equal(filters.bytes, 0);
  assert.equal(filters.holding(all, traces[0]).length, all.length);
});

test('no more is kept than fits, and there is room again when blocks go', async () => {
  const filter = filterOf([new Uint8Array(16)]);
  const { byteLength } = filter[0].bloom.words;
  const filters = new TraceFilters({
    bytesMax: 3 * byteLength,
    concurrency: 2,
    read: async () => filter,
    readPack: noPack,
  });
  filters.add(Array.from({ length: 10 }, (_, i) => ref(String(i))));
  await filters.settled();
  assert.equal(filters.bytes, 3 * byteLength);
  filters.remove(['0', '1', '2']);
  await filters.settled();
  assert.equal(filters.bytes, 3 * byteLength);
});

test('a row group is not looked into when the id is not between its ids', async () => {
  const id = new Uint8Array(16).fill(7);
  const [{ bloom }] = filterOf([id]);
  const between = (first: number, last: number): TraceFilter => ({
    first: new Uint8Array(16).fill(first),
    last: new Uint8Array(16).fill(last),
    bloom,
  });
  const filters = new TraceFilters({
    bytesMax: 1 << 20,
    concurrency: 1,
    read: async ({ id }) => (id === 'within' ? [between(0, 6), between(7, 7)] : [between(0, 6), between(8, 9)]),
    readPack: noPack,
  });
  filters.add([ref('within'), ref('without')]);
  await filters.settled();
  assert.deepEqual(filters.holding(['within', 'without'], id), ['within']);
});

test('filters of many blocks come in one object, and the others one by one', async () => {
  const filter = filterOf([new Uint8Array(16)]);
  const asked: string[] = [];
  const make = (pack: ReadonlyMap<string, TraceFilter[]>) =>
    new TraceFilters({
      bytesMax: 1 << 20,
      concurrency: 2,
      async read({ id }) {
        asked.push(id);
        return filter;
      },
      async readPack(tenant) {
        asked.push(tenant);
        return pack;
      },
    });
  const ids = Array.from({ length: 20 }, (_, i) => `block ${i}`);
  const first = make(new Map());
  first.add(ids.slice(0, 7).map(ref));
  await first.settled();
  assert.deepEqual(asked.sort(), ids.slice(0, 7));
  assert.equal(first.packOf('t', ids), undefined, 'too few');
  first.add(ids.slice(7).map(ref));
  await first.settled();
  const pack = first.packOf('t', ids)!;
  assert.deepEqual([...pack.keys()], ids);
  first.setPacked('t', pack.keys());
  assert.equal(first.packOf('t', ids), undefined, 'nothing is new');
  asked.length = 0;
  const second = make(pack);
  second.add([...ids, 'later'].map(ref));
  await second.settled();
  assert.deepEqual(asked, ['t', 'later']);
  assert.equal(second.packOf('t', [...ids, 'later']), undefined, 'one is new');
  assert.equal(second.holding(ids, new Uint8Array(16).fill(7)).length < 20, true);
});
