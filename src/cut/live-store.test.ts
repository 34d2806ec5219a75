import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach, test } from 'node:test';
import type { LocalBlockRef } from '../block/catalog.ts';
import { NO_TRACE_IDS, TraceIds } from '../block/trace-ids.ts';
import { LocalLog } from '../log/local-log.ts';
import { RECORD_CUT, RECORD_SPANS } from '../log/record.ts';
import { replayLog } from '../log/replay.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { LiveSnapshot } from './layout.ts';
import { LiveStore } from './live-store.ts';
import type { LiveLog, LiveStoreOptions } from './live-store-options.ts';
import { LiveView } from './live-view.ts';
import { packedSegment } from './packed-segment.ts';
import { encodeRequest, requestOf, type Span } from './otlp.fixture.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-live-store-'));
after(() => fs.rmSync(root, { recursive: true, force: true }));
const logs: LocalLog[] = [];
afterEach(async () => {
  for (const log of logs.splice(0)) await log.close();
});
let folders = 0;

/** A real log whose commits wait for a gate, and fail when told to. */
class GatedLog implements LiveLog {
  readonly log: LocalLog;
  commits = 0;
  failures = 0;
  #gate: Promise<void> = Promise.resolve();
  #open = (): void => {};

  constructor(log: LocalLog) {
    this.log = log;
  }

  get hasPending(): boolean {
    return this.log.hasPending;
  }

  get file(): number {
    return this.log.file;
  }

  get writtenBytes(): number {
    return this.log.writtenBytes;
  }

  get bytes(): number {
    return this.log.bytes;
  }

  shut(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#open();
  }

  gather(): Promise<void> {
    return this.log.gather();
  }

  add(tenant: string, body: Uint8Array): number {
    return this.log.add(tenant, body);
  }

  addCut(tenant: string, sequence: number): void {
    this.log.addCut(tenant, sequence);
  }

  async commit(): Promise<void> {
    this.commits++;
    const failing = this.failures > 0;
    // What was added until now is in this commit, and nothing that is added while it waits.
    if (failing) this.log.discardPending();
    const written = this.log.commit();
    await this.#gate;
    await written;
    if (!failing) return;
    this.failures--;
    throw new VivaceError('exhausted', 'cannot write to the log: the disk is full', { retryAfterMs: 5000 });
  }

  discardPending(): void {
    this.log.discardPending();
  }

  rotate(): void {
    this.log.rotate();
  }

  release(sequence: number): Promise<void> {
    return this.log.release(sequence);
  }
}

interface Bench {
  store: LiveStore;
  log: GatedLog;
  directory: string;
  blocks: LocalBlockRef[];
  cutFailures: Error[];
  clock: { ms: number };
  push(tenant: string, ...spans: Partial<Span>[]): Promise<number>;
}

async function bench(options: Partial<LiveStoreOptions> = {}): Promise<Bench> {
  const directory = path.join(root, String(folders++));
  const local = new LocalLog({
    directory: path.join(directory, 'wal'),
    fsync: 'never',
    segmentBytesMax: 1 << 16,
    reserveBytes: () => 0,
  });
  await local.open();
  logs.push(local);
  const log = new GatedLog(local);
  const blocks: LocalBlockRef[] = [];
  const cutFailures: Error[] = [];
  const clock = { ms: 1_000_000 };
  let segments = 1;
  const store = new LiveStore({
    log,
    instance: '000000000000',
    blocksDirectory: path.join(directory, 'blocks'),
    packDirectory: path.join(directory, 'wal'),
    liveBytes: 64 << 20,
    logBytesMax: 1 << 30,
    maxBlockDurationMs: 60_000,
    maxBlockBytes: 64 << 20,
    traceIdleMs: 5000,
    traceLiveMs: 30_000,
    pageRows: 1024,
    createdBy: 'vivace test',
    fsync: 'never',
    limits: () => ({ attributeBytesMax: 0, traceBytesMax: 0 }),
    now: () => clock.ms,
    nextSegment: () => segments++,
    deleted: () => NO_TRACE_IDS,
    onLeftOut: async () => {},
    onBlock: (block) => blocks.push(block),
    onCutFailed: (error) => cutFailures.push(error),
    onPackFailed: (error) => cutFailures.push(error),
    onAppended: () => {},
    ...options,
  });
  return {
    store,
    log,
    directory,
    blocks,
    cutFailures,
    clock,
    push: (tenant, ...spans) =>
      pushBytes(
        store,
        tenant,
        encodeRequest(requestOf(...spans.map((span) => ({ traceId: traceId(1), spanId: spanId(1), ...span })))),
      ),
  };
}

function pushBytes(store: LiveStore, tenant: string, body: Uint8Array): Promise<number> {
  return new Promise((resolve, reject) => {
    store.push(tenant, body, (error, spans, back) => {
      assert.equal(back, body, 'the body is given back');
      if (error === undefined) resolve(spans);
      else reject(error);
    });
  });
}

const traceId = (n: number): string => n.toString(16).padStart(32, '0');
const spanId = (n: number): string => n.toString(16).padStart(16, '0');

/** Names of the spans that a query sees. */
function seen(store: LiveStore, tenant: string): string[] {
  const { lease, segments } = store.lease(tenant);
  const names = segments.flatMap(namesOf);
  store.release(lease);
  return names.sort();
}

function namesOf(snapshot: LiveSnapshot): string[] {
  const view = new LiveView(snapshot);
  return [...view.field(11)].map((code) => view.string(code));
}

const spansOf = (blocks: LocalBlockRef[]): number => blocks.reduce((sum, block) => sum + block.meta.vivace.spans, 0);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Waits until it is so; the test's own time limit ends a wait in vain. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

test('a span is seen when, and not before, it is durable and acknowledged', async () => {
  const { store, log, directory, push } = await bench();
  log.shut();
  let answered = false;
  const pushed = push('t', { name: 'first' }, { name: 'second', spanId: spanId(2) }).then((spans) => {
    answered = true;
    return spans;
  });
  await until(() => log.commits === 1);
  assert.deepEqual(seen(store, 't'), []);
  assert.ok(!answered);
  log.open();
  assert.equal(await pushed, 2);
  assert.deepEqual(seen(store, 't'), ['first', 'second']);
  let records = 0;
  await replayLog(path.join(directory, 'wal'), () => void records++);
  assert.equal(records, 1);
  await store.close();
});

test('requests of one turn share a commit, and those of its time the next', async () => {
  const { store, log, push } = await bench();
  log.shut();
  const first = [1, 2, 3].map((n) => push('t', { name: `a${n}`, spanId: spanId(n) }));
  await until(() => log.commits === 1);
  const second = [4, 5].map((n) => push('t', { name: `b${n}`, spanId: spanId(n) }));
  log.open();
  await Promise.all(first);
  await Promise.all(second);
  assert.equal(log.commits, 2);
  assert.deepEqual(seen(store, 't'), ['a1', 'a2', 'a3', 'b4', 'b5']);
  await store.close();
});

test('a log that fails: nothing stays in memory, everybody who waits is told, and the next request is fine', async () => {
  const { store, log, directory, blocks, push } = await bench();
  await push('t', { name: 'before' });
  log.shut();
  log.failures = 1;
  const refused = [push('t', { name: 'lost', spanId: spanId(2) }), push('other', { name: 'lost' })];
  const commits = log.commits;
  await until(() => log.commits > commits);
  refused.push(push('t', { name: 'lost too', spanId: spanId(3) }));
  log.open();
  for (const result of await Promise.allSettled(refused)) {
    assert.ok(result.status === 'rejected');
    assert.equal(result.reason.code, 'exhausted');
    assert.equal(result.reason.retryAfterMs, 5000);
  }
  assert.deepEqual(seen(store, 't'), ['before']);
  assert.deepEqual(seen(store, 'other'), []);
  await push('t', { name: 'after', spanId: spanId(4) });
  assert.deepEqual(seen(store, 't'), ['after', 'before']);
  const inLog: number[] = [];
  await replayLog(
    path.join(directory, 'wal'),
    ({ type, body }) => void (type === RECORD_SPANS && inLog.push(body.length)),
  );
  assert.equal(inLog.length, 2);
  assert.ok(await store.close());
  assert.equal(spansOf(blocks), 2);
});

test('a refused request does not touch its neighbours', async () => {
  const { store, push } = await bench();
  const results = await Promise.allSettled([
    push('t', { name: 'good' }),
    push('t', { name: 'bad', spanId: spanId(2) }, { spanId: '' }),
    pushBytes(store, 't', Uint8Array.of(0x0a, 0xff)),
    push('t', { name: 'fine', spanId: spanId(3) }),
  ]);
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason.code)),
    [1, 'invalid', 'undecodable', 1],
  );
  assert.deepEqual(seen(store, 't'), ['fine', 'good']);
  await store.close();
});

test('a request without spans is answered and leaves no record', async () => {
  const { store, directory } = await bench();
  assert.equal(await pushBytes(store, 't', new Uint8Array(0)), 0);
  let records = 0;
  await replayLog(path.join(directory, 'wal'), () => void records++);
  assert.equal(records, 0);
  await store.close();
});

test('tenants do not see each other, and each has blocks of its own', async () => {
  const { store, blocks, push } = await bench();
  await Promise.all([
    push('one', { name: 'a' }),
    push('two', { name: 'b' }),
    push('one', { name: 'c', spanId: spanId(2) }),
  ]);
  assert.deepEqual([seen(store, 'one'), seen(store, 'two'), seen(store, 'three')], [['a', 'c'], ['b'], []]);
  await store.flush('one');
  assert.deepEqual(
    blocks.map(({ tenant, meta }) => [tenant, meta.tenantID, meta.vivace.spans]),
    [['one', 'one', 2]],
  );
  assert.deepEqual([seen(store, 'one'), seen(store, 'two')], [[], ['b']]);
  await store.flush();
  assert.deepEqual(blocks.map(({ tenant }) => tenant).sort(), ['one', 'two']);
  assert.ok(fs.existsSync(path.join(blocks[1].directory, 'meta.json')));
  await store.close();
});

test('full segments are cut while requests go on; every span is in one block, and the log gets short again', async () => {
  const { store, log, directory, blocks } = await bench({ liveBytes: 2 << 20 });
  const requests = 400;
  const text = 'x'.repeat(500);
  let answered = 0;
  await Promise.all(
    Array.from({ length: requests }, async (_, i) => {
      const spans = Array.from({ length: 20 }, (_, j) => ({
        traceId: traceId(i + 1),
        spanId: spanId(20 * i + j + 1),
        name: `span ${20 * i + j}`,
        attributes: [{ key: 'text', value: { type: 'string' as const, value: `${text}${20 * i + j}` } }],
      }));
      const accepted = await pushBytes(store, `tenant ${i % 5}`, encodeRequest(requestOf(...spans)));
      answered += accepted;
      // One request more than the budget, at most, and what the first request of a tenant takes.
      assert.ok(store.bytes <= (2 << 20) + 131_072, `${store.bytes} bytes of live columns`);
    }),
  );
  assert.equal(answered, 20 * requests);
  assert.ok(blocks.length > 2, `${blocks.length} blocks`);
  await store.flush();
  assert.equal(spansOf(blocks), 20 * requests);
  assert.equal(store.bytes, 0);
  // What is left in the log is the note of the last cut.
  const left: number[] = [];
  await replayLog(path.join(directory, 'wal'), ({ type }) => void left.push(type));
  assert.ok(left.filter((type) => type === RECORD_SPANS).length < requests / 4, `${left.length} records left`);
  assert.equal(left.at(-1), RECORD_CUT);
  assert.ok(log.log.segments <= 3, `${log.log.segments} segments`);
  await store.close();
});

test('a lease keeps what it saw until it is given back', async () => {
  const { store, blocks, push } = await bench();
  const names = Array.from({ length: 300 }, (_, i) => `span ${i}`);
  await push('t', ...names.map((name, i) => ({ name, spanId: spanId(i + 1) })));
  const { lease, segments } = store.lease('t');
  await push('t', { name: 'later', spanId: spanId(9999) });
  await store.flush();
  assert.equal(spansOf(blocks), 301);
  assert.deepEqual(seen(store, 't'), []);
  // New segments would take the memory over if the lease did not hold it.
  for (let i = 0; i < 4; i++) {
    await push('t', ...names.map((_, j) => ({ name: `new ${j}`, spanId: spanId(j + 1), traceId: traceId(i + 5) })));
    await store.flush();
  }
  assert.deepEqual(segments.flatMap(namesOf), names);
  store.release(lease);
  store.release(lease);
  await push('t', { name: 'last', spanId: spanId(7) });
  assert.deepEqual(seen(store, 't'), ['last']);
  await store.close();
});

test('segments are cut when they are old and quiet, or very old', async () => {
  const { store, blocks, clock, push } = await bench();
  await push('t', { name: 'a' });
  clock.ms += 59_999;
  store.tick();
  await store.flush('nobody');
  assert.equal(blocks.length, 0);
  clock.ms += 1;
  store.tick();
  await until(() => blocks.length === 1);
  // Spans that go on coming put the cut off, but not for ever.
  for (let ms = 0; ms < 89_000; ms += 1000) {
    await push('t', { name: 'b', spanId: spanId(ms + 2) });
    clock.ms += 1000;
    store.tick();
  }
  assert.equal(blocks.length, 1);
  await push('t', { name: 'c', spanId: spanId(3) });
  clock.ms += 1001;
  store.tick();
  await until(() => blocks.length === 2);
  await store.close();
});

test('a block is not made larger than it may be', async () => {
  const { store, blocks } = await bench({ maxBlockBytes: 300_000 });
  for (let i = 0; i < 30; i++)
    await pushBytes(
      store,
      't',
      encodeRequest(
        requestOf(
          ...Array.from({ length: 100 }, (_, j) => ({
            traceId: traceId(i + 1),
            spanId: spanId(j + 1),
            name: `${i} ${j} ${'n'.repeat(200)}`,
          })),
        ),
      ),
    );
  await store.flush();
  assert.ok(blocks.length >= 3, `${blocks.length} blocks`);
  assert.equal(spansOf(blocks), 3000);
  await store.close();
});

test('a cut that fails is told and tried again; meanwhile the spans are seen', async () => {
  const { store, directory, blocks, cutFailures, push } = await bench();
  await push('t', { name: 'patient' });
  fs.writeFileSync(path.join(directory, 'blocks'), 'a file where the folder should be');
  const flushed = store.flush();
  await until(() => cutFailures.length > 0);
  assert.deepEqual(seen(store, 't'), ['patient']);
  await push('t', { name: 'goes on', spanId: spanId(2) });
  assert.deepEqual(seen(store, 't'), ['goes on', 'patient']);
  fs.rmSync(path.join(directory, 'blocks'));
  await flushed;
  assert.equal(blocks.length, 1);
  assert.deepEqual(seen(store, 't'), ['goes on']);
  await store.close();
  assert.equal(spansOf(blocks), 2);
});

test('a trace beyond its bytes is discarded, also alone in its request, and the next trace has bytes of its own', async () => {
  const appended: [spans: number, discarded: number][] = [];
  const { store, directory, push } = await bench({
    limits: () => ({ attributeBytesMax: 0, traceBytesMax: 1000 }),
    onAppended: (_, { spans, discarded }) => appended.push([spans, discarded]),
  });
  const big = { type: 'string' as const, value: 'x'.repeat(2000) };
  await push('t', { name: 'small' });
  assert.equal(await push('t', { traceId: traceId(2), attributes: [{ key: 'big', value: big }] }), 1);
  await push('t', { name: 'next', traceId: traceId(3) });
  assert.deepEqual(appended, [
    [1, 0],
    [1, 1],
    [1, 0],
  ]);
  assert.deepEqual(seen(store, 't'), ['next', 'small']);
  let records = 0;
  await replayLog(path.join(directory, 'wal'), () => void records++);
  assert.equal(records, 2);
  await store.close();
});

test('spans of one trace too many are discarded, in memory and in the block', async () => {
  const appended: [spans: number, discarded: number, live: number][] = [];
  const limits = { attributeBytesMax: 0, traceBytesMax: 0, liveTracesMax: 2, traceIdleMs: 5000 };
  const { store, push, clock, blocks } = await bench({
    limits: () => limits,
    onAppended: (_, { spans, discarded, discardedLiveTraces }) =>
      appended.push([spans, discarded, discardedLiveTraces]),
  });
  await push('t', { name: 'a' }, { name: 'b', traceId: traceId(2) }, { name: 'refused', traceId: traceId(3) });
  await push('t', { name: 'refused', traceId: traceId(4) });
  await push('t', { name: 'c', spanId: spanId(2) });
  await push('other', { name: 'of another tenant' });
  clock.ms += 7000;
  await push('t', { name: 'd', traceId: traceId(4) });
  assert.deepEqual(appended, [
    [3, 1, 1],
    [1, 1, 1],
    [1, 0, 0],
    [1, 0, 0],
    [1, 0, 0],
  ]);
  assert.deepEqual(seen(store, 't'), ['a', 'b', 'c', 'd']);
  await store.close();
  assert.equal(spansOf(blocks), 5);
});

test('a request larger than all memory is refused as too large', async () => {
  const { store, push } = await bench({ liveBytes: 1 << 20 });
  await push('t', { name: 'before' });
  const huge = { type: 'string' as const, value: 'x'.repeat(3 << 20) };
  await assert.rejects(push('t', { name: 'huge', spanId: spanId(2), attributes: [{ key: 'k', value: huge }] }), {
    code: 'too-large',
  });
  await push('t', { name: 'after', spanId: spanId(3) });
  await store.flush();
  await store.close();
});

test('a closed store has cut everything and takes nothing more', async () => {
  const { store, blocks, push } = await bench();
  const last = push('t', { name: 'last' });
  assert.ok(await store.close());
  assert.equal(await last, 1);
  assert.equal(spansOf(blocks), 1);
  await assert.rejects(push('t', { name: 'late' }), { code: 'unavailable' });
});

test('replayed requests are seen at once and cut with the number of the last one', async () => {
  const { store, blocks } = await bench({ liveBytes: 1 << 20 });
  const text = 'x'.repeat(300);
  for (let i = 1; i <= 300; i++) {
    const spans = Array.from({ length: 10 }, (_, j) => ({
      traceId: traceId(i),
      spanId: spanId(j + 1),
      name: `${text} ${i}`,
    }));
    assert.equal((await store.replay('t', encodeRequest(requestOf(...spans)), i)).spans, 10);
    assert.ok(seen(store, 't').includes(`${text} ${i}`));
  }
  await assert.rejects(store.replay('t', Uint8Array.of(1), 301), { code: 'undecodable' });
  assert.ok(await store.close());
  assert.equal(spansOf(blocks), 3000);
  const sequences = blocks.map((block) => block.meta.vivace.log!.sequence);
  assert.deepEqual(
    sequences,
    sequences.toSorted((a, b) => a - b),
  );
  assert.equal(sequences.at(-1), 300);
});

/** Names of the spans that a query sees, of which some are only packed. */
async function seenPacked(store: LiveStore, tenant: string): Promise<string[]> {
  const { lease, segments, packs } = store.lease(tenant);
  const names = segments.flatMap(namesOf);
  for (const pack of packs) {
    const { view } = await packedSegment(pack);
    names.push(...[...view.field(11)].map((code) => view.string(code)));
  }
  store.release(lease);
  return names.sort();
}

test('of a thousand tenants in two megabytes every span is seen, in memory and in files, and is in one block', async () => {
  const { store, directory, blocks, cutFailures } = await bench({ liveBytes: 2 << 20 });
  const [tenants, rounds] = [1000, 4];
  const names = new Map<string, string[]>();
  for (let round = 0; round < rounds; round++)
    await Promise.all(
      Array.from({ length: tenants }, async (_, i) => {
        const spans = [0, 1, 2].map((j) => ({
          traceId: traceId(i + 1),
          spanId: spanId(3 * round + j + 1),
          name: `${i} ${round} ${j} ${'n'.repeat(100)}`,
        }));
        const tenant = `tenant ${i}`;
        assert.equal(await pushBytes(store, tenant, encodeRequest(requestOf(...spans))), 3);
        names.set(tenant, [...(names.get(tenant) ?? []), ...spans.map(({ name }) => name)].sort());
        assert.ok(store.bytes <= (2 << 20) + 131_072, `${store.bytes} bytes`);
      }),
    );
  assert.ok(blocks.length < 50, `${blocks.length} blocks`);
  assert.ok(fs.readdirSync(path.join(directory, 'wal')).some((name) => name.endsWith('.pack')));
  const isCut = (tenant: string): boolean => blocks.some((block) => block.tenant === tenant);
  for (const [tenant, expected] of names) {
    const found = await seenPacked(store, tenant);
    // Those that had columns at first are being cut.
    if (!isCut(tenant)) assert.deepEqual(found, expected);
  }
  const cut = new Set(blocks.map(({ tenant }) => tenant));
  const { packs } = store.lease('tenant 999');
  assert.ok(await store.close());
  await assert.rejects(packedSegment(packs[0]), { code: 'ENOENT' });
  assert.equal(spansOf(blocks), 3 * tenants * rounds);
  assert.deepEqual(cutFailures, []);
  for (const { tenant, meta } of blocks.filter((block) => !cut.has(block.tenant)))
    assert.equal(meta.vivace.spans, names.get(tenant)!.length);
  const left: number[] = [];
  await replayLog(path.join(directory, 'wal'), ({ type }) => void left.push(type));
  assert.ok(!left.includes(RECORD_SPANS));
});

test('what a failed log write took from a packed tenant is not seen, and what comes again is', async () => {
  const { store, log, push } = await bench({ liveBytes: 1 << 20 });
  for (let i = 0; i < 40; i++) await push(`tenant ${i}`, { name: 'first' });
  assert.equal(store.lease('tenant 39').packs.length, 1);
  log.failures = 1;
  await assert.rejects(push('tenant 39', { name: 'lost', spanId: spanId(2) }), { code: 'exhausted' });
  assert.deepEqual(await seenPacked(store, 'tenant 39'), ['first']);
  await push('tenant 39', { name: 'again', spanId: spanId(2) });
  assert.deepEqual(await seenPacked(store, 'tenant 39'), ['again', 'first']);
  await assert.rejects(pushBytes(store, 'tenant 39', Uint8Array.of(0x0a, 0xff)), { code: 'undecodable' });
  await store.close();
});

test('a log that gets long is shortened by cutting those that wait longest', async () => {
  const { store, log, blocks, push } = await bench({ liveBytes: 1 << 20, logBytesMax: 1 << 18 });
  for (let round = 0; round < 20; round++)
    for (let i = 0; i < 40; i++)
      await push(`tenant ${i}`, { name: `${round} ${'n'.repeat(300)}`, spanId: spanId(round + 1) });
  store.tick();
  await until(() => log.bytes < 1 << 17);
  assert.equal(blocks[0].tenant, 'tenant 0');
  await store.close();
  assert.equal(spansOf(blocks), 800);
});

test('a trace that is too large stays so after a cut', async () => {
  const limits = { attributeBytesMax: 0, traceBytesMax: 1000 };
  const { store, blocks, push } = await bench({ limits: () => limits });
  const big = { type: 'string' as const, value: 'x'.repeat(500) };
  for (let i = 1; i <= 4; i++) {
    await push('t', { name: `span ${i}`, spanId: spanId(i), attributes: [{ key: 'big', value: big }] });
    await store.flush();
  }
  assert.equal(spansOf(blocks), 1);
  await push('t', { name: 'of another', traceId: traceId(2) });
  await store.close();
  assert.equal(spansOf(blocks), 2);
});

test('a deleted trace of a packed tenant is known to be there, and then in no block and no file', async () => {
  const deletedId = traceId(77);
  const leftOut: string[] = [];
  let deleted = NO_TRACE_IDS;
  const { store, blocks, directory, push } = await bench({
    liveBytes: 1 << 20,
    deleted: () => deleted,
    onLeftOut: async (_, ids) => void leftOut.push(...ids),
  });
  for (let i = 0; i < 200; i++)
    await push(`tenant ${i}`, { name: 'n'.repeat(1500) }, { name: 'm', traceId: deletedId, spanId: spanId(2) });
  deleted = new TraceIds([deletedId]);
  assert.deepEqual(store.holds('tenant 199', deleted), [deletedId]);
  assert.deepEqual(store.holds('tenant 199', new TraceIds([traceId(5)])), []);
  const { packs } = store.lease('tenant 100');
  assert.ok(packs[0].places.length > 0, 'it is in a file');
  const [file, offset, stored] = packs[0].places;
  await store.flush('tenant 100');
  assert.deepEqual(leftOut, [deletedId]);
  const written = fs.readFileSync(path.join(directory, 'wal', `${String(file).padStart(8, '0')}.pack`));
  assert.ok(written.subarray(offset, offset + stored).every((byte) => byte === 0));
  assert.deepEqual(store.holds('tenant 100', deleted), []);
  await store.close();
  assert.equal(spansOf(blocks), 200);
});
