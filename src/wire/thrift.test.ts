import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import { VivaceError } from '../runtime/errors.ts';
import {
  bool,
  byte,
  double,
  i16,
  i32,
  i64,
  type Protocol,
  string,
  struct,
  type ThriftField,
  type ThriftValue,
  thriftBytes,
  thriftMessage,
} from './thrift.fixture.ts';
import {
  THRIFT_BOOL,
  THRIFT_BYTE,
  THRIFT_DOUBLE,
  THRIFT_I16,
  THRIFT_I32,
  THRIFT_I64,
  THRIFT_LIST,
  THRIFT_MAP,
  THRIFT_SET,
  THRIFT_STRING,
  THRIFT_STRUCT,
  ThriftBinary,
  ThriftCompact,
  type ThriftReader,
} from './thrift.ts';

const PROTOCOLS: Protocol[] = ['binary', 'compact'];
const readerOf = (protocol: Protocol, bytes: Uint8Array): ThriftReader =>
  protocol === 'binary' ? new ThriftBinary(bytes) : new ThriftCompact(bytes);

const scalar: fc.Arbitrary<ThriftValue> = fc.oneof(
  fc.boolean().map(bool),
  fc.integer({ min: -128, max: 127 }).map(byte),
  fc.integer({ min: -32768, max: 32767 }).map(i16),
  fc.integer().map(i32),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(i64),
  fc.double({ noNaN: true }).map(double),
  fc.uint8Array({ maxLength: 300 }).map(string),
);

/** A struct with everything in it that Thrift has. */
const anyStruct: fc.Arbitrary<ThriftValue> = fc.letrec<{ value: ThriftValue; struct: ThriftValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    tie('struct'),
    fc
      .array(fc.integer().map(i32), { maxLength: 20 })
      .map((value) => ({ type: THRIFT_LIST as typeof THRIFT_LIST, of: THRIFT_I32, value })),
    fc
      .array(tie('struct'), { maxLength: 4 })
      .map((value) => ({ type: THRIFT_SET as typeof THRIFT_SET, of: THRIFT_STRUCT, value })),
    fc
      .array(fc.boolean().map(bool), { maxLength: 4 })
      .map((value) => ({ type: THRIFT_LIST as typeof THRIFT_LIST, of: THRIFT_BOOL, value })),
    fc.array(fc.tuple(fc.string({ maxLength: 5 }).map(string), tie('value')), { maxLength: 1 }).map((value) => ({
      type: THRIFT_MAP as typeof THRIFT_MAP,
      keys: THRIFT_STRING,
      values: value[0]?.[1].type ?? THRIFT_I32,
      value,
    })),
  ),
  struct: fc
    .array(fc.tuple(fc.integer({ min: -10, max: 400 }), tie('value')), { maxLength: 5 })
    .map((fields) => struct(...(fields as ThriftField[]))),
})).struct;

for (const protocol of PROTOCOLS)
  describe(protocol, () => {
    it('reads what was written', () => {
      fc.assert(
        fc.property(fc.array(fc.tuple(fc.integer({ min: -9, max: 999 }), scalar), { maxLength: 20 }), (fields) => {
          const reader = readerOf(protocol, thriftBytes(protocol, struct(...fields)));
          const read: ThriftField[] = [];
          reader.enter();
          while (reader.field()) read.push([reader.fieldId, readScalar(reader)]);
          assert.deepEqual(read, fields);
          assert.equal(reader.pos, reader.bytes.length);
        }),
      );
    });

    it('steps over whatever there is', () => {
      fc.assert(
        fc.property(anyStruct, (value) => {
          const bytes = thriftBytes(protocol, value);
          const reader = readerOf(protocol, Buffer.concat([bytes, Buffer.of(1, 2, 3)]));
          reader.skip(THRIFT_STRUCT);
          assert.equal(reader.pos, bytes.length);
        }),
      );
    });

    it('refuses what is cut short, wherever that is', () => {
      fc.assert(
        fc.property(anyStruct, fc.nat(), (value, cut) => {
          const bytes = thriftBytes(protocol, value);
          const reader = readerOf(protocol, bytes.subarray(0, cut % bytes.length));
          assert.throws(() => reader.skip(THRIFT_STRUCT), isUndecodable);
        }),
      );
    });

    it('any bytes are a value or an error', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 17 }), (bytes, type) => {
          const reader = readerOf(protocol, bytes);
          try {
            reader.skip(type);
          } catch (error) {
            if (!isUndecodable(error)) throw error;
          }
          assert.ok(reader.pos <= bytes.length);
        }),
        { numRuns: 5000 },
      );
    });

    it('reads the name of a message', () => {
      for (const strict of [true, false]) {
        const reader = readerOf(protocol, thriftMessage(protocol, 'emitBatch', struct(), strict));
        reader.message();
        assert.equal(Buffer.from(reader.bytes.subarray(reader.start, reader.end)).toString(), 'emitBatch');
        assert.equal(reader.pos, reader.bytes.length - 1);
      }
    });
  });

describe('hostile', () => {
  const cases: [string, Protocol, string, type: number][] = [
    ['list of -1', 'binary', '0cffffffff', THRIFT_LIST],
    ['list of 2^31-1', 'binary', '0c7fffffff', THRIFT_LIST],
    ['list of 50 million of nothing', 'binary', '0c02faf080', THRIFT_LIST],
    ['list of 50 million numbers', 'binary', '0a02faf080', THRIFT_LIST],
    ['map of 2^31-1', 'binary', '0b0b7fffffff', THRIFT_MAP],
    ['text of -1', 'binary', 'ffffffff', THRIFT_STRING],
    ['text of 2^31-1', 'binary', '7fffffff', THRIFT_STRING],
    ['unknown type', 'binary', '630001', THRIFT_STRUCT],
    ['list of 2^32-1', 'compact', 'fcffffffff0f', THRIFT_LIST],
    ['map of 2^32-1', 'compact', 'ffffffff0f88', THRIFT_MAP],
    ['text of 2^32-1', 'compact', 'ffffffff0f', THRIFT_STRING],
    ['endless varint', 'compact', '80'.repeat(100), THRIFT_I64],
    ['unknown type', 'compact', '1f', THRIFT_STRUCT],
  ];
  for (const [title, protocol, hex, type] of cases)
    it(`${protocol}: ${title}`, () => {
      assert.throws(() => readerOf(protocol, Buffer.from(hex, 'hex')).skip(type), isUndecodable);
    });

  for (const protocol of PROTOCOLS)
    it(`${protocol}: nesting is bounded`, () => {
      const nested = (depth: number): ThriftValue => {
        let value = struct();
        for (let i = 1; i < depth; i++) value = struct([1, value]);
        return value;
      };
      readerOf(protocol, thriftBytes(protocol, nested(60))).skip(THRIFT_STRUCT);
      assert.throws(() => readerOf(protocol, thriftBytes(protocol, nested(100))).skip(THRIFT_STRUCT), isUndecodable);
    });
});

function readScalar(reader: ThriftReader): ThriftValue {
  switch (reader.fieldType) {
    case THRIFT_BOOL:
      return bool(reader.bool());
    case THRIFT_BYTE:
      return byte((reader.bytes[reader.pos++] << 24) >> 24);
    case THRIFT_I16:
      return i16(reader.i16());
    case THRIFT_I32:
      return i32(reader.i32());
    case THRIFT_I64:
      reader.i64();
      return i64(BigInt.asIntN(64, (BigInt(reader.high) << 32n) | BigInt(reader.low)));
    case THRIFT_DOUBLE:
      reader.double();
      return double(new Float64Array(BigUint64Array.of((BigInt(reader.high) << 32n) | BigInt(reader.low)).buffer)[0]);
    default:
      reader.text();
      return string(reader.bytes.subarray(reader.start, reader.end));
  }
}

function isUndecodable(error: unknown): boolean {
  return error instanceof VivaceError && error.code === 'undecodable';
}
