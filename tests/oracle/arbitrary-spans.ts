/**
 * Any traces, for fast-check: few names, keys and values, so that they meet, and every shape that a trace may have: several
 * roots, none, missing parents, circles. No two spans of a trace start at one time, so that orders are agreed.
 */
import type { SpanSpec, Value } from '../../src/query/segments.fixture.ts';
import fc from '../property.ts';

/** Requests, each with its spans; and for every span of them the segments that it goes to when they are spread. */
export interface Dataset {
  requests: SpanSpec[][];
  places: number[][];
}

/** Segments that spans may be spread over. */
export const PLACES = 3;
export const NAMES = ['GET /', 'auth', 'db', 'Äpfel', ''];
export const SERVICES = ['shop', 'cart', ''];
export const STRINGS = ['eu', 'us', 'x', 'y', '', '200', 'Eu'];
export const INTS = [-2n, 0n, 1n, 2n, 3n, 200n, 404n];
export const DOUBLES = [-1.5, 0, 0.5, 1, 2, 200];
export const EVENT_NAMES = ['exception', 'retry', ''];
const DURATIONS_MS = [0, 0.000001, 1, 5, 10, 100, 250.5, 2000];
const TRACES = [7, 0xabc, 0x10_0000_0000];
const SPAN_BASES = [1, 0xa0, 0xabc_def0_0000];
/** A span that is nowhere. */
const MISSING = 0xdead_beef;

const scalar: fc.Arbitrary<Value> = fc.oneof(
  fc.constantFrom<Value>(...STRINGS),
  fc.constantFrom<Value>(...INTS),
  fc.constantFrom<Value>(...DOUBLES),
  fc.boolean(),
);
const list = (values: readonly Value[]): fc.Arbitrary<Value> =>
  fc.array(fc.constantFrom(...values), { maxLength: 3 }) as fc.Arbitrary<Value>;
const array: fc.Arbitrary<Value> = fc.oneof(
  list(STRINGS),
  list(INTS),
  list(DOUBLES),
  fc.constantFrom<Value>([true, false], ['x', 1n], [['x']], [], { k: 'v' }, new Uint8Array([1])),
);

/** Keys that a query may ask for, with what may stand under them. */
const VALUES: { [key: string]: fc.Arbitrary<Value> } = {
  a: fc.constantFrom<Value>(...INTS),
  b: fc.oneof(fc.constantFrom<Value>(...DOUBLES), fc.constantFrom<Value>(...INTS)),
  region: fc.constantFrom<Value>(...STRINGS),
  flag: fc.oneof({ weight: 5, arbitrary: fc.boolean() }, { weight: 1, arbitrary: scalar }),
  any: scalar,
  tags: fc.oneof(array, list(STRINGS)),
  nums: fc.oneof(list(INTS), list(DOUBLES), fc.constantFrom<Value>(2n)),
  'http.status_code': fc.constantFrom<Value>(200n, 404n, 200n, 404n, '200'),
  'two words': scalar,
};
export const KEYS = Object.keys(VALUES);

function attributes(keys: readonly string[], share: number): fc.Arbitrary<[string, Value][]> {
  const optional = keys.map((key) =>
    fc.oneof(
      { weight: 10 - share, arbitrary: fc.constant(undefined) },
      { weight: share, arbitrary: VALUES[key].map((value): [string, Value] => [key, value]) },
    ),
  );
  return fc.tuple(...optional).map((pairs) => pairs.filter((pair) => pair !== undefined));
}

const resource = fc
  .tuple(
    fc.option(fc.constantFrom(...SERVICES), { nil: undefined, freq: 8 }),
    attributes(['region', 'a', 'tags', 'any'], 2),
  )
  .map(([service, more]) => [
    ...(service === undefined ? [] : [['service.name', service] as [string, Value]]),
    ...more,
  ]);

const event = fc.record({
  name: fc.constantFrom(...EVENT_NAMES),
  offsetMs: fc.constantFrom(0, 1, 5, 300),
  attributes: attributes(['a', 'region', 'tags'], 3),
});

const link = fc.record({
  trace: fc.constantFrom(...TRACES),
  span: fc.constantFrom(...SPAN_BASES),
  attributes: attributes(['region', 'a'], 3),
});

const scope = fc.record({
  name: fc.constantFrom('lib', ''),
  version: fc.constantFrom('1.0', ''),
  attributes: attributes(['region', 'a'], 2),
});

/** One time in so many up to three, else none. */
function someOf<T>(each: fc.Arbitrary<T>, times: number): fc.Arbitrary<T[]> {
  const none: fc.Arbitrary<T[]> = fc.constant([]);
  return fc.oneof(
    { weight: times - 1, arbitrary: none },
    { weight: 1, arbitrary: fc.array(each, { minLength: 1, maxLength: 3 }) },
  );
}

const shape = fc.record({
  /** 0 a root, 1 below a span that is not there, else below one of the trace. */
  parent: fc.integer({ min: 0, max: 12 }),
  name: fc.constantFrom(...NAMES),
  kind: fc.constantFrom(1, 1, 2, 3, 0, 4, 5),
  status: fc.constantFrom(0, 0, 1, 2),
  message: fc.constantFrom(undefined, undefined, 'x', 'timeout'),
  at: fc.integer({ min: 0, max: 50 }),
  ms: fc.constantFrom(...DURATIONS_MS),
  resource: fc.integer({ min: 0, max: 2 }),
  scope: fc.option(scope, { nil: undefined }),
  attributes: attributes(KEYS, 3),
  events: someOf(event, 4),
  links: someOf(link, 6),
  place: fc.integer({ min: 0, max: PLACES - 1 }),
  /** Sent twice, to the next segment as well. */
  twice: fc.integer({ min: 0, max: 9 }).map((number) => number === 9),
});

const trace = fc.record({
  at: fc.integer({ min: 0, max: 120_000 }),
  spanBase: fc.constantFrom(...SPAN_BASES),
  resources: fc.array(resource, { minLength: 1, maxLength: 3 }),
  shapes: fc.array(shape, { minLength: 1, maxLength: 9 }),
});

export const dataset: fc.Arbitrary<Dataset> = fc
  .tuple(fc.array(trace, { minLength: 1, maxLength: TRACES.length }), fc.boolean())
  .map(([traces, retried]) => {
    const places: number[][] = [];
    const requests = traces.map(({ at, spanBase, resources, shapes }, t) =>
      shapes.map((each, i): SpanSpec => {
        places.push(retried && each.twice ? [each.place, (each.place + 1) % PLACES] : [each.place]);
        const start = at + each.at + i * 0.001;
        const parent = parentOf(each.parent, i, shapes.length);
        return {
          trace: TRACES[t],
          span: spanBase + i,
          ...(parent !== undefined && { parent: parent === MISSING ? MISSING : spanBase + parent }),
          name: each.name,
          kind: each.kind,
          status: each.status,
          ...(each.message !== undefined && { message: each.message }),
          at: start,
          ms: each.ms,
          resource: resources[each.resource % resources.length],
          ...(each.scope !== undefined && { scope: each.scope }),
          attributes: each.attributes,
          events: each.events.map(({ offsetMs, ...rest }) => ({ ...rest, at: start + offsetMs })),
          links: each.links,
        };
      }),
    );
    return { requests, places };
  });

/** The first is a root more often than not; most others hang somewhere above, a few in circles. */
function parentOf(choice: number, index: number, count: number): number | undefined {
  if (choice === 1) return MISSING;
  if (choice === 0 || (index === 0 && choice < 11)) return undefined;
  return choice < 11 && index > 0 ? choice % index : choice % count;
}
