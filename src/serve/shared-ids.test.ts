import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ProtoReader, ProtoWriter, tagOf, WIRE_BYTES, WIRE_VARINT } from '../wire/protobuf.ts';
import { splitSharedIds } from './shared-ids.ts';

type Span = [id: number, parent: number, kind: number, name: string];

function encode(...spans: Span[]): Uint8Array {
  const out = new ProtoWriter();
  for (const [id, parent, kind, name] of spans) {
    const resourceSpans = out.begin(tagOf(1, WIRE_BYTES));
    out.stringField(tagOf(1, WIRE_BYTES), 'resource');
    const scopeSpans = out.begin(tagOf(2, WIRE_BYTES));
    const span = out.begin(tagOf(2, WIRE_BYTES));
    out.bytesField(tagOf(2, WIRE_BYTES), bytes(id));
    if (parent !== 0) out.bytesField(tagOf(4, WIRE_BYTES), bytes(parent));
    out.stringField(tagOf(5, WIRE_BYTES), name);
    out.varintField(tagOf(6, WIRE_VARINT), kind);
    out.end(span);
    out.end(scopeSpans);
    out.end(resourceSpans);
  }
  return out.finish();
}

function bytes(id: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeUInt32BE(id, 4);
  return buffer;
}

/** What stands in the spans, and everything else as it is. */
function decode(trace: Uint8Array): string[] {
  const spans: string[] = [];
  const walk = (message: Uint8Array, depth: number): void => {
    const reader = new ProtoReader(message);
    const span: Record<number, string> = {};
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === tagOf(6, WIRE_VARINT)) span[6] = String(reader.varint());
      else if (depth < 3 && tag === tagOf(depth === 0 ? 1 : 2, WIRE_BYTES)) walk(reader.bytesValue(), depth + 1);
      else if (depth === 3 && tag >>> 3 !== 5)
        span[tag >>> 3] = String(Buffer.from(reader.bytesValue()).readUInt32BE(4));
      else span[tag >>> 3] = reader.stringValue();
    }
    if (depth === 3) spans.push(`${span[5]} ${span[2]} under ${span[4] ?? '-'}`);
    if (depth === 1) assert.equal(span[1], 'resource');
  };
  walk(trace, 0);
  return spans;
}

it('the server of a shared id gets the smallest free one, and the children', () => {
  const trace = encode([1, 0, 2, 'root'], [9, 1, 3, 'call'], [9, 1, 2, 'serve'], [5, 9, 1, 'work'], [7, 5, 3, 'db']);
  assert.deepEqual(decode(splitSharedIds(trace)), [
    'root 1 under -',
    'call 9 under 1',
    'serve 2 under 9',
    'work 5 under 2',
    'db 7 under 5',
  ]);
});

it('a server without a parent becomes a child, and several pairs get several ids', () => {
  const trace = encode([3, 0, 2, 'a'], [3, 0, 3, 'b'], [1, 3, 3, 'c'], [1, 0, 2, 'd'], [4, 1, 1, 'e']);
  assert.deepEqual(decode(splitSharedIds(trace)), [
    'a 2 under 3',
    'b 3 under -',
    'c 1 under 2',
    'd 5 under 1',
    'e 4 under 5',
  ]);
});

it('other traces are left as they are', () => {
  for (const trace of [
    encode([1, 0, 2, 'a'], [2, 1, 3, 'b']),
    encode([1, 0, 2, 'a'], [1, 0, 2, 'b']),
    encode([1, 0, 1, 'a'], [1, 0, 3, 'b']),
    new Uint8Array(),
  ])
    assert.equal(splitSharedIds(trace), trace);
});
