import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  create,
  createFileRegistry,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import fc from '../../tests/property.ts';
import { VivaceError } from '../runtime/errors.ts';
import { otlpToJson } from './otlp-to-json.ts';
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_FIXED32, WIRE_VARINT } from './protobuf.ts';

// OTLP as a protobuf library sees it: number, name, type; * repeated, | part of the oneof.
const SCHEMA = `
TracesData: 1 resourceSpans *ResourceSpans
ResourceSpans: 1 resource Resource, 2 scopeSpans *ScopeSpans, 3 schemaUrl string
Resource: 1 attributes *KeyValue, 2 droppedAttributesCount uint32
ScopeSpans: 1 scope Scope, 2 spans *Span, 3 schemaUrl string
Scope: 1 name string, 2 version string, 3 attributes *KeyValue, 4 droppedAttributesCount uint32
Span: 1 traceId bytes, 2 spanId bytes, 3 traceState string, 4 parentSpanId bytes, 5 name string, 6 kind SpanKind, 7 startTimeUnixNano fixed64, 8 endTimeUnixNano fixed64, 9 attributes *KeyValue, 10 droppedAttributesCount uint32, 11 events *Event, 12 droppedEventsCount uint32, 13 links *Link, 14 droppedLinksCount uint32, 15 status Status, 16 flags fixed32
Event: 1 timeUnixNano fixed64, 2 name string, 3 attributes *KeyValue, 4 droppedAttributesCount uint32
Link: 1 traceId bytes, 2 spanId bytes, 3 traceState string, 4 attributes *KeyValue, 5 droppedAttributesCount uint32, 6 flags fixed32
Status: 2 message string, 3 code StatusCode
KeyValue: 1 key string, 2 value AnyValue
AnyValue: 1 stringValue |string, 2 boolValue |bool, 3 intValue |int64, 4 doubleValue |double, 5 arrayValue |ArrayValue, 6 kvlistValue |KeyValueList, 7 bytesValue |bytes
ArrayValue: 1 values *AnyValue
KeyValueList: 1 values *KeyValue
`;
const ENUMS = {
  SpanKind: ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'].map((name) => `SPAN_KIND_${name}`),
  StatusCode: ['UNSET', 'OK', 'ERROR'].map((name) => `STATUS_CODE_${name}`),
};
const messages = descriptors();
const TRACES = messages('TracesData');

// ------------------------------------------------------------------------------------------------------------ properties

const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 12 }), fc.constantFrom('', '<a&b>', '"\\\n\u2028\u007f'));
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map(base64);
const uint32 = fc.nat({ max: 0xffffffff });
const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const double = fc.double().map((value) => (Number.isFinite(value) ? value : String(value)));
const { value: anyValue } = fc.letrec<{ value: JsonValue; pairs: JsonValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ stringValue: text }),
    fc.record({ boolValue: fc.boolean() }),
    fc.record({
      intValue: fc.oneof(int64, fc.constantFrom(-(2n ** 63n), -(2n ** 32n), -(2n ** 40n), -1n, 0n)).map(String),
    }),
    fc.record({ doubleValue: double }),
    fc.record({ bytesValue: fc.uint8Array({ maxLength: 9 }).map(base64) }),
    fc.constant({}),
    fc.record({ arrayValue: fc.record({ values: fc.array(tie('value'), { maxLength: 3 }) }) }),
    fc.record({ kvlistValue: fc.record({ values: tie('pairs') }) }),
  ),
  pairs: fc.array(fc.record({ key: text, value: tie('value') }), { maxLength: 3 }),
}));
const attributes = fc.array(fc.record({ key: text, value: anyValue }), { maxLength: 4 });
const some = { requiredKeys: [] as [] };
const event = fc.record({ timeUnixNano: uint64, name: text, attributes, droppedAttributesCount: uint32 }, some);
const link = fc.record({ traceId: bytes(16), spanId: bytes(8), traceState: text, attributes, flags: uint32 }, some);
const span = fc.record(
  {
    traceId: bytes(16),
    spanId: bytes(8),
    traceState: text,
    parentSpanId: fc.oneof(bytes(0), bytes(8)),
    name: text,
    kind: fc.constantFrom(...ENUMS.SpanKind, 77, -1),
    startTimeUnixNano: uint64,
    endTimeUnixNano: uint64,
    attributes,
    droppedAttributesCount: uint32,
    events: fc.array(event, { maxLength: 2 }),
    droppedEventsCount: uint32,
    links: fc.array(link, { maxLength: 2 }),
    droppedLinksCount: uint32,
    status: fc.record({ message: text, code: fc.constantFrom(...ENUMS.StatusCode) }, some),
    flags: uint32,
  },
  some,
);
const scope = fc.record({ name: text, version: text, attributes, droppedAttributesCount: uint32 }, some);
const scopeSpans = fc.record({ scope, spans: fc.array(span, { maxLength: 3 }), schemaUrl: text }, some);
const resource = fc.record({ attributes, droppedAttributesCount: uint32 }, some);
const traces = fc.record({
  resourceSpans: fc.array(
    fc.record({ resource, scopeSpans: fc.array(scopeSpans, { maxLength: 2 }), schemaUrl: text }, some),
    { maxLength: 2 },
  ),
});

test('any trace reads as a protobuf library would write it', () => {
  fc.assert(
    fc.property(traces, (json) => {
      const message = fromJson(TRACES, json as JsonObject);
      assert.deepEqual(parsed(toBinary(TRACES, message)), withEmptyMessages(toJson(TRACES, message), 'TracesData'));
    }),
    { numRuns: 500 },
  );
});

test('any bytes as a text read as a browser would read them', () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 6 }),
    text.map((t) => new Uint8Array(Buffer.from(t))),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const name = Buffer.concat(pieces);
      const shown = (spanOf(parsed(traceOf((out) => out.bytesField(tagOf(5, WIRE_BYTES), name)))) as { name?: string })
        .name;
      assert.equal(shown ?? '', new TextDecoder('utf-8', { ignoreBOM: true }).decode(name));
    }),
    { numRuns: 2000 },
  );
});

test('the texts of two traces one after the other have the batches of both', () => {
  fc.assert(
    fc.property(traces, traces, (a, b) => {
      const [one, two] = [a, b].map((json) => toBinary(TRACES, fromJson(TRACES, json as JsonObject)));
      const batches = (bytes: Uint8Array) => (parsed(bytes) as { resourceSpans?: unknown[] }).resourceSpans ?? [];
      assert.deepEqual(batches(Buffer.concat([one, two])), [...batches(one), ...batches(two)]);
    }),
  );
});

test('cut or garbled bytes are refused or read, never anything else', () => {
  fc.assert(
    fc.property(traces, fc.nat(), fc.nat(), fc.nat({ max: 255 }), (json, cut, at, byte) => {
      const whole = toBinary(TRACES, fromJson(TRACES, json as JsonObject));
      if (whole.length === 0) return;
      whole[at % whole.length] = byte;
      try {
        parsed(whole.subarray(0, cut % (whole.length + 1)));
      } catch (error) {
        assert.ok(error instanceof VivaceError && error.code === 'undecodable', String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

// ----------------------------------------------------------------------------------------------------------------- cases

test('repeated fields that are scattered become one array each, in order', () => {
  const event = (name: string) => (out: ProtoWriter) =>
    nested(out, 11, (e) => e.stringField(tagOf(2, WIRE_BYTES), name));
  const attribute = (key: string) => (out: ProtoWriter) =>
    nested(out, 9, (a) => a.stringField(tagOf(1, WIRE_BYTES), key));
  const named = (out: ProtoWriter) => out.stringField(tagOf(5, WIRE_BYTES), 'n');
  const shown = spanOf(parsed(traceOf(event('1'), attribute('a'), named, event('2'), attribute('b'), event('3'))));
  assert.deepEqual(shown, {
    events: [{ name: '1' }, { name: '2' }, { name: '3' }],
    attributes: [
      { key: 'a', value: {} },
      { key: 'b', value: {} },
    ],
    name: 'n',
    status: {},
  });
});

test('unknown fields of every wire type are skipped', () => {
  const shown = spanOf(
    parsed(
      traceOf((out) => {
        out.varintField(tagOf(99, WIRE_VARINT), 7);
        out.stringField(tagOf(100, WIRE_BYTES), 'x');
        out.varint(tagOf(101, WIRE_FIXED32));
        out.fixed32(1);
        out.varint(tagOf(102, 1));
        out.double(1);
      }),
    ),
  );
  assert.deepEqual(shown, { status: {} });
});

test('of several fields of one value the last holds', () => {
  const shown = spanOf(
    parsed(
      traceOf((out) =>
        nested(out, 9, (pair) =>
          nested(pair, 2, (value) => {
            value.stringField(tagOf(1, WIRE_BYTES), 'first');
            value.varintField(tagOf(2, WIRE_VARINT), 0);
          }),
        ),
      ),
    ),
  );
  assert.deepEqual(shown, { attributes: [{ value: { boolValue: false } }], status: {} });
});

test('a value nested a hundred thousand deep neither fails nor is followed', () => {
  // From the inside out, so that every level is written once.
  let inner = Buffer.from([0x12, 0]);
  const parts: Buffer[] = [];
  let length = inner.length;
  for (let i = 0; i < 100_000; i++) {
    for (const field of [1, 5]) {
      const head = new ProtoWriter(16);
      head.varint(tagOf(field, WIRE_BYTES));
      head.varint(length);
      parts.push(Buffer.from(head.finish()));
      length += head.length;
    }
  }
  inner = Buffer.concat([...parts.reverse(), inner]);
  const json = jsonText(traceOf((out) => nested(out, 9, (pair) => pair.bytesField(tagOf(2, WIRE_BYTES), inner))));
  assert.match(json, /not shown: nested too deep/);
  JSON.parse(json);
});

test('nothing is an empty object, and what surrounds it stays', () => {
  assert.equal(jsonText(new Uint8Array()), '{}');
  const around = otlpToJson(new Uint8Array(), 'batches', { before: '{"trace":', after: ',"metrics":{}}' });
  assert.equal(Buffer.from(around).toString(), '{"trace":{},"metrics":{}}');
});

test('version 1 calls the list batches', () => {
  assert.match(Buffer.from(otlpToJson(traceOf(), 'batches')).toString(), /^\{"batches":\[\{"scopeSpans":/);
});

// --------------------------------------------------------------------------------------------------------------- helpers

function jsonText(bytes: Uint8Array): string {
  // Fatal: the text must be valid UTF-8 whatever came in.
  return new TextDecoder('utf-8', { fatal: true }).decode(otlpToJson(bytes, 'resourceSpans'));
}

function parsed(bytes: Uint8Array): JsonValue {
  return JSON.parse(jsonText(bytes)) as JsonValue;
}

function base64(value: Uint8Array): string {
  return Buffer.from(value).toString('base64');
}

function nested(out: ProtoWriter, field: number, content: (out: ProtoWriter) => unknown): void {
  const inner = new ProtoWriter(64);
  content(inner);
  out.bytesField(tagOf(field, WIRE_BYTES), inner.finish());
}

/** A trace of one span whose bytes are written by `parts`. */
function traceOf(...parts: ((out: ProtoWriter) => unknown)[]): Uint8Array {
  const out = new ProtoWriter(64);
  nested(out, 1, (batch) => nested(batch, 2, (group) => nested(group, 2, (s) => parts.map((part) => part(s)))));
  return out.finish();
}

function spanOf(json: JsonValue): unknown {
  const { resourceSpans } = json as { resourceSpans: [{ scopeSpans: [{ spans: unknown[] }] }] };
  return resourceSpans[0].scopeSpans[0].spans[0];
}

const ALWAYS: Record<string, string[]> = {
  ResourceSpans: ['resource'],
  ScopeSpans: ['scope'],
  Span: ['status'],
  KeyValue: ['value'],
};

/** The messages that Tempo writes though they are empty. */
function withEmptyMessages(json: JsonValue, type: string): JsonValue {
  const object = json as JsonObject;
  for (const name of ALWAYS[type] ?? []) object[name] ??= {};
  for (const { name, type: inner } of fieldsOf(type)) {
    const value = object[name];
    if (Array.isArray(value)) for (const element of value) withEmptyMessages(element, inner);
    else if (typeof value === 'object' && value !== null) withEmptyMessages(value, inner);
  }
  return json;
}

function fieldsOf(message: string) {
  const line = SCHEMA.split('\n').find((l) => l.startsWith(`${message}:`))!;
  return line
    .slice(message.length + 1)
    .split(',')
    .map((field) => {
      const [number, name, kind] = field.trim().split(' ');
      return {
        number: Number(number),
        name,
        type: kind.replace(/^[*|]/, ''),
        repeated: kind[0] === '*',
        oneof: kind[0] === '|',
      };
    });
}

function descriptors(): (name: string) => DescMessage {
  const scalar: Record<string, FieldDescriptorProto_Type> = {
    string: FieldDescriptorProto_Type.STRING,
    bytes: FieldDescriptorProto_Type.BYTES,
    bool: FieldDescriptorProto_Type.BOOL,
    uint32: FieldDescriptorProto_Type.UINT32,
    int64: FieldDescriptorProto_Type.INT64,
    double: FieldDescriptorProto_Type.DOUBLE,
    fixed32: FieldDescriptorProto_Type.FIXED32,
    fixed64: FieldDescriptorProto_Type.FIXED64,
  };
  const messageType = SCHEMA.trim()
    .split('\n')
    .map((line) => line.slice(0, line.indexOf(':')))
    .map((name) => ({
      name,
      oneofDecl: name === 'AnyValue' ? [{ name: 'value' }] : [],
      field: fieldsOf(name).map(({ number, name: field, type, repeated, oneof }) => ({
        name: field,
        jsonName: field,
        number,
        label: repeated ? FieldDescriptorProto_Label.REPEATED : FieldDescriptorProto_Label.OPTIONAL,
        type: scalar[type] ?? (type in ENUMS ? FieldDescriptorProto_Type.ENUM : FieldDescriptorProto_Type.MESSAGE),
        typeName: type in scalar ? '' : `.t.${type}`,
        ...(oneof && { oneofIndex: 0 }),
      })),
    }));
  const enumType = Object.entries(ENUMS).map(([name, values]) => ({
    name,
    value: values.map((value, number) => ({ name: value, number })),
  }));
  const file = create(FileDescriptorProtoSchema, {
    name: 't.proto',
    package: 't',
    syntax: 'proto3',
    messageType,
    enumType,
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  return (name) => registry.getMessage(`t.${name}`)!;
}
