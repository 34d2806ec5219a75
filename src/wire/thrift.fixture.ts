/** Thrift values as plain data, written in either protocol: slow and obvious, unlike the reader that it tests. */
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
} from './thrift.ts';

export type ThriftValue =
  | { type: typeof THRIFT_BOOL; value: boolean }
  | { type: typeof THRIFT_BYTE | typeof THRIFT_I16 | typeof THRIFT_I32 | typeof THRIFT_DOUBLE; value: number }
  | { type: typeof THRIFT_I64; value: bigint }
  | { type: typeof THRIFT_STRING; value: Uint8Array }
  | { type: typeof THRIFT_STRUCT; value: ThriftField[] }
  | { type: typeof THRIFT_LIST | typeof THRIFT_SET; of: number; value: ThriftValue[] }
  | { type: typeof THRIFT_MAP; keys: number; values: number; value: [ThriftValue, ThriftValue][] };

/** A field's number and value. */
export type ThriftField = [id: number, value: ThriftValue];
export type Protocol = 'binary' | 'compact';

export const bool = (value: boolean): ThriftValue => ({ type: THRIFT_BOOL, value });
export const byte = (value: number): ThriftValue => ({ type: THRIFT_BYTE, value });
export const i16 = (value: number): ThriftValue => ({ type: THRIFT_I16, value });
export const i32 = (value: number): ThriftValue => ({ type: THRIFT_I32, value });
export const i64 = (value: bigint): ThriftValue => ({ type: THRIFT_I64, value });
export const double = (value: number): ThriftValue => ({ type: THRIFT_DOUBLE, value });
export const string = (value: string | Uint8Array): ThriftValue => ({ type: THRIFT_STRING, value: Buffer.from(value) });
export const struct = (...value: ThriftField[]): ThriftValue => ({ type: THRIFT_STRUCT, value });
export const list = (of: number, value: ThriftValue[]): ThriftValue => ({ type: THRIFT_LIST, of, value });

/** A message of the agent: `name` with its arguments. */
export function thriftMessage(protocol: Protocol, name: string, args: ThriftValue, strict = true): Buffer {
  const head =
    protocol === 'compact'
      ? [Buffer.of(0x82, (4 << 5) | 1), varint(0n), varint(BigInt(name.length)), Buffer.from(name)]
      : strict
        ? [Buffer.of(0x80, 1, 0, 4), int(4, name.length), Buffer.from(name), int(4, 0)]
        : [int(4, name.length), Buffer.from(name), Buffer.of(4), int(4, 0)];
  return Buffer.concat([...head, thriftBytes(protocol, args)]);
}

export function thriftBytes(protocol: Protocol, value: ThriftValue): Buffer {
  return protocol === 'binary' ? binary(value) : compact(value);
}

function binary(of: ThriftValue): Buffer {
  switch (of.type) {
    case THRIFT_BOOL:
      return Buffer.of(of.value ? 1 : 0);
    case THRIFT_BYTE:
      return int(1, of.value);
    case THRIFT_I16:
      return int(2, of.value);
    case THRIFT_I32:
      return int(4, of.value);
    case THRIFT_I64: {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64BE(BigInt.asIntN(64, of.value));
      return bytes;
    }
    case THRIFT_DOUBLE: {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleBE(of.value);
      return bytes;
    }
    case THRIFT_STRING:
      return Buffer.concat([int(4, of.value.length), of.value]);
    case THRIFT_STRUCT:
      return Buffer.concat([
        ...of.value.flatMap(([id, field]) => [Buffer.of(field.type), int(2, id), binary(field)]),
        Buffer.of(0),
      ]);
    case THRIFT_MAP:
      return Buffer.concat([
        Buffer.of(of.keys, of.values),
        int(4, of.value.length),
        ...of.value.flatMap((pair) => pair.map(binary)),
      ]);
    default:
      return Buffer.concat([Buffer.of(of.of), int(4, of.value.length), ...of.value.map(binary)]);
  }
}

const COMPACT_TYPES: Record<number, number> = {
  [THRIFT_BOOL]: 1,
  [THRIFT_BYTE]: 3,
  [THRIFT_I16]: 4,
  [THRIFT_I32]: 5,
  [THRIFT_I64]: 6,
  [THRIFT_DOUBLE]: 7,
  [THRIFT_STRING]: 8,
  [THRIFT_LIST]: 9,
  [THRIFT_SET]: 10,
  [THRIFT_MAP]: 11,
  [THRIFT_STRUCT]: 12,
};

function compact(of: ThriftValue): Buffer {
  switch (of.type) {
    case THRIFT_BOOL:
      return Buffer.of(of.value ? 1 : 2);
    case THRIFT_BYTE:
      return int(1, of.value);
    case THRIFT_I16:
    case THRIFT_I32:
      return zigzag(BigInt(of.value));
    case THRIFT_I64:
      return zigzag(BigInt.asIntN(64, of.value));
    case THRIFT_DOUBLE: {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(of.value);
      return bytes;
    }
    case THRIFT_STRING:
      return Buffer.concat([varint(BigInt(of.value.length)), of.value]);
    case THRIFT_STRUCT: {
      let last = 0;
      const fields = of.value.map(([id, field]) => {
        const delta = id - last;
        last = id;
        const type = field.type === THRIFT_BOOL && !field.value ? 2 : COMPACT_TYPES[field.type];
        const head =
          delta > 0 && delta < 16
            ? Buffer.of((delta << 4) | type)
            : Buffer.concat([Buffer.of(type), zigzag(BigInt(id))]);
        return field.type === THRIFT_BOOL ? head : Buffer.concat([head, compact(field)]);
      });
      return Buffer.concat([...fields, Buffer.of(0)]);
    }
    case THRIFT_MAP:
      if (of.value.length === 0) return Buffer.of(0);
      return Buffer.concat([
        varint(BigInt(of.value.length)),
        Buffer.of((COMPACT_TYPES[of.keys] << 4) | COMPACT_TYPES[of.values]),
        ...of.value.flatMap((pair) => pair.map(compact)),
      ]);
    default: {
      const size = of.value.length;
      const type = COMPACT_TYPES[of.of];
      const head =
        size < 15 ? Buffer.of((size << 4) | type) : Buffer.concat([Buffer.of(0xf0 | type), varint(BigInt(size))]);
      return Buffer.concat([head, ...of.value.map(compact)]);
    }
  }
}

function int(size: 1 | 2 | 4, value: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeIntBE(value, 0, size);
  return bytes;
}

function zigzag(value: bigint): Buffer {
  return varint(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)));
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  for (; value > 127n; value >>= 7n) bytes.push(Number(value & 127n) | 128);
  bytes.push(Number(value));
  return Buffer.from(bytes);
}
