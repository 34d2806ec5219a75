import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import { Rates } from './rate.ts';

describe('the rate of a tenant', () => {
  it('lets a burst pass, then what flows in', () => {
    let now = 0;
    const rates = new Rates(
      () => ({ bytesPerSecond: 100, burstBytes: 1000 }),
      () => now,
    );
    assert.equal(rates.take('a', 1001), false, 'larger than the bucket');
    assert.equal(rates.take('a', 1000), true);
    assert.equal(rates.take('a', 1), false);
    assert.equal(rates.take('b', 1000), true, 'another tenant has its own bucket');
    now = 500;
    assert.equal(rates.take('a', 51), false, 'half a second brings 50');
    assert.equal(rates.take('a', 50), true);
    now = 1_000_000;
    assert.equal(rates.take('a', 1001), false, 'never fuller than the burst');
    assert.equal(rates.take('a', 1000), true);
  });

  it('follows a limit that changes', () => {
    const rate = { bytesPerSecond: 0, burstBytes: 1000 };
    const rates = new Rates(
      () => rate,
      () => 0,
    );
    assert.equal(rates.take('a', 100), true);
    rate.burstBytes = 10;
    assert.equal(rates.take('a', 11), false);
    rate.burstBytes = Number.POSITIVE_INFINITY;
    assert.equal(rates.take('a', 1e12), true);
  });

  it('forgets tenants that have been quiet', () => {
    let now = 0;
    const rates = new Rates(
      () => ({ bytesPerSecond: 1000, burstBytes: 1000 }),
      () => now,
    );
    for (let i = 0; i < 200_000; i++) {
      now += 1;
      rates.take(`tenant ${i}`, 1000);
    }
    assert.ok(rates.size <= 66_600, `${rates.size} buckets`);
  });

  it('never lets more pass than burst and flow', () => {
    const steps = fc.array(fc.tuple(fc.nat(2000), fc.nat(500)), { maxLength: 60 });
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 2000 }), (list, rate, burst) => {
        let now = 0;
        let passed = 0;
        const rates = new Rates(
          () => ({ bytesPerSecond: rate, burstBytes: burst }),
          () => now,
        );
        for (const [waitMs, bytes] of list) {
          now += waitMs;
          if (rates.take('t', bytes)) passed += bytes;
          assert.ok(passed <= burst + (now / 1000) * rate + 1e-6);
        }
      }),
    );
  });
});
