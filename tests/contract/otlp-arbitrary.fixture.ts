/** Any ExportTraceServiceRequest, for fast-check: small pools of ids, keys and times, so that they meet. */
import fc from '../property.ts';
import type {
  Attribute,
  Event,
  Link,
  Request,
  Resource,
  ResourceSpans,
  Scope,
  ScopeSpans,
  Span,
  Value,
} from '../../src/cut/otlp.fixture.ts';

export const TRACE_IDS = [
  '00000000000000000000000000000001',
  'ffffffffffffffffffffffffffffffff',
  '0af7651916cd43dd8448eb211c80319c',
];
const SPAN_IDS = [
  '0000000000000001',
  '0100000000000000',
  'ffffffffffffffff',
  'b7ad6b7169203331',
  'b7ad6b7169203332',
  '00f067aa0ba902b7',
];
const MAX_UINT64 = 0xffff_ffff_ffff_ffffn;

/** Plain objects, as the decoder makes them. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

const text: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom('', 'GET', '/api/checkout', 'größer als €', '\u0000', '日本語', 'a'.repeat(300)),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
);
const key = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('k', 'http.route', 'K', 'service.name', '', 'k:int', 'time', 'größe') },
  { weight: 1, arbitrary: fc.string({ unit: 'grapheme', maxLength: 6 }) },
  { weight: 1, arbitrary: fc.constant('long.'.repeat(40)) },
);
const uint32 = fc.oneof(fc.constantFrom(0, 1, 0xffffffff, 0x80000000), fc.nat());
const int32 = fc.oneof(
  fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 254, 255, 256, -1, -2147483648, 2147483647),
  fc.integer({ min: 0, max: 5 }),
);
const time = fc.oneof(
  fc.constantFrom(
    0n,
    1n,
    MAX_UINT64,
    1n << 63n,
    (1n << 63n) - 1n,
    1_700_000_000_000_000_000n,
    1_700_000_000_000_000_001n,
  ),
  fc.bigInt({ min: 1_700_000_000_000_000_000n, max: 1_700_000_001_000_000_000n }),
  fc.bigInt({ min: 0n, max: MAX_UINT64 }),
);
const doubleBits = fc.oneof(
  // 0, -0, infinities, NaN, NaN with a payload, the smallest, 1.5
  fc.constantFrom(
    0n,
    1n << 63n,
    0x7ff0n << 48n,
    0xfff0n << 48n,
    0x7ff8n << 48n,
    0x7ff8_0000_0000_1234n,
    0xfff8_dead_beef_0001n,
    1n,
    0x3ff8n << 48n,
  ),
  fc.bigInt({ min: 0n, max: MAX_UINT64 }).filter((bits) => !isSignallingNaN(bits)),
);

/** Reading one may make it quiet on some processors; nobody sends them. */
function isSignallingNaN(bits: bigint): boolean {
  return ((bits >> 52n) & 0x7ffn) === 0x7ffn && ((bits >> 51n) & 1n) === 0n && (bits & 0xfffffffffffffn) !== 0n;
}

const { value } = fc.letrec<{ value: Value; leaf: Value; attribute: Attribute }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    { weight: 8, arbitrary: tie('leaf') },
    {
      weight: 1,
      arbitrary: fc.array(tie('value'), { maxLength: 4 }).map((values): Value => ({ type: 'array', values })),
    },
    {
      weight: 1,
      arbitrary: fc.array(tie('attribute'), { maxLength: 3 }).map((values): Value => ({ type: 'kvlist', values })),
    },
  ),
  leaf: fc.oneof(
    { weight: 3, arbitrary: text.map((value): Value => ({ type: 'string', value })) },
    { weight: 1, arbitrary: fc.boolean().map((value): Value => ({ type: 'bool', value })) },
    {
      weight: 2,
      arbitrary: fc
        .oneof(
          fc.constantFrom(0n, -1n, -(1n << 63n), (1n << 63n) - 1n, 9007199254740993n),
          fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
        )
        .map((value): Value => ({ type: 'int', value })),
    },
    { weight: 2, arbitrary: doubleBits.map((bits): Value => ({ type: 'double', bits })) },
    {
      weight: 1,
      arbitrary: fc
        .uint8Array({ maxLength: 9 })
        .map((bytes): Value => ({ type: 'bytes', hex: Buffer.from(bytes).toString('hex') })),
    },
    { weight: 1, arbitrary: fc.constant<Value>({ type: 'empty' }) },
  ),
  attribute: record({ key, value: tie('value') }),
}));

const attribute: fc.Arbitrary<Attribute> = record({ key, value });
const attributes = fc.array(attribute, { maxLength: 8 });

const event: fc.Arbitrary<Event> = record({
  time,
  name: text,
  attributes: fc.array(attribute, { maxLength: 3 }),
  dropped: uint32,
});

const link: fc.Arbitrary<Link> = record({
  traceId: fc.constantFrom('', '0'.repeat(32), ...TRACE_IDS),
  spanId: fc.constantFrom('', '0'.repeat(16), ...SPAN_IDS),
  traceState: text,
  attributes: fc.array(attribute, { maxLength: 2 }),
  dropped: uint32,
  flags: uint32,
});

const span: fc.Arbitrary<Span> = record({
  traceId: fc.constantFrom(...TRACE_IDS),
  spanId: fc.constantFrom(...SPAN_IDS),
  traceState: fc.oneof(fc.constant(''), text),
  // One that is not in the trace, none, one of zeros, or one of the pool: rings and spans that are their own parent included.
  parentId: fc.constantFrom('', '0000000000000000', 'aaaaaaaaaaaaaaaa', ...SPAN_IDS),
  name: text,
  kind: int32,
  start: time,
  end: time,
  attributes,
  droppedAttributes: uint32,
  events: fc.array(event, { maxLength: 3 }),
  droppedEvents: uint32,
  links: fc.array(link, { maxLength: 2 }),
  droppedLinks: uint32,
  statusMessage: fc.oneof(fc.constant(''), text),
  status: int32,
  flags: uint32,
});

const resource: fc.Arbitrary<Resource> = record({ attributes, dropped: uint32 });
const scope: fc.Arbitrary<Scope> = record({
  name: text,
  version: text,
  attributes: fc.array(attribute, { maxLength: 3 }),
  dropped: uint32,
});
const schemaUrl = fc.constantFrom(
  '',
  'https://opentelemetry.io/schemas/1.26.0',
  'https://opentelemetry.io/schemas/1.27.0',
);
const scopeSpans: fc.Arbitrary<ScopeSpans> = record({ scope, schemaUrl, spans: fc.array(span, { maxLength: 5 }) });
const resourceSpans: fc.Arbitrary<ResourceSpans> = record({
  resource,
  schemaUrl,
  scopes: fc.array(scopeSpans, { maxLength: 3 }),
});

export const anyRequest: fc.Arbitrary<Request> = fc.array(resourceSpans, { maxLength: 3 });

/** Requests of which some are sent again. */
export const anyRequests: fc.Arbitrary<Request[]> = fc
  .tuple(fc.array(anyRequest, { minLength: 1, maxLength: 4 }), fc.array(fc.nat({ max: 3 }), { maxLength: 2 }))
  .map(([requests, again]) => [...requests, ...again.map((index) => requests[index % requests.length])]);
