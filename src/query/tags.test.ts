import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VivaceError } from '../runtime/errors.ts';
import { BASE_SECONDS, bothForms, EVER, type SpanSpec } from './segments.fixture.ts';
import { SHOP } from './shop.fixture.ts';
import { findTagNames, type TagNamesQuery } from './tags.ts';

const stop = (): void => {};
const ALL: TagNamesQuery = { scope: '', ...EVER, limit: 0, maxStaleValues: 0, bytesMax: 0 };

/** `span: a b; link: c` */
async function namesOf(segments: Parameters<typeof findTagNames>[0], request: Partial<TagNamesQuery>): Promise<string> {
  const { scopes } = await findTagNames(segments, { ...ALL, ...request }, stop);
  return scopes.map(({ name, tags }) => `${name}: ${tags.join(' ')}`).join('; ');
}

const SPAN = 'span: cached http.method http.status_code http.url list m only other raw region rows v';
const RESOURCE = 'resource: cores region service.name zones';
const EVERYTHING = `${SPAN}; ${RESOURCE}; event: retry shard; link: link.type; instrumentation: lib.lang`;

const CASES: [TagNamesQuery['scope'], string | undefined, string][] = [
  ['', undefined, EVERYTHING],
  ['none', undefined, EVERYTHING],
  ['span', undefined, SPAN],
  ['resource', undefined, RESOURCE],
  ['event', undefined, 'event: retry shard'],
  ['link', undefined, 'link: link.type'],
  ['instrumentation', undefined, 'instrumentation: lib.lang'],
  ['intrinsic', undefined, ''],
  ['trace', undefined, ''],
  ['span', '{ name = "SELECT" }', 'span: cached list m only rows v'],
  ['span', '{ name = "SELECT" || name = "orphan" }', 'span: cached http.method list m only other rows v'],
  ['span', '{ resource.region = "us" && span.cached = false }', 'span: cached list other raw v'],
  ['resource', '{ name = "send mail" }', 'resource: region service.name zones'],
  ['event', '{ name = "send mail" }', 'event: retry'],
  ['event', '{ name = "SELECT" }', ''],
  ['link', '{ status = error }', 'link: link.type'],
  ['instrumentation', '{ name = "SELECT" }', ''],
  ['', '{ name = "no such span" }', ''],
  ['event', '{ nonsense', 'event: retry shard'],
  ['event', '{}', 'event: retry shard'],
  ['span', '{ name = "SELECT" && span.rows = }', 'span: cached list m only rows v'],
];

test('names by scope and filter', async (t) => {
  const { live, block } = await bothForms(t, SHOP);
  for (const [scope, query, expected] of CASES)
    for (const segments of [[live], [block], [live, block]])
      assert.equal(await namesOf(segments, { scope, ...(query && { query }) }), expected, `${scope} ${query}`);
});

test('names end at each bound', async (t) => {
  const { live, block } = await bothForms(t, SHOP);
  const first = 'span: cached; resource: service.name; event: retry; link: link.type; instrumentation: lib.lang';
  for (const segments of [[live], [block]]) {
    assert.equal(await namesOf(segments, { limit: 1 }), first);
    assert.equal(await namesOf(segments, { scope: 'span', bytesMax: 16 }), 'span: cached');
    assert.equal(await namesOf(segments, { scope: 'span', bytesMax: 17 }), 'span: cached http.method');
  }
  const other: SpanSpec = { trace: 3, span: 1, attributes: { cached: true, list: 'x', zzz: 'last' } };
  const second = await bothForms(t, [other]);
  assert.match(await namesOf([block, second.block], { scope: 'span' }), / zzz$/);
  assert.equal(await namesOf([block, second.block], { scope: 'span', maxStaleValues: 2 }), SPAN);
  assert.match(await namesOf([block, second.block], { scope: 'span', maxStaleValues: 3 }), / zzz$/);
});

test('names that many resources of one segment share are not stale', async (t) => {
  const spans = Array.from({ length: 9 }, (_, i): SpanSpec => ({ trace: 1, span: i + 1, resource: { host: `h${i}` } }));
  spans.push({ trace: 1, span: 10, resource: { zone: 'z' } });
  const { live, block } = await bothForms(t, spans);
  for (const segment of [live, block])
    assert.equal(await namesOf([segment], { maxStaleValues: 1 }), 'resource: host zone');
});

test('a block outside of the range has no names', async (t) => {
  const { block } = await bothForms(t, SHOP);
  assert.equal(await namesOf([block], { startSeconds: BASE_SECONDS + 60 }), '');
  assert.equal(await namesOf([block], { endSeconds: BASE_SECONDS - 60 }), '');
  assert.equal(await namesOf([block], { startSeconds: BASE_SECONDS, endSeconds: BASE_SECONDS + 1 }), EVERYTHING);
});

test('names of matching spans that are far apart', async (t) => {
  const spans = Array.from(
    { length: 5000 },
    (_, i): SpanSpec => ({ trace: 1, span: i + 1, at: i, attributes: { often: 'x' } }),
  );
  spans[0] = { trace: 1, span: 1, name: 'wanted', attributes: { early: 1n } };
  spans[4000] = { trace: 1, span: 4001, at: 4000, attributes: { between: 1n } };
  spans[4999] = { trace: 1, span: 5000, at: 4999, name: 'wanted', attributes: { late: 1n } };
  const { live, block } = await bothForms(t, spans);
  for (const segment of [live, block])
    assert.equal(await namesOf([segment], { query: '{ name = "wanted" }' }), 'span: early late');
});

test('too many alternatives are refused', async () => {
  const query = `{ ${Array.from({ length: 101 }, (_, i) => `span.a = ${i}`).join(' || ')} }`;
  await assert.rejects(
    namesOf([], { query }),
    (error) =>
      error instanceof VivaceError &&
      error.code === 'invalid' &&
      error.message.startsWith('maximum condition groups reached'),
  );
});

test('names can be stopped between segments', async (t) => {
  const { live } = await bothForms(t, SHOP);
  const gone = new VivaceError('cancelled', 'the client has gone');
  await assert.rejects(
    findTagNames([live], ALL, () => {
      throw gone;
    }),
    gone,
  );
});
