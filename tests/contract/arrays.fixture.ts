/** Spans whose attributes are arrays of every kind, in two traces; of these is tests/golden/block-1, which version 1 wrote. */
import { type Attribute, type Request, requestOf, type Value } from '../../src/cut/otlp.fixture.ts';

const START = 1_700_000_000_000_000_000n;

export const ARRAY_TRACES = ['0af7651916cd43dd8448eb211c80319c', 'ffffffffffffffffffffffffffffffff'];

const ARRAYS: Attribute[][] = [
  [tags('a', 'b'), ports(80n, 443n), { key: 'mixed', value: array(string('a'), int(1n)) }],
  [tags(), ports(-1n), { key: 'flags', value: array({ type: 'bool', value: true }, { type: 'bool', value: false }) }],
  [tags('größer'), { key: 'nested', value: array(array(string('a'))) }],
  [
    { key: 'tags', value: string('one') },
    { key: 'ratios', value: array(double(0x3ff8n << 48n), double(1n << 63n)) },
  ],
  [
    tags('b', '', 'b'),
    { key: 'tags', value: array(int(7n)) },
    { key: 'holes', value: array(string('x'), { type: 'empty' }) },
  ],
  [{ key: 'mixed', value: array(int(5n), int(6n)) }],
];

export const ARRAY_REQUEST: Request = requestOf(
  ...ARRAY_TRACES.flatMap((traceId) =>
    ARRAYS.map((attributes, i) => ({
      traceId,
      spanId: (i + 1).toString(16).padStart(16, '0'),
      name: `span ${i}`,
      start: START + BigInt(i),
      end: START + BigInt(i + 10),
      attributes,
    })),
  ),
);
ARRAY_REQUEST[0].resource.attributes = [
  { key: 'service.name', value: string('shop') },
  { key: 'process.command_args', value: array(string('node'), string('shop.js')) },
];

export function array(...values: Value[]): Value {
  return { type: 'array', values };
}

export function string(value: string): Value {
  return { type: 'string', value };
}

export function int(value: bigint): Value {
  return { type: 'int', value };
}

export function double(bits: bigint): Value {
  return { type: 'double', bits };
}

function tags(...values: string[]): Attribute {
  return { key: 'tags', value: array(...values.map(string)) };
}

function ports(...values: bigint[]): Attribute {
  return { key: 'ports', value: array(...values.map(int)) };
}
