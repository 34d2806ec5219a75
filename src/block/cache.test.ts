import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ByteCache } from './cache.ts';

it('never holds more than its bytes, and nothing larger than a quarter of them', () => {
  const cache = new ByteCache<number>(1000);
  for (let i = 0; i < 500; i++) {
    cache.set(`${i % 40}`, i, 1 + (i % 37) * 8);
    assert.ok(cache.bytes <= 1000);
  }
  cache.set('large', 1, 251);
  assert.equal(cache.get('large'), undefined);
});

it('gives back what was last set, and counts it once', () => {
  const cache = new ByteCache<string>(100);
  cache.set('a', 'old', 20);
  cache.set('b', 'other', 20);
  cache.set('a', 'new', 10);
  assert.equal(cache.get('a'), 'new');
  assert.equal(cache.get('b'), 'other');
  assert.equal(cache.bytes, 30);
});

it('still finds a part of what is gone through again and again although it is too much for it', () => {
  const cache = new ByteCache<number>(1000);
  let found = 0;
  for (let round = 0; round < 20; round++)
    for (let i = 0; i < 150; i++)
      if (cache.get(`${i}`) === undefined) cache.set(`${i}`, i, 10);
      else found++;
  assert.ok(found > 20 * 150 * 0.3, `${found} found`);
});
