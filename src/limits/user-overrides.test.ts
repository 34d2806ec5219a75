import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultConfiguration } from '../config/load.ts';
import { memoryBucket } from '../store/memory.ts';
import { Tenants } from './tenants.ts';
import { mergePatch } from './user-document.ts';
import { NONE, UserOverrides } from './user-overrides.ts';

const EMPTY = '"processor":{"service_graphs":{},"span_metrics":{},"host_info":{}}';

describe('limits that a tenant sets', () => {
  it('are one version after the other', async () => {
    const { store, tenants } = make();
    assert.equal(await store.get('a'), undefined);
    const first = await store.put(
      'a',
      '{"metrics_generator":{"processors":["span-metrics"],"collection_interval":"30s"}}',
      NONE,
      false,
    );
    assert.equal(
      first.document,
      '{"cost_attribution":{},"metrics_generator":{"processors":["span-metrics"],"collection_interval":"30s","processor":{"service_graphs":{},"span_metrics":{},"host_info":{}}}}',
    );
    assert.deepEqual(tenants.of('a').metricsGenerator.processors, ['span-metrics']);
    assert.equal(tenants.of('a').metricsGenerator.collectionIntervalMs, 30_000);
    assert.equal(tenants.of('a').ingestion.rateLimitBytes, 30_000_000);
    await assert.rejects(store.put('a', '{}', NONE, false), { code: 'precondition' });
    const second = await store.put('a', '{"metrics_generator":{"disable_collection":true}}', first.version, false);
    await assert.rejects(store.put('a', '{}', first.version, false), { code: 'precondition' });
    await assert.rejects(store.delete('a', first.version), { code: 'precondition' });
    assert.deepEqual(tenants.of('a').metricsGenerator.processors, [], 'replaced as a whole');
    await store.delete('a', second.version);
    assert.equal(await store.get('a'), undefined);
    assert.equal(tenants.of('a').metricsGenerator.disableCollection, false);
  });

  it('are patched by members, also by two at once', async () => {
    const { store, tenants } = make();
    const patches = [
      { processors: ['host-info'] },
      { disable_collection: true },
      { collection_interval: 20_000_000_000 },
    ];
    await Promise.all(patches.map((patch) => store.patch('a', JSON.stringify({ metrics_generator: patch }), false)));
    const { processors, disableCollection, collectionIntervalMs } = tenants.of('a').metricsGenerator;
    assert.deepEqual([processors, disableCollection, collectionIntervalMs], [['host-info'], true, 20_000]);
    const { document } = await store.patch(
      'a',
      '{"metrics_generator":{"processors":null,"collection_interval":null}}',
      false,
    );
    assert.equal(document, `{"cost_attribution":{},"metrics_generator":{"disable_collection":true,${EMPTY}}}`);
  });

  it('are checked', async () => {
    const { store } = make();
    const wrong: [string, RegExp][] = [
      ['{', /no JSON/],
      ['[]', /limits must be an object/],
      ['{"foo":1}', /json: unknown field "foo"$/],
      ['{"ingestion":{"rate_limit_bytes":1}}', /unknown field "ingestion"/],
      ['{"__proto__":{"x":1}}', /unknown field "__proto__"/],
      ['{"metrics_generator":{"max_active_series":1}}', /unknown field "max_active_series"/],
      [
        '{"metrics_generator":{"processors":["nope"]}}',
        /processor "nope" is not a known processor, valid values: \[service-graphs span-metrics/,
      ],
      ['{"metrics_generator":{"processors":"span-metrics"}}', /must be a list of texts/],
      ['{"metrics_generator":{"collection_interval":"1s"}}', /15s to 5m0s/],
      ['{"metrics_generator":{"generate_native_histograms":"some"}}', /none of classic/],
      ['{"forwarders":["nope"]}', /forwarder "nope" is not a known forwarder, contact your system administrator$/],
    ];
    for (const [text, reason] of wrong) await assert.rejects(store.put('a', text, NONE, false), reason, text);
    await store.put(
      'a',
      '{"forwarders":["mirror"],"cost_attribution":{"dimensions":{"team":""}},"metrics_generator":null}',
      NONE,
      false,
    );
  });

  it('do not contradict the file where that is refused', async () => {
    const { store } = make({
      checkConflicts: true,
      file: 'overrides: {a: {metrics_generator: {processors: [host-info]}}}',
    });
    const text = '{"metrics_generator":{"processors":["span-metrics"]}}';
    await assert.rejects(store.put('a', text, NONE, false), /metrics_generator.processors/);
    await store.put('b', text, NONE, false);
    await store.put('a', text, NONE, true);
  });

  it('are read from the bucket, and what cannot be read leaves what there was', async () => {
    const fetched: (string | undefined)[] = [];
    const { store, tenants, bucket } = make({ onFetch: (_, error) => fetched.push(error) });
    const write = (text: string) => bucket.put('overrides/a/overrides.json', Buffer.from(text));
    await write('{"metrics_generator":{"processors":["host-info"]}}');
    await store.refresh();
    assert.deepEqual(tenants.of('a').metricsGenerator.processors, ['host-info']);
    let changes = 0;
    tenants.onChange(() => changes++);
    await store.refresh();
    assert.equal(changes, 0);
    await write('{"nonsense":1}');
    await store.refresh();
    assert.deepEqual(tenants.of('a').metricsGenerator.processors, ['host-info']);
    assert.match(fetched[2]!, /unknown field/);
    await bucket.delete('overrides/a/overrides.json');
    await store.refresh();
    assert.deepEqual([tenants.of('a').metricsGenerator.processors, tenants.tenantsByApi()], [[], []]);
  });

  it('are shown with all that holds', async () => {
    const { store } = make({ file: 'overrides: {a: {metrics_generator: {collection_interval: 1m}}}' });
    await store.put('a', '{"metrics_generator":{"processors":["span-metrics"]}}', NONE, false);
    const { metrics_generator } = JSON.parse(store.effective('a'));
    assert.deepEqual([metrics_generator.processors, metrics_generator.collection_interval], [['span-metrics'], '1m0s']);
  });
});

describe('a merge patch', () => {
  it('is that of RFC 7396', () => {
    const cases: [unknown, unknown, unknown][] = [
      [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
      [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
      [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
      [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
      [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
      [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
      [
        ['a', 'b'],
        ['c', 'd'],
        ['c', 'd'],
      ],
      [{ e: null }, { a: 1 }, { e: null, a: 1 }],
      [[1, 2], { a: 'b', c: null }, { a: 'b' }],
      [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    ];
    for (const [document, patch, expected] of cases) assert.deepEqual(mergePatch(document, patch), expected);
  });
});

function make(
  options: { checkConflicts?: boolean; file?: string; onFetch?: (tenant: string, error?: string) => void } = {},
) {
  const { file, checkConflicts = false, onFetch } = options;
  const tenants = new Tenants({
    defaults: defaultConfiguration().overrides.defaults,
    ...(file !== undefined && { readFile: () => file }),
  });
  const bucket = memoryBucket();
  const store = new UserOverrides({
    bucket,
    tenants,
    forwarders: ['mirror'],
    checkConflicts,
    ...(onFetch && { onFetch }),
  });
  return { store, tenants, bucket };
}
