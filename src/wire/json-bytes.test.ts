import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { JsonBytes } from './json-bytes.ts';

test('a string is the same text in JSON', () => {
  const anyText = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constant('\ud800</script>\u2028"\\\n'));
  fc.assert(
    fc.property(anyText, (text) => {
      const json = new JsonBytes(1);
      json.text(text);
      const written = Buffer.from(json.finish()).toString();
      assert.equal(JSON.parse(written), text.toWellFormed());
      assert.doesNotMatch(written, /[<>&\u2028]/);
    }),
  );
});

test('what was written can be written again', () => {
  const json = new JsonBytes(4);
  json.ascii('[');
  const from = json.length;
  json.raw('"é"');
  const to = json.length;
  json.ascii(',');
  json.again(from, to);
  json.ascii(']');
  assert.equal(Buffer.from(json.finish()).toString(), '["é","é"]');
});
