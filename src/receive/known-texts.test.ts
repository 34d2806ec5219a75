import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from '../../tests/property.ts';
import { KnownTexts } from './known-texts.ts';

it('says of any range what Buffer says, again and again', () => {
  const texts = new KnownTexts();
  const ranges = fc.tuple(fc.uint8Array({ maxLength: 40, max: 3 }), fc.nat(40), fc.nat(40));
  fc.assert(
    fc.property(ranges, ([bytes, a, b]) => {
      const [start, end] = [Math.min(a, b, bytes.length), Math.min(Math.max(a, b), bytes.length)];
      assert.equal(texts.latin1(bytes, start, end), Buffer.from(bytes).toString('latin1', start, end));
    }),
    { numRuns: 2000 },
  );
});

it('keeps no more than its bound, and goes on to answer', () => {
  const texts = new KnownTexts();
  for (let i = 0; i < 5000; i++) {
    const bytes = Buffer.from(`service ${i}`);
    assert.equal(texts.latin1(bytes, 0, bytes.length), `service ${i}`);
  }
});
