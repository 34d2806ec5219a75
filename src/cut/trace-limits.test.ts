import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import { LIVE_TRACES_EXCEEDED, TAKEN, TRACE_TOO_LARGE, TRACE_TOO_LONG, TraceLimits } from './trace-limits.ts';

const none = { attributeBytesMax: 0, traceBytesMax: 0 };

describe('limits of traces', () => {
  it('count bytes, refused ones too', () => {
    const limits = new TraceLimits({ ...none, traceBytesMax: 100 });
    assert.deepEqual(
      [60, 50, 1].map((bytes) => limits.admit(3000, bytes)),
      [TAKEN, TRACE_TOO_LARGE, TRACE_TOO_LARGE],
    );
    assert.equal(limits.admit(0, 100), TAKEN);
    limits.forget(1);
    assert.deepEqual([limits.admit(0, 1), limits.admit(3000, 100)], [TRACE_TOO_LARGE, TAKEN]);
  });

  it('count spans', () => {
    const limits = new TraceLimits({ ...none, traceSpansMax: 2 });
    assert.deepEqual(
      [1, 1, 1].map(() => limits.admit(5, 1)),
      [TAKEN, TAKEN, TRACE_TOO_LONG],
    );
    assert.equal(limits.admit(6, 1), TAKEN);
  });

  it('count traces that got a span of late; those that live go on', () => {
    const limits = new TraceLimits({ ...none, liveTracesMax: 2, traceIdleMs: 5000 });
    limits.advance(100_000);
    assert.deepEqual(
      [limits.admit(0, 1), limits.admit(1, 1), limits.admit(2, 1)],
      [TAKEN, TAKEN, LIVE_TRACES_EXCEEDED],
    );
    limits.advance(104_000);
    assert.deepEqual([limits.admit(0, 1), limits.admit(2, 1)], [TAKEN, LIVE_TRACES_EXCEEDED]);
    limits.advance(106_000);
    assert.deepEqual([limits.admit(2, 1), limits.admit(1, 1)], [TAKEN, LIVE_TRACES_EXCEEDED]);
    limits.advance(90_000);
    assert.equal(limits.admit(2, 1), TAKEN, 'a clock that goes back changes nothing');
    limits.forget(1);
    assert.equal(limits.live, 1);
    assert.equal(limits.admit(1, 1), TAKEN);
  });

  it('are those of a list of traces and their times', () => {
    const steps = fc.array(fc.record({ waitMs: fc.nat(2500), trace: fc.nat(12), forget: fc.nat(40) }), {
      maxLength: 120,
    });
    fc.assert(
      fc.property(
        steps,
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 0, max: 7000 }),
        (list, max, traceIdleMs) => {
          const limits = new TraceLimits({ ...none, liveTracesMax: max, traceIdleMs });
          const window = Math.max(1, Math.ceil(traceIdleMs / 1000)) + 1;
          const seen = new Map<number, number>();
          let nowMs = 1_700_000_000_000;
          for (const { waitMs, trace, forget } of list) {
            nowMs += waitMs;
            const second = Math.floor(nowMs / 1000);
            limits.advance(nowMs);
            for (const [one, last] of seen) if (second - last >= window) seen.delete(one);
            if (forget < 10) {
              limits.forget(forget);
              for (const one of [...seen.keys()]) if (one >= forget) seen.delete(one);
            }
            const expected = seen.has(trace) || seen.size < max ? TAKEN : LIVE_TRACES_EXCEEDED;
            assert.equal(limits.admit(trace, 1), expected);
            if (expected === TAKEN) seen.set(trace, second);
            assert.equal(limits.live, seen.size);
          }
        },
      ),
    );
  });
});
