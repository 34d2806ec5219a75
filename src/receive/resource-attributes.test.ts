import assert from 'node:assert/strict';
import { it } from 'node:test';
import { VivaceError } from '../runtime/errors.ts';
import { ProtoWriter } from '../wire/protobuf.ts';
import { otlpText } from './otlp-text.fixture.ts';
import { withResourceAttributes } from './resource-attributes.ts';
import { vector } from './vectors.fixture.ts';

const attributes: [string, Uint8Array][] = [
  ['kafka.header.a', Buffer.from('x')],
  ['kafka.header.b', Buffer.from('y')],
];

it('every resource gets them, and nothing else changes', () => {
  const { bytes } = vector('otlp');
  const [resource, ...spans] = otlpText(Buffer.concat([bytes, bytes]));
  const [changed, ...same] = otlpText(withResourceAttributes(Buffer.concat([bytes, bytes]), attributes));
  assert.equal(changed, `${resource} kafka.header.a="x" kafka.header.b="y"`);
  assert.deepEqual(
    same,
    spans.map((line) => (line === resource ? changed : line)),
  );
});

it('a request without a resource, and none at all', () => {
  const out = new ProtoWriter();
  out.bytesField(0x0a, new Uint8Array(0));
  assert.deepEqual(otlpText(withResourceAttributes(out.finish(), attributes)), [
    'resource kafka.header.a="x" kafka.header.b="y"',
  ]);
  assert.equal(withResourceAttributes(new Uint8Array(0), attributes).length, 0);
});

it('broken protobuf is refused', () =>
  assert.throws(() => withResourceAttributes(Buffer.from([0x0a, 0x05, 0x01]), attributes), VivaceError));
