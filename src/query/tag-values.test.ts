import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VivaceError } from '../runtime/errors.ts';
import { bothForms, EVER, type SpanSpec } from './segments.fixture.ts';
import { SHOP } from './shop.fixture.ts';
import { findTagValues, type TagValuesQuery } from './tag-values.ts';

const stop = (): void => {};

/** Types and values, sorted. */
async function valuesOf(
  segments: Parameters<typeof findTagValues>[0],
  tag: string,
  request: Partial<TagValuesQuery> = {},
): Promise<string> {
  const all = { tag, v1: false, ...EVER, limit: 0, maxStaleValues: 0, bytesMax: 0, ...request };
  const { values } = await findTagValues(segments, all, stop);
  return values
    .map(({ type, value }) => `${type} ${value}`)
    .sort()
    .join(', ');
}

const KINDS =
  'keyword client, keyword consumer, keyword internal, keyword producer, keyword server, keyword unspecified';
const STATUSES = 'keyword error, keyword ok, keyword unset';
const V = 'float 1.5, int 1, int 2, int 9223372036854775807, string x';

const CASES: [tag: string, query: string | undefined, expected: string][] = [
  ['span.v', undefined, V],
  ['span.region', undefined, 'string ap'],
  ['resource.region', undefined, 'string eu, string us'],
  ['.region', undefined, 'string ap, string eu, string us'],
  ['parent.region', undefined, 'string ap, string eu, string us'],
  ['resource.cores', undefined, 'int 4'],
  ['resource.zones', undefined, 'string a, string b'],
  ['span.cached', undefined, 'bool false, bool true'],
  ['span.list', undefined, 'string p, string q'],
  ['span.m', undefined, ''],
  ['span.raw', undefined, ''],
  ['span.nothing', undefined, ''],
  ['event.retry', undefined, 'int 1, string 1'],
  ['link.link.type', undefined, 'string follows'],
  ['instrumentation.lib.lang', undefined, 'string js'],
  ['name', undefined, 'string GET /cart, string SELECT, string orphan, string send mail'],
  ['span:name', undefined, 'string GET /cart, string SELECT, string orphan, string send mail'],
  ['statusMessage', undefined, 'string , string timeout'],
  ['status', undefined, STATUSES],
  ['span:kind', undefined, KINDS],
  ['duration', undefined, 'int 1000000, int 10000000, int 2000, int 30000000'],
  ['traceDuration', undefined, 'int 2000000, int 30000000'],
  ['rootName', undefined, 'string GET /cart, string send mail'],
  ['trace:rootService', undefined, 'string cart, string mail'],
  ['event:name', undefined, 'string cache.miss, string retry, string sent'],
  ['event:timeSinceStart', undefined, 'int 0, int 1000, int 2000000'],
  ['instrumentation:name', undefined, 'string , string http'],
  ['instrumentation:version', undefined, 'string , string 1.2'],
  ['trace:id', undefined, 'string 1, string 2'],
  ['span:id', undefined, 'string 0000000000000001, string 0000000000000002'],
  ['span:parentID', undefined, 'string 0000000000000001, string 000000000000004d'],
  ['link:traceID', undefined, 'string 2'],
  ['link:spanID', undefined, 'string 1'],
  ['span:childCount', undefined, 'int 0, int 1'],
  ['nestedSetLeft', undefined, 'int 0, int 1, int 2'],

  ['span.v', '{ resource.service.name = "cart" }', 'float 1.5, int 1, int 2, string x'],
  ['span.v', '{ name = "SELECT" || name = "GET /cart" }', 'float 1.5, string x'],
  ['span.v', '{ span.v > 1.0 }', 'float 1.5'],
  ['span.v', '{ span.v = 5 }', 'int 5'],
  ['span.v', '{ span.v = 5 && name = "SELECT" }', ''],
  ['span.v', '{ span.v }, nonsense', V],
  ['span.v', '{ .v = 5 }', V],
  ['.region', '{ name = "send mail" }', 'string us'],
  ['.region', '{ name = "GET /cart" }', 'string ap, string eu'],
  ['resource.region', '{ status = error }', 'string eu'],
  ['event.retry', '{ name = "send mail" }', 'string 1'],
  ['event.retry', '{ name = "SELECT" }', ''],
  ['link.link.type', '{ name = "send mail" }', ''],
  ['name', '{ span.rows > 40 }', 'string SELECT'],
  ['name', '{ name = "made up" }', 'string made up'],
  ['duration', '{ duration = 5ms }', 'duration 5ms'],
  ['duration', '{ name = "SELECT" }', 'int 10000000'],
  ['traceDuration', '{ name = "SELECT" }', 'int 30000000'],
  ['rootName', '{ name = "orphan" }', 'string send mail'],
  ['statusMessage', '{ name = "SELECT" }', 'string timeout'],
  ['statusMessage', '{ name = "orphan" }', 'string '],
  ['event:name', '{ resource.region = "us" }', 'string retry, string sent'],
  ['event:timeSinceStart', '{ resource.region = "us" }', 'int 0, int 1000'],
  ['link:traceID', '{ name = "orphan" }', ''],
  ['instrumentation:name', '{ name = "SELECT" }', 'string '],
  ['instrumentation:name', '{ name = "GET /cart" }', 'string http'],
  ['span:id', '{ name = "SELECT" }', 'string 0000000000000002'],
  ['span:childCount', '{ name = "GET /cart" }', 'int 1'],
  ['status', '{ name = "SELECT" }', STATUSES],
];

test('values by identifier and filter', async (t) => {
  const { live, block } = await bothForms(t, SHOP);
  for (const [tag, query, expected] of CASES)
    for (const segments of [[live], [block], [live, block]])
      assert.equal(await valuesOf(segments, tag, { ...(query && { query }) }), expected, `${tag} ${query}`);
});

const BARE: [tag: string, expected: string][] = [
  ['v', V],
  ['region', 'string ap, string eu, string us'],
  ['service.name', 'string cart, string mail'],
  ['http.status_code', 'int 200'],
  ['retry', ''],
  ['span.v', ''],
  ['name', 'string GET /cart, string SELECT, string orphan, string send mail'],
  ['root.name', 'string GET /cart, string send mail'],
  ['rootName', 'string GET /cart, string send mail'],
  ['root.service.name', 'string cart, string mail'],
  ['status.code', 'string 0, string 1, string 2, string error, string ok, string unset'],
  ['error', 'string true'],
  ['status', ''],
  ['duration', ''],
  ['kind', ''],
  ['no such key', ''],
];

test('values by bare key', async (t) => {
  const onSpan: SpanSpec = { trace: 3, span: 1, attributes: { 'service.name': 'not a service' }, parent: 9 };
  const { live, block } = await bothForms(t, SHOP);
  for (const [tag, expected] of BARE)
    for (const segments of [[live], [block]]) assert.equal(await valuesOf(segments, tag, { v1: true }), expected, tag);
  const other = await bothForms(t, [onSpan]);
  assert.equal(await valuesOf([other.block], 'service.name', { v1: true }), '');
  assert.equal(await valuesOf([other.block], '.service.name'), 'string not a service');
  assert.equal(await valuesOf([other.live, other.block], 'rootName', { v1: true }), 'string ');
});

test('numbers at the edges', async (t) => {
  const ints = [
    0n,
    -1n,
    2147483648n,
    4294967296n,
    9007199254740991n,
    9007199254740993n,
    -9007199254740993n,
    -9223372036854775808n,
  ];
  const doubles: [number, string][] = [
    [0.1, '0.1'],
    [42, '42.0'],
    [1e21, '1e+21'],
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, '+Inf'],
    [Number.NEGATIVE_INFINITY, '-Inf'],
    [-2.25, '-2.25'],
  ];
  const { live, block } = await bothForms(t, [
    ...ints.map((n, i): SpanSpec => ({ trace: 1, span: i + 1, attributes: { n } })),
    ...doubles.map(([d], i): SpanSpec => ({ trace: 2, span: i + 1, attributes: { d } })),
  ]);
  for (const segment of [live, block]) {
    assert.equal(
      await valuesOf([segment], 'span.n'),
      ints
        .map((n) => `int ${n}`)
        .sort()
        .join(', '),
    );
    assert.equal(
      await valuesOf([segment], 'span.d'),
      doubles
        .map(([, text]) => `float ${text}`)
        .sort()
        .join(', '),
    );
  }
});

test('values end at each bound', async (t) => {
  const numbered = (trace: number, from: number, to: number): SpanSpec[] =>
    Array.from({ length: to - from }, (_, i) => ({
      trace,
      span: i + 1,
      attributes: { n: BigInt(from + i), s: `s${from + i}` },
    }));
  const first = await bothForms(t, [...numbered(1, 100, 120), ...numbered(2, 100, 120)]);
  const second = await bothForms(t, numbered(3, 115, 130));
  const count = async (tag: string, request: Partial<TagValuesQuery>, from: 'live' | 'block'): Promise<number> => {
    const text = await valuesOf([first[from], second[from]], tag, request);
    return text === '' ? 0 : text.split(', ').length;
  };
  for (const from of ['live', 'block'] as const)
    for (const tag of ['span.n', 'span.s']) {
      assert.equal(await count(tag, {}, from), 30);
      assert.equal(await count(tag, { limit: 7 }, from), 7);
      assert.equal(await count(tag, { limit: 25 }, from), 25);
      // The second segment begins with five values that are known; repetitions within the first do not count.
      assert.equal(await count(tag, { maxStaleValues: 5 }, from), 20);
      assert.equal(await count(tag, { maxStaleValues: 6 }, from), 30);
      const bytesOfOne = tag === 'span.n' ? 'int 100'.length : 'string s100'.length;
      assert.equal(await count(tag, { bytesMax: 3 * bytesOfOne + 1 }, from), 3);
    }
});

test('what is no identifier is refused with the reason alone', async () => {
  for (const [tag, reason] of [
    ['foo', /^failed to parse identifier foo: parse error at line 1, col 2: unknown identifier: foo$/],
    ['span.', /^failed to parse identifier span\.: parse error/],
    ['.a = 1', /^failed to parse identifier \.a = 1: parse error/],
  ] as const)
    await assert.rejects(
      valuesOf([], tag),
      (error) => error instanceof VivaceError && error.code === 'invalid' && reason.test(error.message),
    );
});
