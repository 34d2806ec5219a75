import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import {
  type AppendLimits,
  LIVE_TRACES_EXCEEDED,
  TAKEN,
  TRACE_TOO_LARGE,
  TRACE_TOO_LONG,
  TraceLimits,
  type Verdict,
} from './trace-limits.ts';

const none = { attributeBytesMax: 0, traceBytesMax: 0 };

/** Limits that are asked with the number of a trace, as the appender asks them. */
function limitsOf(limits: AppendLimits): { of: TraceLimits; admit(trace: number, bytes: number): Verdict } {
  const of = new TraceLimits(limits);
  const slots = new Map<number, number>();
  return {
    of,
    admit(trace, bytes) {
      const verdict = of.admit(0, 0, 0, trace + 1, bytes, slots.get(trace) ?? 7 * trace);
      slots.set(trace, of.slot);
      return verdict;
    },
  };
}

describe('limits of traces', () => {
  it('count bytes, refused ones too', () => {
    const limits = limitsOf({ ...none, traceBytesMax: 100 });
    assert.deepEqual(
      [60, 50, 1].map((bytes) => limits.admit(3000, bytes)),
      [TAKEN, TRACE_TOO_LARGE, TRACE_TOO_LARGE],
    );
    assert.equal(limits.admit(0, 100), TAKEN);
    assert.deepEqual([limits.admit(0, 1), limits.admit(3000, 1)], [TRACE_TOO_LARGE, TRACE_TOO_LARGE]);
    limits.of.clear();
    assert.deepEqual([limits.admit(0, 1), limits.admit(3000, 100)], [TAKEN, TAKEN]);
  });

  it('count spans', () => {
    const limits = limitsOf({ ...none, traceSpansMax: 2 });
    assert.deepEqual(
      [1, 1, 1].map(() => limits.admit(5, 1)),
      [TAKEN, TAKEN, TRACE_TOO_LONG],
    );
    assert.equal(limits.admit(6, 1), TAKEN);
  });

  it('count traces that got a span of late; those that live go on', () => {
    const limits = limitsOf({ ...none, liveTracesMax: 2, traceIdleMs: 5000 });
    limits.of.advance(100_000);
    assert.deepEqual(
      [limits.admit(0, 1), limits.admit(1, 1), limits.admit(2, 1)],
      [TAKEN, TAKEN, LIVE_TRACES_EXCEEDED],
    );
    limits.of.advance(104_000);
    assert.deepEqual([limits.admit(0, 1), limits.admit(2, 1)], [TAKEN, LIVE_TRACES_EXCEEDED]);
    limits.of.advance(106_000);
    assert.deepEqual([limits.admit(2, 1), limits.admit(1, 1)], [TAKEN, LIVE_TRACES_EXCEEDED]);
    limits.of.advance(90_000);
    assert.equal(limits.admit(2, 1), TAKEN, 'a clock that goes back changes nothing');
    assert.equal(limits.of.live, 2);
  });

  it('remember a trace that used much of them until it has been silent for long, and no other', () => {
    const limits = limitsOf({ ...none, traceBytesMax: 1600, traceIdleMs: 5000, traceForgetMs: 60_000 });
    limits.of.advance(0);
    limits.admit(1, 1600);
    limits.admit(2, 99);
    const crowd = (from: number): void => {
      for (let trace = from; trace < from + 1000; trace++) limits.admit(trace, 1);
    };
    limits.of.advance(50_000);
    crowd(1000);
    assert.equal(limits.admit(1, 1), TRACE_TOO_LARGE);
    assert.deepEqual(
      [1502, 99].map((bytes) => limits.admit(2, bytes)),
      [TAKEN, TRACE_TOO_LARGE],
    );
    limits.of.advance(111_000);
    crowd(3000);
    assert.equal(limits.admit(1, 1600), TAKEN);
  });

  it('take memory for what is live, however many traces come', () => {
    const limits = limitsOf({ ...none, traceBytesMax: 5_000_000, traceIdleMs: 1000 });
    for (let trace = 0; trace < 200_000; trace++) {
      if (trace % 100 === 0) limits.of.advance(1000 * trace);
      assert.equal(limits.admit(trace, 1000), TAKEN);
    }
    assert.ok(limits.of.size <= 512, `${limits.of.size} traces`);
  });

  it('are those of a list of traces and their times', () => {
    const steps = fc.array(fc.record({ waitMs: fc.nat(2500), trace: fc.nat(60), bytes: fc.nat(300) }), {
      maxLength: 150,
    });
    fc.assert(
      fc.property(
        steps,
        fc.integer({ min: 0, max: 8 }),
        fc.integer({ min: 0, max: 1000 }),
        fc.integer({ min: 0, max: 7000 }),
        (list, liveMax, bytesMax, traceIdleMs) => {
          const limits = limitsOf({
            attributeBytesMax: 0,
            traceBytesMax: bytesMax,
            liveTracesMax: liveMax,
            traceIdleMs,
            traceForgetMs: 1e9,
          });
          const window = Math.max(1, Math.ceil(traceIdleMs / 1000)) + 1;
          const seen = new Map<number, number>();
          /** What is too large for sure: light traces may be forgotten when they are not live. */
          const used = new Map<number, number>();
          let nowMs = 1_700_000_000_000;
          for (const { waitMs, trace, bytes } of list) {
            nowMs += waitMs;
            const second = Math.floor(nowMs / 1000);
            limits.of.advance(nowMs);
            for (const [one, last] of seen)
              if (second - last >= window) {
                seen.delete(one);
                if (used.get(one)! < bytesMax / 16) used.set(one, 0);
              }
            const verdict = limits.admit(trace, bytes);
            if (liveMax > 0 && !seen.has(trace) && seen.size >= liveMax) {
              assert.equal(verdict, LIVE_TRACES_EXCEEDED);
              continue;
            }
            used.set(trace, (used.get(trace) ?? 0) + bytes);
            if (bytesMax > 0 && used.get(trace)! > bytesMax) assert.equal(verdict, TRACE_TOO_LARGE);
            else assert.notEqual(verdict, LIVE_TRACES_EXCEEDED);
            seen.set(trace, second);
            if (liveMax + bytesMax > 0) assert.equal(limits.of.live, seen.size);
          }
        },
      ),
    );
  });
});
