import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ProtoReader, ProtoWriter, tagOf, WIRE_BYTES } from '../wire/protobuf.ts';
import fc from '../../tests/property.ts';
import { type Element, type Elements, Packets } from './packets.ts';

const field = (number: number, text: string): Uint8Array => {
  const out = new ProtoWriter();
  out.stringField(tagOf(number, WIRE_BYTES), text);
  return out.finish();
};

const METRICS = field(2, 'metrics');
const STATUS = field(3, 'part');

/** The texts of field 1, of groups with their names, and of the other fields. */
function read(message: Uint8Array, grouped = false): string[] {
  const texts: string[] = [];
  const reader = new ProtoReader(message);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (grouped && tag >>> 3 === 1) {
      const inner = new ProtoReader(reader.bytesValue());
      const list: string[] = [];
      for (let t = inner.tag(); t !== 0; t = inner.tag()) list.push(inner.stringValue());
      for (const each of list.slice(1)) texts.push(`${list[0]}.${each}`);
    } else texts.push(reader.stringValue());
  }
  return texts;
}

const answer = (elements: Element[]): Elements => ({ elements, metrics: METRICS, status: STATUS });
const one = (key: string, text = key): Element => ({ key, bytes: field(1, text) });

it('partial answers hold what is new or changed, the final one everything', () => {
  const packets = new Packets(0);
  const texts = (messages: Generator<Uint8Array>): string[][] => [...messages].map((message) => read(message));
  assert.deepEqual(texts(packets.partial(answer([one('a'), one('b')]))), [['a', 'b', 'metrics']]);
  assert.deepEqual(texts(packets.partial(answer([one('a'), one('b', 'B'), one('c')]))), [['B', 'c', 'metrics']]);
  assert.deepEqual(texts(packets.partial(answer([one('a')]))), [['metrics']]);
  assert.deepEqual(texts(packets.final(answer([one('a'), one('c')]))), [['a', 'c', 'metrics', 'part']]);
  assert.deepEqual(texts(packets.final(answer([]))), [['metrics', 'part']]);
});

it('no packet is larger than allowed unless one element is, and nothing is lost or moved', () => {
  const text = fc.string({ maxLength: 30 });
  const element = fc.record({ group: fc.constantFrom('span', 'resource'), tag: text });
  fc.assert(
    fc.property(fc.array(element, { maxLength: 60 }), fc.integer({ min: 40, max: 300 }), (list, bytesMax) => {
      const sorted = list.sort((a, b) => (a.group < b.group ? -1 : a.group > b.group ? 1 : 0));
      const elements = sorted.map(({ group, tag }) => ({ key: `${group} ${tag}`, bytes: field(2, tag), group }));
      const messages = [...new Packets(bytesMax).final(answer(elements))];
      const all: string[] = [];
      messages.forEach((message, i) => {
        const texts = read(message, true);
        const isLast = i === messages.length - 1;
        assert.deepEqual(texts.slice(isLast ? -2 : -1), isLast ? ['metrics', 'part'] : ['metrics']);
        const held = texts.slice(0, isLast ? -2 : -1);
        assert.ok(message.length <= bytesMax + (isLast ? STATUS.length : 0) || held.length === 1, `${message.length}`);
        all.push(...held);
      });
      assert.deepEqual(
        all,
        sorted.map(({ group, tag }) => `${group}.${tag}`),
      );
    }),
  );
});
