/** Whatever several blocks hold, the block that they are merged into holds, too, in the form of one that was cut as a whole. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { filesHolding } from '../held-bytes.fixture.ts';
import fc from '../property.ts';
import { BlockCatalog, type LocalBlockRef } from '../../src/block/catalog.ts';
import {
  finishMerges,
  MERGE_POINTS,
  mergeBlocks,
  NothingStays,
  type FolderMergeOptions,
} from '../../src/compact/merge-blocks.ts';
import { rebuiltMeta } from '../../src/block/meta-rebuilt.ts';
import { folderFiles, verifyBlock } from '../../src/block/verify.ts';
import { TraceIds } from '../../src/block/trace-ids.ts';
import { cutSome } from '../../src/cut/cut-block.ts';
import { TooLarge } from '../../src/compact/merged-schema.ts';
import { canonical, encodeRequest, type Request, requestOf, shuffled } from '../../src/cut/otlp.fixture.ts';
import { openDuckdb, rowsByDuckdb, rowsByHyparquet, rowsOfSpans } from './foreign-readers.fixture.ts';
import { anyRequest, TRACE_IDS } from './otlp-arbitrary.fixture.ts';
import { blockOf, rowGroupsOf, cut, linesOf, merged, read, TestColumns, unflatten } from './segments.fixture.ts';

const RUNS = Number(process.env['VIVACE_PROPERTY_RUNS'] ?? 120);

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-compaction-'));
after(() => fs.rmSync(folder, { recursive: true }));

function optionsFor(blocksDirectory: string, more: Partial<FolderMergeOptions> = {}): FolderMergeOptions {
  return {
    blocksDirectory,
    pageRows: 3,
    createdBy: 'vivace test',
    fsync: 'never',
    nowMs: Date.now(),
    bounds: { columnsMax: 512, rowsMax: 1000, bytesMax: 1 << 20 },
    pause: async () => {},
    checkLock: async () => {},
    ...more,
  };
}

/** Each list of requests in a block of its own; those without a span make none. */
async function blocksOf(lists: Request[][], into: string, seed: number | null = null): Promise<LocalBlockRef[]> {
  const refs: LocalBlockRef[] = [];
  for (const requests of lists) {
    const columns = new TestColumns();
    for (const request of requests) columns.append(encodeRequest(request, seed === null ? canonical : shuffled(seed)));
    if (columns.columns.rows.count === 0) continue;
    const ref = await cut(columns, into);
    // Cut one after the other, a second apart.
    ref.meta.vivace.cut = new Date(1_700_000_000_000 + 1000 * refs.length).toISOString();
    refs.push(ref);
  }
  return refs;
}

async function assertHolds(refs: readonly LocalBlockRef[], requests: Request[], what: string): Promise<void> {
  const { groups, close } = await rowGroupsOf(refs);
  for (const traceId of TRACE_IDS) {
    const expected = merged(requests).filter(({ span }) => span.traceId === traceId);
    const found = await read(groups, traceId);
    if (expected.length === 0) assert.equal(found, undefined, what);
    else assert.deepEqual(linesOf(found!), linesOf(unflatten(expected)), `${what}: ${traceId}`);
  }
  close();
}

const anyLists = fc.array(fc.array(anyRequest, { maxLength: 2 }), { minLength: 2, maxLength: 4 });

test('any requests in several blocks come back from the merged one, to us and to other programs', async () => {
  const duckdb = await openDuckdb();
  await fc.assert(
    fc.asyncProperty(anyLists, fc.option(fc.integer()), async (lists, seed) => {
      const own = fs.mkdtempSync(path.join(folder, 'case-'));
      const refs = await blocksOf(lists, own, seed);
      if (refs.length < 2) return fs.rmSync(own, { recursive: true });
      const requests = lists.flat();
      const { block } = await mergeBlocks(refs, optionsFor(own));
      await assertHolds([block], requests, 'merged');
      const spans = merged(requests);
      assert.equal(block.meta.vivace.spans, spans.length);
      const file = path.join(block.directory, 'data.parquet');
      const expected = rowsOfSpans(spans);
      assert.deepEqual((await rowsByHyparquet(file)).sort(), expected, 'hyparquet');
      assert.deepEqual((await rowsByDuckdb(duckdb, file)).sort(), expected, 'duckdb');
      await assertSameShape(block, lists, own);
      fs.rmSync(own, { recursive: true });
    }),
    { numRuns: RUNS },
  );
});

test('attributes for which there is no column come back through `more`, whatever their type', async () => {
  const duckdb = await openDuckdb();
  await fc.assert(
    fc.asyncProperty(
      anyLists,
      fc.nat(3),
      fc.nat(3),
      fc.integer({ min: 1, max: 9 }),
      async (lists, max, later, rowsMax) => {
        const own = fs.mkdtempSync(path.join(folder, 'more-'));
        const refs = await blocksOf(lists, own);
        if (refs.length < 2) return fs.rmSync(own, { recursive: true });
        const bounds = { columnsMax: max, rowsMax, bytesMax: 1 << 20 };
        const { block } = await mergeBlocks(refs, optionsFor(own, { bounds }));
        await assertHolds([block], lists.flat(), 'merged');
        await assertColumns(block, max);
        // And once more, what stood in `more` among it.
        const [again] = await blocksOf([lists[0]], own);
        if (again !== undefined) {
          const second = await mergeBlocks(
            [block, again],
            optionsFor(own, { bounds: { ...bounds, columnsMax: later } }),
          );
          await assertHolds([second.block], lists.flat(), 'merged again');
          await assertColumns(second.block, later);
          const file = path.join(second.block.directory, 'data.parquet');
          assert.equal((await rowsByHyparquet(file)).length, second.block.meta.vivace.spans);
          assert.equal((await rowsByDuckdb(duckdb, file)).length, second.block.meta.vivace.spans);
        }
        fs.rmSync(own, { recursive: true });
      },
    ),
    { numRuns: RUNS },
  );
});

async function assertColumns(ref: LocalBlockRef, columnsMax: number): Promise<void> {
  const { groups, close } = await rowGroupsOf([ref]);
  for (const group of groups)
    for (const space of ['span', 'event', 'link'] as const)
      assert.ok(group.keys(space).length <= columnsMax, `${group.keys(space)} of ${space}s`);
  close();
}

test('of too many attributes those with the most values have columns', async () => {
  const own = fs.mkdtempSync(path.join(folder, 'most-'));
  const attribute = (key: string, value: bigint) => ({ key, value: { type: 'int', value } as const });
  const withKeys = (id: number, keys: string[]): Request =>
    requestOf({
      ...{ traceId: TRACE, spanId: idOf(id), start: START, end: START },
      attributes: keys.map((key) => attribute(key, BigInt(id))),
    });
  const requests = [
    [withKeys(1, ['a', 'b']), withKeys(2, ['a', 'c'])],
    [withKeys(3, ['c', 'd']), withKeys(4, ['c', 'a'])],
  ];
  const refs = await blocksOf(requests, own);
  const bounds = { columnsMax: 2, rowsMax: 1000, bytesMax: 1 << 20 };
  const { block } = await mergeBlocks(refs, optionsFor(own, { bounds }));
  assert.deepEqual((await blockOf(block)).keys('span').sort(), ['a', 'c']);
  await assertHolds([block], requests.flat(), 'merged');
});

/** Order of rows, distances to parents, lines of traces: as if everything had been cut to one block. */
async function assertSameShape(ref: LocalBlockRef, lists: Request[][], own: string): Promise<void> {
  const [whole] = await blocksOf([lists.flat()], own);
  const [a, b] = await Promise.all([blockOf(ref), blockOf(whole)]);
  const [linesA, linesB] = [await a.lines(), await b.lines()];
  for (const key of ['ids', 'firstRow', 'startLow', 'startHigh', 'endLow', 'endHigh'] as const)
    assert.deepEqual(Buffer.from(linesA[key]), Buffer.from(linesB[key]), key);
  const stats = ({ firstStat, statService, statSpans, statErrors, strings }: typeof linesA, trace: number): string[] =>
    Array.from({ length: firstStat[trace + 1] - firstStat[trace] }, (_, i) => {
      const at = firstStat[trace] + i;
      return `${strings[statService[at] - 1]} ${statSpans[at]} ${statErrors[at]}`;
    }).sort();
  for (let trace = 0; trace + 1 < linesA.firstRow.length; trace++) {
    assert.deepEqual(stats(linesA, trace), stats(linesB, trace));
    const roots = [linesA, linesB].map(
      ({ rootService, strings }) => rootService[trace] && strings[rootService[trace] - 1],
    );
    assert.equal(roots[0] === 0, roots[1] === 0, 'whether there is a root');
  }
  const counts = async (block: typeof a): Promise<number[]> => {
    const { parents } = await block.tree();
    return [parents.filter((p) => p === 0).length, parents.filter((p) => p < 0).length, parents.length];
  };
  // Which of two spans with one id is the parent depends on their order.
  const ids = merged(lists.flat()).map(({ span }) => `${span.traceId} ${span.spanId}`);
  if (new Set(ids).size === ids.length) assert.deepEqual(await counts(a), await counts(b));
  a.close();
  b.close();
}

test('traces that are left out are in none of the bytes', async () => {
  await fc.assert(
    fc.asyncProperty(anyLists, fc.subarray(TRACE_IDS), async (lists, gone) => {
      const own = fs.mkdtempSync(path.join(folder, 'drops-'));
      const refs = await blocksOf(lists, own);
      const stays = ({ traceId }: { traceId: string }): boolean => !gone.includes(traceId);
      const requests = lists.flat().map((request) =>
        request.map((resource) => ({
          ...resource,
          scopes: resource.scopes.map((scope) => ({ ...scope, spans: scope.spans.filter(stays) })),
        })),
      );
      const drops = (ids: Uint8Array, at: number): boolean =>
        gone.includes(Buffer.from(ids.buffer, ids.byteOffset + at, 16).toString('hex'));
      if (refs.length === 0) return;
      if (merged(requests).length === 0)
        await assert.rejects(mergeBlocks(refs, optionsFor(own, { drops })), NothingStays);
      else {
        const { block } = await mergeBlocks(refs, optionsFor(own, { drops }));
        await assertHolds([block], requests, 'what stays');
        await assertSameShape(block, [requests], own);
        const [opened, whole] = [await blockOf(block), await blockOf((await blocksOf([requests], own))[0])];
        for (const space of ['span', 'event', 'link'] as const)
          assert.deepEqual(opened.keys(space).sort(), whole.keys(space).sort(), 'names of attributes');
        opened.close();
        whole.close();
      }
      fs.rmSync(own, { recursive: true });
    }),
    { numRuns: RUNS / 2 },
  );
});

test('one block is written again without a trace that had everything to itself', async () => {
  const own = fs.mkdtempSync(path.join(folder, 'marker-'));
  const marker = 'a-marker-that-nothing-else-has';
  const value = { type: 'string', value: marker } as const;
  const attributes = [{ key: `${marker}.key`, value }];
  const requests = [
    requestOf(...Array.from({ length: 40 }, (_, i) => ({ traceId: TRACE_IDS[0], spanId: idOf(i + 1), name: 'stays' }))),
    requestOf({
      ...{
        traceId: TRACE_IDS[1],
        spanId: idOf(77),
        name: marker,
        attributes: [...attributes, ...attributes],
        statusMessage: marker,
      },
      events: [{ time: START, name: marker, attributes, dropped: 0 }],
      links: [{ traceId: TRACE_IDS[1], spanId: idOf(1), traceState: marker, attributes, dropped: 0, flags: 0 }],
    }).map((resource) => ({
      ...resource,
      ...{
        resource: { attributes: [{ key: 'service.name', value }, ...attributes], dropped: 0 },
        schemaUrl: marker,
      },
      scopes: resource.scopes.map((scope) => ({
        ...scope,
        scope: { ...scope.scope, name: marker, version: marker },
      })),
    })),
  ];
  const [ref] = await blocksOf([requests], own);
  assert.deepEqual(filesHolding(ref.directory, marker), ['data.parquet', 'traces']);
  const drops = (ids: Uint8Array, at: number): boolean => ids[at] === Number.parseInt(TRACE_IDS[1].slice(0, 2), 16);
  const { block, dropped, level, traces } = await mergeBlocks([ref], optionsFor(own, { drops }));
  assert.deepEqual({ dropped, level, traces }, { dropped: 1, level: 0, traces: 1 });
  assert.deepEqual(filesHolding(block.directory, marker), []);
  const columns = new TestColumns();
  for (const request of requests) columns.append(encodeRequest(request));
  const without = async (...ids: string[]): Promise<LocalBlockRef | undefined> => {
    const told: string[] = [];
    const cutRef = await cutSome(columns.snapshot(), {
      ...{ blocksDirectory: own, pageRows: 3, createdBy: 'vivace test', fsync: 'never', cutMs: Date.now() },
      log: { instance: '000000000000', sequence: 1 },
      without: new TraceIds(ids),
      onLeftOut: async (leftOut) => void told.push(...leftOut),
      pause: async () => {},
    });
    assert.deepEqual(
      told,
      ids.filter((id) => TRACE_IDS.includes(id)),
    );
    return cutRef;
  };
  assert.deepEqual(filesHolding((await without('1'.repeat(32)))!.directory, marker), ['data.parquet', 'traces']);
  const cutRef = (await without(TRACE_IDS[1]))!;
  assert.deepEqual(filesHolding(cutRef.directory, marker), [], 'nor is one cut with it');
  assert.equal(cutRef.meta.vivace.spans, 40);
  assert.equal(await without(TRACE_IDS[0], TRACE_IDS[1]), undefined);
});

test('row groups hold as many traces as fit, each whole, and are merged again', async () => {
  const duckdb = await openDuckdb();
  let several = 0;
  await fc.assert(
    fc.asyncProperty(anyLists, anyLists, fc.integer({ min: 1, max: 12 }), async (lists, more, rowsMax) => {
      const own = fs.mkdtempSync(path.join(folder, 'groups-'));
      const bounds = { columnsMax: 512, rowsMax, bytesMax: 1 << 20 };
      const first = await blocksOf(lists, own);
      if (first.length < 2) return fs.rmSync(own, { recursive: true });
      const { block } = await mergeBlocks(first, optionsFor(own, { bounds }));
      await assertRowGroups(block, merged(lists.flat()).length, rowsMax);
      await assertHolds([block], lists.flat(), 'merged once');
      const second = await blocksOf(more, own);
      for (const ref of second) ref.meta.vivace.cut = new Date(1_700_000_100_000).toISOString();
      if (second.length === 0) return fs.rmSync(own, { recursive: true });
      const again = await mergeBlocks([block, ...second], optionsFor(own, { bounds: { ...bounds, rowsMax: 5 } }));
      const requests = [...lists.flat(), ...more.flat()];
      const spans = merged(requests);
      await assertRowGroups(again.block, spans.length, 5);
      await assertHolds([again.block], requests, 'merged twice');
      const file = path.join(again.block.directory, 'data.parquet');
      const expected = rowsOfSpans(spans);
      assert.deepEqual((await rowsByHyparquet(file)).sort(), expected, 'hyparquet');
      assert.deepEqual((await rowsByDuckdb(duckdb, file)).sort(), expected, 'duckdb');
      if (again.block.meta.totalRecords > 1) several++;
      fs.rmSync(own, { recursive: true });
    }),
    { numRuns: RUNS / 2 },
  );
  assert.ok(several > RUNS / 20, `${several} blocks had several row groups`);
});

/** Ids ascend from row group to row group; with more than one trace there are no more rows than wanted. */
async function assertRowGroups(ref: LocalBlockRef, spans: number, rowsMax: number): Promise<void> {
  const { groups, close } = await rowGroupsOf([ref]);
  assert.equal(groups.length, ref.meta.totalRecords);
  assert.equal(
    groups.reduce((sum, { rows }) => sum + rows, 0),
    spans,
  );
  let last = '';
  let bytes = 0;
  for (const group of groups) {
    const { ids, firstRow } = await group.lines();
    assert.ok(firstRow.length === 2 || group.rows <= rowsMax);
    assert.equal(firstRow[firstRow.length - 1], group.rows);
    for (let at = 0; at < ids.length; at += 16) {
      const id = Buffer.from(ids.subarray(at, at + 16)).toString('hex');
      assert.ok(last < id || (last === id && group.rows > 0), `${id} after ${last}`);
      last = id;
    }
    assert.ok(group.startSeconds >= ref.startSeconds && group.endSeconds <= ref.endSeconds);
    bytes += group.bytes;
  }
  assert.equal(bytes, ref.meta.size);
  close();
  const files = folderFiles(ref.directory);
  assert.deepEqual(await verifyBlock(ref.meta, files, async () => {}), []);
  const rebuilt = await rebuiltMeta('test', ref.id, files, 0, async () => {});
  assert.ok(typeof rebuilt !== 'string', String(rebuilt));
  for (const key of ['totalObjects', 'totalRecords', 'size', 'footerSize', 'startTime', 'endTime'] as const)
    assert.equal(rebuilt[key], ref.meta[key], key);
  await files.close();
}

const TRACE = TRACE_IDS[2];
const START = 1_700_000_000_000_000_000n;
const idOf = (n: number): string => n.toString(16).padStart(16, '0');

/** A chain of spans, each the child of the one before; span 0 is the root. */
function chain(...numbers: number[]): Request {
  return requestOf(
    ...numbers.map((n) => ({
      traceId: TRACE,
      spanId: idOf(n + 1),
      parentId: n === 0 ? '' : idOf(n),
      name: `span ${n}`,
      start: START + BigInt(n),
      end: START + 1000n - BigInt(n),
    })),
  );
}

test('a trace that is split over three blocks becomes whole, and spans that came twice come once', async () => {
  const own = fs.mkdtempSync(path.join(folder, 'split-'));
  const refs = await blocksOf([[chain(4, 1)], [chain(0, 3)], [chain(2, 1, 5)]], own);
  const { block, combined, duplicates, inputs, level } = await mergeBlocks(refs, optionsFor(own));
  assert.deepEqual({ combined, duplicates, inputs, level }, { combined: 1, duplicates: 1, inputs: 3, level: 1 });
  const opened = await blockOf(block);
  const { parents } = await opened.tree();
  assert.deepEqual([...parents], [0, 1, 1, 1, 1, 1], 'depth first, each the child of the one before');
  const { rootName, strings } = await opened.lines();
  assert.equal(strings[rootName[0] - 1], 'span 0');
  opened.close();
  await assertHolds([block], [chain(4, 1), chain(0, 3), chain(2, 1, 5)], 'split');
  assert.deepEqual(block.meta.vivace.logs, [{ instance: '000000000000', sequence: 1 }]);
});

test('at every moment, and after an end at any step, a list has each span once', async () => {
  for (const at of MERGE_POINTS) {
    const own = fs.mkdtempSync(path.join(folder, `killed-${at}-`));
    const requests = [[chain(0, 1)], [chain(2)], [chain(3, 4)]];
    const refs = await blocksOf(requests, own);
    const watching = new BlockCatalog(own);
    watching.refresh();
    const look = async (catalog: BlockCatalog, what: string): Promise<void> => {
      catalog.refresh();
      const listed = catalog.blocks('test') as LocalBlockRef[];
      const spans = listed.reduce((sum, { meta }) => sum + meta.vivace.spans, 0);
      assert.equal(spans, 5, `${what}: ${listed.length} blocks`);
      await assertHolds(listed, requests.flat(), what);
    };
    const fresh = (): BlockCatalog => {
      const catalog = new BlockCatalog(own);
      catalog.refresh();
      return catalog;
    };
    await assert.rejects(
      mergeBlocks(refs, {
        ...optionsFor(own),
        reached(point) {
          if (point === at) throw new Error('killed');
        },
      }),
      /killed/,
    );
    await look(watching, `${at}, seen before`);
    await look(fresh(), `${at}, seen after`);
    assert.equal(await finishMerges(fresh(), Date.now()), at === 'listed' ? 3 : 0);
    await look(watching, `${at}, finished, seen before`);
    await look(fresh(), `${at}, finished, seen after`);
    const left = fresh().blocks('test') as LocalBlockRef[];
    assert.equal(left.length, at === 'written' ? 3 : 1);
    if (at !== 'written') continue;
    await mergeBlocks(left, optionsFor(own));
    await look(watching, 'merged at last');
    assert.equal(watching.blocks('test').length, 1);
  }
});

test('a merged block that is merged before its own blocks are marked takes those along', async () => {
  const own = fs.mkdtempSync(path.join(folder, 'twice-'));
  const refs = await blocksOf([[chain(0)], [chain(1)], [chain(2)]], own);
  const killed = (): never => {
    throw new Error('killed');
  };
  const reached = (point: string): void => (point === 'listed' ? killed() : undefined);
  await assert.rejects(mergeBlocks(refs.slice(0, 2), optionsFor(own, { reached })), /killed/);
  const catalog = new BlockCatalog(own);
  catalog.refresh();
  const listed = catalog.blocks('test') as LocalBlockRef[];
  assert.equal(listed.length, 2);
  await mergeBlocks(listed, optionsFor(own));
  const fresh = new BlockCatalog(own);
  for (const each of [catalog, fresh]) {
    each.refresh();
    assert.equal(each.blocks('test').length, 1);
    await assertHolds(each.blocks('test') as LocalBlockRef[], [chain(0), chain(1), chain(2)], 'twice');
  }
});

test('who has lost the lock, or whose blocks have gone, changes nothing', async () => {
  const own = fs.mkdtempSync(path.join(folder, 'lost-'));
  const refs = await blocksOf([[chain(0)], [chain(1)]], own);
  const lost = async (): Promise<void> => {
    throw new Error('somebody else merges');
  };
  await assert.rejects(mergeBlocks(refs, optionsFor(own, { checkLock: lost })), /somebody else/);
  const bounds = { columnsMax: 0, rowsMax: 1000, bytesMax: 1 << 20 };
  const attributes = [{ key: 'k', value: { type: 'string', value: 'x'.repeat(17 << 20) } as const }];
  const event = { time: START, name: 'e', attributes, dropped: 0 };
  const withEvent = requestOf({ traceId: TRACE, spanId: idOf(9), start: START, end: START, events: [event] });
  const [third] = await blocksOf([[withEvent]], own);
  await assert.rejects(mergeBlocks([...refs, third], optionsFor(own, { bounds })), TooLarge);
  const both = await Promise.allSettled([mergeBlocks(refs, optionsFor(own)), mergeBlocks(refs, optionsFor(own))]);
  assert.ok(both.some(({ status }) => status === 'fulfilled'));
  const catalog = new BlockCatalog(own);
  catalog.refresh();
  assert.equal(catalog.blocks('test').length, 2);
  await assertHolds(catalog.blocks('test') as LocalBlockRef[], [chain(0), chain(1), withEvent], 'after all');
  assert.deepEqual(
    fs.readdirSync(path.join(own, 'test')).filter((name) => name.startsWith('.')),
    [],
  );
  await assert.rejects(mergeBlocks(refs, optionsFor(own)), /ENOENT/);
});
