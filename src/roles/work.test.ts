import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { type OnlyRowGroup, onlyRowGroup } from '../block/only-row-group.fixture.ts';
import { createBlockCaches, OpenBlock } from '../block/open.ts';
import type { Column, Segment } from '../block/segment.ts';
import { VivaceError } from '../runtime/errors.ts';
import { bothForms, EVER, joiningOf, type SpanSpec } from '../query/segments.fixture.ts';
import { searchTraces } from '../query/search.ts';
import { parseQuery } from '../traceql/parse.ts';
import { Turns } from './turns.ts';
import { SegmentFailure, Work, type WorkLimits } from './work.ts';

const NO_LIMITS: WorkLimits = { msMax: 0, timeKey: 'querier.search.query_timeout', bytesMax: 0, spansMax: 0 };

/** 40 spans in pages of four. */
const SPANS: SpanSpec[] = Array.from({ length: 40 }, (_, i) => ({
  trace: i + 1,
  span: i + 1,
  name: `op-${i}`,
  attributes: { n: BigInt(i) },
}));

function search(work: Work, segments: Segment[], query = '{ span.n >= 0 }') {
  const options = { ...EVER, limit: 100, spansPerSpanSet: 3, stop: work.stop };
  return searchTraces(segments, parseQuery(query), options, joiningOf());
}

it('counts what a query reads, and what it does not need', async (t) => {
  const { live, block } = await bothForms(t, SPANS);
  const other = (await bothForms(t, [{ trace: 99, span: 99 }])).block;
  const work = new Work('t', new Turns(), NO_LIMITS, { isCancelled: () => false });
  const { traces } = await search(work, [work.watch(live), work.watch(block), work.watch(other)]);
  assert.equal(traces.length, 40);
  const refs = [block, other].map((each) => (each as OnlyRowGroup).ref);
  const receipt = work.receipt(refs, new Map([['x', 'damaged']]), 5);
  assert.deepEqual(receipt.blocks, { wanted: 3, read: 1, pruned: 1 });
  assert.equal(receipt.bytes.wanted, block.bytes + other.bytes);
  assert.equal(receipt.bytes.pruned, other.bytes);
  assert.ok(receipt.bytes.read > 0 && receipt.bytes.read <= block.bytesRead!);
  assert.equal(receipt.liveUntilMs, 5);
  assert.deepEqual(receipt.missing, [{ what: 'block x', why: 'damaged' }]);
  work.restart();
  assert.equal(work.receipt([], new Map(), undefined).bytes.read, 0);
});

it('a client that leaves stops the query at the next page', async (t) => {
  const { block } = await bothForms(t, SPANS);
  let left = false;
  let pages = 0;
  const counted: Segment = Object.assign(Object.create(block, { bytesRead: { value: 0 } }) as Segment, {
    // Private members need the block itself.
    typesOf: block.typesOf.bind(block),
    lines: block.lines.bind(block),
    tracesOfRows: block.tracesOfRows.bind(block),
    async column(...args: Parameters<Segment['column']>) {
      const column = await block.column(...args);
      if (column === undefined) return undefined;
      const parts = {
        *[Symbol.iterator]() {
          for (const part of column.parts) {
            left = ++pages === 3;
            yield part;
          }
        },
      };
      const flag: Column['flag'] = (wanted, into, check) =>
        column.flag!(wanted, into, () => {
          left = ++pages === 3;
          check!();
        });
      return { ...column, parts, ...(column.flag && { flag }) };
    },
  });
  const work = new Work('t', new Turns(), NO_LIMITS, { isCancelled: () => left });
  await assert.rejects(search(work, [work.watch(counted)]), { code: 'cancelled' });
  assert.equal(pages, 3);
});

it('time, bytes and spans have their limits', async (t) => {
  const { block } = await bothForms(t, SPANS);
  const run = (limits: Partial<WorkLimits>) => {
    const work = new Work('t', new Turns(), { ...NO_LIMITS, ...limits }, { isCancelled: () => false });
    return search(work, [work.watch(block)]);
  };
  await assert.rejects(run({ msMax: 1e-9 }), {
    code: 'deadline',
    message: /^context deadline exceeded.*query_timeout$/,
  });
  await assert.rejects(run({ bytesMax: 1 }), { code: 'invalid', message: /more than 1 bytes.*vivace.query_bytes_max/ });
  await assert.rejects(run({ spansMax: 39 }), {
    code: 'invalid',
    message: /more than 39 spans.*vivace.query_spans_max/,
  });
  assert.equal((await run({ spansMax: 40, bytesMax: 1 << 20, msMax: 60_000 })).traces.length, 40);
});

it('a damaged block is told apart from other errors', async (t) => {
  const { block } = await bothForms(t, SPANS);
  const { ref } = block as OnlyRowGroup;
  const file = path.join(ref.directory!, 'data.parquet');
  const bytes = fs.readFileSync(file);
  bytes.fill(0xff, 8, bytes.length >> 1);
  fs.writeFileSync(file, bytes);
  const damaged = onlyRowGroup(await OpenBlock.open(ref, createBlockCaches(1 << 20)));
  t.after(() => damaged.close());
  const work = new Work('t', new Turns(), NO_LIMITS, { isCancelled: () => false });
  await assert.rejects(search(work, [work.watch(damaged)]), (error) => {
    assert.ok(error instanceof SegmentFailure, String(error));
    assert.equal(error.block, ref.id);
    assert.deepEqual([error.isGone, error.isLasting], [false, true]);
    return true;
  });
  const mishap = SegmentFailure.of('x', Object.assign(new Error('EIO'), { syscall: 'read' })) as SegmentFailure;
  assert.deepEqual([mishap.isGone, mishap.isLasting], [false, false]);
  const outage = SegmentFailure.of('x', new VivaceError('unavailable', 'no answer')) as SegmentFailure;
  assert.deepEqual([outage.isUnreachable, outage.isGone, outage.isLasting], [true, false, false]);
  assert.ok(SegmentFailure.of('x', new TypeError('our mistake')) instanceof TypeError);
});

it('a small query ends while a large one is under way, and one that is cancelled does nothing more', async (t) => {
  const { block } = await bothForms(t, SPANS);
  const turns = new Turns();
  let left = false;
  // Every read is a slice of its own.
  const heavy = new Work('crowd', turns, NO_LIMITS, { isCancelled: () => left }, 0);
  const small = new Work('single', turns, NO_LIMITS, { isCancelled: () => false }, 0);
  const reads = (work: Work): number =>
    work.explanation([], 0, [], new Map()).segments.filter(({ state }) => state === 'read').length;
  const many = Array.from({ length: 200 }, () => heavy.watch(block));
  const running = search(heavy, many, '{ span.n = 1000 || name = "op-1" }');
  const { traces } = await search(small, [small.watch(block)], '{ name = "op-7" }');
  assert.equal(traces.length, 1);
  const before = reads(heavy);
  assert.ok(before > 0 && before < 50, `${before} of 200 segments`);
  left = true;
  await assert.rejects(running, { code: 'cancelled' });
  assert.ok(reads(heavy) <= before + 1, 'at most the read that was under way');
});
