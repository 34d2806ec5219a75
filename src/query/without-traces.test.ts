import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Segment } from '../block/segment.ts';
import { workedCases } from '../../tests/golden/worked.fixture.ts';
import { checkQuery } from '../traceql/check.ts';
import { parseQuery } from '../traceql/parse.ts';
import { beginMetrics } from './metrics.ts';
import { searchTraces } from './search.ts';
import { BASE_SECONDS, bothForms, EVER, joiningOf, type SpanSpec, traceIdOf } from './segments.fixture.ts';
import { SHOP } from './shop.fixture.ts';
import { findTagNames } from './tags.ts';
import { findTagValues } from './tag-values.ts';
import { collectTrace } from './trace.ts';
import { wantedTraces } from './trace-numbers.ts';
import { withoutTraces } from './without-traces.ts';
import { WORKED } from './worked.fixture.ts';

const stop = (): void => {};
const UNLIMITED = { limit: 0, maxStaleValues: 0, bytesMax: 0 };

/** Has something of every kind that no other trace has. */
function secret(trace: number, spans: number): SpanSpec[] {
  return Array.from({ length: spans }, (_, i) => ({
    trace,
    span: 0x500 + i,
    ...(i > 0 && { parent: 0x500 + (i >> 1) }),
    name: `secret ${i}`,
    at: i,
    message: `secret ${i}`,
    status: 2,
    resource: { 'service.name': `secret ${i & 1}`, 'secret.resource': 's' },
    scope: { name: 'secret', version: 's', attributes: { 'secret.scope': 's' } },
    attributes: { 'secret.span': `s ${i}`, 'secret.int': BigInt(i), 'secret.list': ['s'], region: 'secret' },
    events: [{ name: 'secret', at: i, attributes: { 'secret.event': 's', shard: 'secret' } }],
    links: [{ trace: 1, span: 1, attributes: { 'secret.link': 's' } }],
  }));
}

const QUERIES = [
  '{}',
  '{ status = error }',
  '{ .region != "x" }',
  '{ event:name != "x" }',
  '{ span.list = "q" } | select(span.v)',
  '{} >> {}',
  '{} | by(resource.service.name)',
  '{ traceDuration > 1ms } | count() > 1',
  '{ .secret.span != nil }',
  ...workedCases()
    .filter(({ error }) => error === undefined)
    .map(({ query }) => query),
];
const METRICS = [
  '{} | rate() by (resource.service.name)',
  '{} | count_over_time() by (span.region)',
  '{ status = error } | quantile_over_time(duration, .5)',
  '{} | compare({ status = error })',
  '{} | max_over_time(span.http.status_code)',
];
const TAGS = [
  ...['span.region', '.region', 'span.v', 'span.list', 'resource.service.name', '.secret.span', 'span.secret.int'],
  ...['name', 'statusMessage', 'duration', 'rootName', 'rootServiceName', 'trace:id', 'span:id', 'traceDuration'],
  ...[
    'event:name',
    'event.shard',
    'link.link.type',
    'link:traceID',
    'instrumentation:name',
    'instrumentation.lib.lang',
  ],
  ...['nestedSetLeft', 'event:timeSinceStart', 'span:parentID', 'resource.secret.resource'],
];

/** Everything that can be asked of the segments. */
async function answers(segments: Segment[]): Promise<Record<string, unknown>> {
  const told: Record<string, unknown> = {};
  for (const trace of [1, 2, 0xa, 0xb, 0xc, 0x50, 0x51]) {
    const found = await collectTrace(segments, Buffer.from(traceIdOf(trace), 'hex'), 0, stop);
    // The order of attributes is that in which they were first seen, in whatever trace.
    told[`trace ${trace}`] = found && { ...found, bytes: Buffer.from(found.bytes.toSorted()).toString('latin1') };
  }
  for (const query of QUERIES) {
    const options = { ...EVER, limit: 100, spansPerSpanSet: 100, stop };
    told[query] = (await searchTraces(segments, parseQuery(query), options, joiningOf())).traces;
  }
  for (const text of METRICS) {
    const query = parseQuery(text);
    checkQuery(query, text);
    const base = BigInt(BASE_SECONDS) * 1_000_000_000n;
    const range = { startNs: base - 60_000_000_000n, endNs: base + 60_000_000_000n, stepNs: 30_000_000_000n };
    const running = beginMetrics(query, { ...range, instant: false, exemplars: 0, seriesMax: 0 });
    await running.add(segments, joiningOf(), { stop });
    told[text] = running.finish();
  }
  told.tags = await findTagNames(segments, { scope: '', ...EVER, ...UNLIMITED }, stop);
  for (const query of [undefined, '{ status = error }'])
    for (const tag of TAGS) {
      const { values } = await findTagValues(segments, { tag, v1: false, query, ...EVER, ...UNLIMITED }, stop);
      told[`${tag} ${query}`] = values.map(({ type, value }) => `${type} ${value}`).sort();
    }
  return told;
}

function same(seen: Record<string, unknown>, expected: Record<string, unknown>): void {
  for (const question of Object.keys(expected)) assert.deepEqual(seen[question], expected[question], question);
}

test('what is left answers as if the traces had never come', async (t) => {
  const hidden = wantedTraces([0x50, 0x51, 0x52].map((trace) => Buffer.from(traceIdOf(trace), 'hex')));
  const rest = [...SHOP, ...WORKED];
  const few = secret(0x51, 1);
  // Requests in which they come first, in the middle and last; one span comes twice.
  const all = [
    [...few, ...SHOP],
    [...secret(0x50, 11), ...WORKED.slice(0, 5)],
    [...WORKED.slice(5), ...few],
  ];
  const left = await bothForms(t, SHOP, WORKED.slice(0, 5), WORKED.slice(5));
  const whole = await bothForms(t, ...all);
  for (const form of ['live', 'block'] as const)
    await t.test(form, async () => {
      const seen = await withoutTraces(whole[form], hidden);
      assert.equal(seen.rows, left[form].rows);
      same(await answers([seen]), await answers([left[form]]));
      assert.equal(await withoutTraces(left[form], hidden), left[form], 'nothing is put around what holds none');
    });
  await t.test('several segments', async () => {
    const second = await bothForms(t, [...rest.slice(0, 4), ...secret(0x50, 3)]);
    const third = await bothForms(t, secret(0x52, 3));
    const plain = await bothForms(t, rest.slice(0, 4));
    const segments = [third.live, second.live, whole.block, third.block];
    const seen = await Promise.all(segments.map((segment) => withoutTraces(segment, hidden)));
    assert.equal(seen[3].rows, 0);
    same(await answers(seen), await answers([plain.live, left.block]));
  });
});
