import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  create,
  createFileRegistry,
  type DescMessage,
  fromBinary,
  type JsonValue,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import fc from '../../tests/property.ts';
import { VivaceError } from '../runtime/errors.ts';
import { DESCRIPTOR_FILES } from '../wire/descriptors.ts';
import { otlpJsonToProto, VALUE_DEPTH_MAX } from './otlp-json.ts';

const file = DESCRIPTOR_FILES.map(({ base64 }) => fromBinary(FileDescriptorProtoSchema, Buffer.from(base64, 'base64')));
const registry = createFileRegistry(create(FileDescriptorSetSchema, { file }));
const Request = registry.getMessage('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest') as DescMessage;

/** What the oracle reads out of our protobuf, as proto3 JSON (ids in base64). */
function read(json: string | Uint8Array): JsonValue {
  return toJson(Request, fromBinary(Request, otlpJsonToProto(Buffer.from(json as string))));
}

/** JSON of one span with the given members. */
function span(members: string): string {
  return `{"resourceSpans":[{"scopeSpans":[{"spans":[{${members}}]}]}]}`;
}

function attribute(value: string): string {
  return span(`"attributes":[{"key":"k","value":${value}}]`);
}

function spanOf(value: JsonValue): Record<string, JsonValue> {
  // biome-ignore lint/suspicious/noExplicitAny: a path into JSON that the test knows
  return (value as any).resourceSpans[0].scopeSpans[0].spans[0];
}

const GOLDEN =
  '0a660a170a150a0c736572766963652e6e616d6512050a03737663124b0a050a036c696212420a100102030405060708090a0b0c0d0e0fa1120811121314151617182a026f7030033900002a36fe9c97174140423936fe9c97174a080a016b12030a01767a021802';
const GOLDEN_JSON = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"svc"}}]},
  "scopeSpans":[{"scope":{"name":"lib"},"spans":[{"traceId":"0102030405060708090A0b0c0d0e0fa1","spanId":"1112131415161718",
  "name":"op","kind":3,"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":1700000000001000000,
  "attributes":[{"key":"k","value":{"stringValue":"v"}}],"status":{"code":"STATUS_CODE_ERROR"}}]}]}]}`;

it('gives the golden vector, byte for byte, in both spellings of names', () => {
  assert.equal(Buffer.from(otlpJsonToProto(Buffer.from(GOLDEN_JSON))).toString('hex'), GOLDEN);
  const snake = GOLDEN_JSON.replace(/"(\w+)":/g, (name) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`));
  assert.match(snake, /"start_time_unix_nano":/);
  assert.equal(Buffer.from(otlpJsonToProto(Buffer.from(snake))).toString('hex'), GOLDEN);
});

it('transcribes every request as the oracle does', () => {
  const small = { maxLength: 3 };
  const text = fc.string({ unit: 'binary', maxLength: 200 });
  const count = fc.nat(0xffffffff);
  const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const { keyValue } = fc.letrec((tie) => ({
    keyValue: fc.record({ key: text, value: tie('anyValue') }),
    anyValue: fc.record({
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.record({ case: fc.constant('stringValue'), value: text }),
        fc.record({ case: fc.constant('boolValue'), value: fc.boolean() }),
        fc.record({ case: fc.constant('intValue'), value: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) }),
        fc.record({ case: fc.constant('doubleValue'), value: fc.double() }),
        fc.record({ case: fc.constant('bytesValue'), value: fc.uint8Array({ maxLength: 20 }) }),
        fc.record({ case: fc.constant('arrayValue'), value: fc.record({ values: fc.array(tie('anyValue'), small) }) }),
        fc.record({ case: fc.constant('kvlistValue'), value: fc.record({ values: fc.array(tie('keyValue'), small) }) }),
      ),
    }),
  }));
  const attributes = fc.array(keyValue, { maxLength: 5 });
  const id = { traceId: bytes(16), spanId: bytes(8) };
  const link = fc.record({ ...id, traceState: text, attributes, droppedAttributesCount: count, flags: count });
  const event = fc.record({ timeUnixNano: u64, name: text, attributes, droppedAttributesCount: count });
  const aSpan = fc.record({
    ...id,
    parentSpanId: fc.oneof(bytes(8), bytes(0)),
    traceState: text,
    name: text,
    kind: fc.nat(5),
    startTimeUnixNano: u64,
    endTimeUnixNano: u64,
    attributes,
    droppedAttributesCount: count,
    events: fc.array(event, small),
    droppedEventsCount: count,
    links: fc.array(link, small),
    droppedLinksCount: count,
    status: fc.record({ code: fc.nat(2), message: text }),
    flags: count,
  });
  const entityRef = fc.record({
    schemaUrl: text,
    type: text,
    idKeys: fc.array(text, small),
    descriptionKeys: fc.array(text, small),
  });
  const scope = fc.record({ name: text, version: text, attributes, droppedAttributesCount: count });
  const scopeSpans = fc.array(fc.record({ scope, spans: fc.array(aSpan, small), schemaUrl: text }), small);
  const resource = fc.record({
    attributes,
    droppedAttributesCount: count,
    entityRefs: fc.array(entityRef, { maxLength: 1 }),
  });
  const request = fc.record({ resourceSpans: fc.array(fc.record({ resource, scopeSpans, schemaUrl: text }), small) });
  const writing = fc.record({ indent: fc.nat(2), zeros: fc.boolean(), numbers: fc.boolean() });
  fc.assert(
    fc.property(request, writing, (init, { indent, zeros, numbers }) => {
      const message = create(Request, init as Record<string, unknown>);
      const json = toJson(Request, message, { alwaysEmitImplicit: zeros, enumAsInteger: numbers, registry });
      const hexIds = JSON.stringify(
        json,
        (key, value) => {
          // JSON.stringify would write -0 as 0.
          if (Object.is(value, -0)) return '-0';
          return /^(traceId|spanId|parentSpanId)$/.test(key) ? Buffer.from(value, 'base64').toString('hex') : value;
        },
        indent,
      );
      const got = fromBinary(Request, otlpJsonToProto(Buffer.from(hexIds)));
      assert.deepEqual(Buffer.from(toBinary(Request, got)), Buffer.from(toBinary(Request, message)));
    }),
    { numRuns: 300 },
  );
});

describe('accepted', () => {
  const cases: [string, string, unknown][] = [
    ['null as a string', '"name":null', {}],
    ['empty ids', '"traceId":"","spanId":""', {}],
    ['ids of either case', '"traceId":"ABCDEFabcdef00000000000000000001"', { traceId: 'q83vq83vAAAAAAAAAAAAAQ==' }],
    ['kind as number', '"kind":2', { kind: 'SPAN_KIND_SERVER' }],
    ['kind as name', '"kind":"SPAN_KIND_CLIENT"', { kind: 'SPAN_KIND_CLIENT' }],
    ['kind unknown', '"kind":99', { kind: 99 }],
    ['kind negative', '"kind":-1', { kind: -1 }],
    ['2^64-1 as number', '"startTimeUnixNano":18446744073709551615', { startTimeUnixNano: '18446744073709551615' }],
    ['2^64-1 as text', '"startTimeUnixNano":"18446744073709551615"', { startTimeUnixNano: '18446744073709551615' }],
    ['2^53+1', '"endTimeUnixNano":9007199254740993', { endTimeUnixNano: '9007199254740993' }],
    ['escapes', '"name":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00"', { name: '"\\/\b\f\n\r\té€😀' }],
    ['NUL', '"name":"a\\u0000b"', { name: 'a\0b' }],
    ['lone surrogates', '"name":"\\ud800 \\udc00 \\ud800\\ud83d\\ude00"', { name: '\ufffd \ufffd \ufffd😀' }],
    ['an escaped member name', '"na\\u006de":"x"', { name: 'x' }],
    [
      'unknown members',
      '"__proto__":{"a":[1,{"b":null}]},"constructor":"x","toString":-1.5e3,"name":"n"',
      { name: 'n' },
    ],
    ['legacy scopes', '"instrumentationLibrarySpans":[{"spans":[{}]}],"name":"n"', { name: 'n' }],
    ['null lists', '"attributes":null,"events":null,"links":null,"status":null', {}],
    ['null element', '"events":[null]', { events: [{}] }],
    ['a name twice', '"name":"a","name":"b"', { name: 'b' }],
    ['a name twice, the second empty', '"name":"a","name":""', {}],
    ['a count twice, the second zero', '"droppedLinksCount":3,"droppedLinksCount":0', {}],
    ['a list twice', '"events":[{"name":"a"}],"events":[{"name":"b"}]', { events: [{ name: 'a' }, { name: 'b' }] }],
    ['attribute called __proto__', '"attributes":[{"key":"__proto__"}]', { attributes: [{ key: '__proto__' }] }],
  ];
  for (const [title, members, expected] of cases)
    it(title, () => {
      const { status: _, ...got } = spanOf(read(span(members)));
      assert.deepEqual(got, expected);
    });

  const values: [string, unknown][] = [
    ['{"stringValue":null}', { stringValue: '' }],
    ['{"intValue":9223372036854775807}', { intValue: '9223372036854775807' }],
    ['{"intValue":"-9223372036854775808"}', { intValue: '-9223372036854775808' }],
    ['{"intValue":-1}', { intValue: '-1' }],
    ['{"intValue":"007"}', { intValue: '7' }],
    ['{"doubleValue":"NaN"}', { doubleValue: 'NaN' }],
    ['{"doubleValue":"-Infinity"}', { doubleValue: '-Infinity' }],
    ['{"doubleValue":"1.5e3"}', { doubleValue: 1500 }],
    ['{"doubleValue":-0.25E-2}', { doubleValue: -0.0025 }],
    ['{"bytesValue":"+\\/8="}', { bytesValue: '+/8=' }],
    ['{"bytesValue":""}', { bytesValue: '' }],
    ['{"stringValue":"a","intValue":1}', { intValue: '1' }],
    ['{"arrayValue":{"values":[null,{"boolValue":false}]}}', { arrayValue: { values: [{}, { boolValue: false }] } }],
    ['{"kvlistValue":{}}', { kvlistValue: {} }],
    ['{}', {}],
    ['null', {}],
  ];
  for (const [value, expected] of values)
    it(value, () => {
      assert.deepEqual(spanOf(read(attribute(value)))['attributes'], [{ key: 'k', value: expected }]);
    });

  for (const root of [
    '{}',
    'null',
    ' \r\n\t{ } ',
    '{"resourceSpans":null}',
    '{"resourceSpans":[]}',
    '{} trailing',
    '{}\0',
  ])
    it(`root ${JSON.stringify(root)}`, () => assert.deepEqual(read(root), {}));

  it('invalid UTF-8 in a string, byte for byte', () => {
    const [before, after] = span('"name":"|"').split('|');
    const bytes = Buffer.concat([Buffer.from(before), Buffer.of(0xff, 0xc3, 0x28), Buffer.from(after)]);
    assert.ok(Buffer.from(otlpJsonToProto(bytes)).includes(Buffer.of((5 << 3) | 2, 3, 0xff, 0xc3, 0x28)));
  });

  it('values nested to the bound, skipped members to theirs', () => {
    otlpJsonToProto(Buffer.from(attribute(nested(VALUE_DEPTH_MAX))));
    otlpJsonToProto(Buffer.from(span(`"x":${'['.repeat(10_000)}${']'.repeat(10_000)}`)));
    otlpJsonToProto(Buffer.from(span(`"x":${'{"a":'.repeat(9_999)}[]${'}'.repeat(9_999)}`)));
  });

  it('a long value deep inside costs linear time', () => {
    const text = 'x'.repeat(10 << 20);
    const out = otlpJsonToProto(Buffer.from(attribute(nested(VALUE_DEPTH_MAX, `{"stringValue":"${text}"}`))));
    assert.ok(out.length > text.length && out.length < text.length + 10_000);
  });
});

/** AnyValue within AnyValue, `depth` of them, the innermost being `inner`. */
function nested(depth: number, inner = '{"intValue":1}'): string {
  return `${'{"arrayValue":{"values":['.repeat(depth - 1)}${inner}${']}}'.repeat(depth - 1)}`;
}

describe('refused', () => {
  const roots = [
    '',
    ' ',
    '[]',
    '1',
    '"x"',
    'true',
    'nul',
    '\ufeff{}',
    '{',
    '{]',
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{,}',
    'text',
    "{'a':1}",
  ];
  const members = [
    '"traceId":null',
    '"traceId":1',
    '"traceId":"AQIDBAUGBwgJCgsMDQ4PoQ=="',
    '"traceId":"0102030405060708090a0b0c0d0e0fa"',
    '"traceId":"0102030405060708090a0b0c0d0e0fa1a1"',
    '"traceId":"0102030405060708090a0b0c0d0e0fgg"',
    '"spanId":"11121314"',
    '"parentSpanId":"11121314"',
    '"links":[{"traceId":"0102030405060708"}]',
    '"kind":"CLIENT"',
    '"kind":"SPAN_KIND_NONE"',
    '"kind":"3"',
    '"kind":1.0',
    '"kind":true',
    '"kind":null',
    '"kind":2147483648',
    '"kind":-2147483649',
    '"kind":4294967295',
    '"status":{"code":"ERROR"}',
    '"status":{"code":"constructor"}',
    '"status":[]',
    '"status":1',
    '"startTimeUnixNano":"1.7e18"',
    '"startTimeUnixNano":1.7e18',
    '"startTimeUnixNano":"-1"',
    '"startTimeUnixNano":-1',
    '"startTimeUnixNano":""',
    '"startTimeUnixNano":" 1"',
    '"startTimeUnixNano":null',
    '"startTimeUnixNano":true',
    '"startTimeUnixNano":01',
    '"startTimeUnixNano":99999999999999999999',
    '"startTimeUnixNano":18446744073709551616',
    '"startTimeUnixNano":"100000000000000000000000"',
    '"flags":-1',
    '"flags":4294967296',
    '"droppedLinksCount":1e2',
    '"droppedLinksCount":-0',
    '"name":1',
    '"name":"a\nb"',
    '"name":"\\x"',
    '"name":"\\u12"',
    '"name":"\\u12g4"',
    '"name":"open',
    '"attributes":{}',
    '"attributes":"x"',
    '"attributes":[1]',
    '"attributes":[{}',
    '"events":[[]]',
    '"x":[1,2',
    '"x":tru',
    '"x":01',
    '"x":-',
    '"x":1.',
    '"x":1e',
    '"x":.5',
    '"x":"\n"',
    '"x":{"a" 1}',
    '"x":[1 2]',
    `"x":${'['.repeat(12_000)}${']'.repeat(12_000)}`,
    `"x":${'['.repeat(1_000_000)}`,
  ];
  const values = [
    '[]',
    '"x"',
    '{"boolValue":"true"}',
    '{"boolValue":1}',
    '{"boolValue":null}',
    '{"intValue":9223372036854775808}',
    '{"intValue":-9223372036854775809}',
    '{"intValue":1.5}',
    '{"intValue":"-"}',
    '{"intValue":null}',
    '{"doubleValue":"x"}',
    '{"doubleValue":""}',
    '{"doubleValue":"nan"}',
    '{"doubleValue":"0x10"}',
    '{"doubleValue":1e999}',
    '{"doubleValue":null}',
    '{"bytesValue":"-_8="}',
    '{"bytesValue":"+/8"}',
    '{"bytesValue":"===="}',
    '{"bytesValue":"a==="}',
    '{"bytesValue":1}',
    '{"arrayValue":[]}',
    '{"arrayValue":{"values":{}}}',
    nested(VALUE_DEPTH_MAX + 1),
    nested(100_000),
  ];
  const all = [...roots, ...members.map(span), ...values.map(attribute)];
  for (const json of all)
    it(json.slice(0, 120), () => {
      assert.throws(
        () => otlpJsonToProto(Buffer.from(json)),
        (error) => error instanceof VivaceError && error.code === 'undecodable',
      );
    });

  it('every beginning of a request', () => {
    for (let length = 0; length < GOLDEN_JSON.length; length++)
      assert.throws(() => otlpJsonToProto(Buffer.from(GOLDEN_JSON.slice(0, length))), { code: 'undecodable' });
  });

  it('damaged bytes, or reads them; never anything else', () => {
    fc.assert(
      fc.property(fc.nat(GOLDEN_JSON.length - 1), fc.nat(127), (at, byte) => {
        const bytes = Buffer.from(GOLDEN_JSON);
        bytes[at] = byte;
        try {
          fromBinary(Request, otlpJsonToProto(bytes));
        } catch (error) {
          assert.ok(error instanceof VivaceError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
