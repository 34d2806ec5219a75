import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import type { Part } from '../block/segment.ts';
import type { TraceLines } from '../block/traces-file.ts';
import { IntervalFinder } from './metrics-intervals.ts';

const START = 1_795_289_387_000_000_000n;

const asked = fc.record({
  step: fc.constantFrom(1n, 7n, 1000n, 60_000_000_000n),
  count: fc.integer({ min: 1, max: 600 }),
  /** Of the whole range, in thousandths. */
  parts: fc.array(fc.integer({ min: -100, max: 1100 }), { minLength: 1, maxLength: 50 }),
  /** Nanoseconds off that. */
  off: fc.array(fc.integer({ min: -1, max: 1 }), { minLength: 50, maxLength: 50 }),
  form: fc.constantFrom('words', 'distances', 'some'),
});

test('a place among the intervals of a spread is the interval of the time', () => {
  let spreads = 0;
  fc.assert(
    fc.property(asked, ({ step, count, parts, off, form }) => {
      const finder = new IntervalFinder({ startNs: START, stepNs: step, count });
      const times = parts.map((part, i) => {
        const at = START + (step * BigInt(count) * BigInt(part)) / 1000n;
        // On edges and beside them.
        return (at / step) * step + BigInt(off[i]);
      });
      const words = new Int32Array(BigInt64Array.from(times).buffer);
      const wanted = times.map((_time, i) => finder.of(words[2 * i], words[2 * i + 1]));
      const ascending = BigInt64Array.from(times).sort();
      const bounds = BigInt64Array.of(ascending[0], ascending[ascending.length - 1]);
      const [minLow, minHigh, maxLow, maxHigh] = new Int32Array(bounds.buffer);
      const spread = finder.spread({ minLow, minHigh, maxLow, maxHigh });
      if (spread === undefined) return;
      spreads++;
      const base = { low: words[0], high: words[1] };
      const distances = Float64Array.from(times, (time) => Number(time - times[0]));
      const rows = times.length;
      const part: Part = { first: 3, rows, count: rows, ...(form === 'words' ? { words } : { distances, base }) };
      if (form === 'some') part.at = Uint32Array.from(times, (_time, i) => 3 + i);
      const places = new Uint8Array(3 + rows);
      finder.place(part, spread, places);
      assert.deepEqual(
        Array.from(places.subarray(3), (place) => spread.intervals[place]),
        wanted,
      );
    }),
    { numRuns: 1000 },
  );
  assert.ok(spreads > 500, `${spreads} of 1000 have few intervals`);
});

test('rows of a trace within an interval get its place, the others are told', () => {
  let told = 0;
  fc.assert(
    fc.property(
      fc.array(fc.record({ start: fc.integer({ min: 0, max: 700 }), length: fc.nat(200), rows: fc.nat(3) })),
      fc.nat(40),
      (traces, othersMax) => {
        const step = 100n;
        const finder = new IntervalFinder({ startNs: START, stepNs: step, count: 5 });
        const times = (of: (trace: (typeof traces)[number]) => number): Uint32Array =>
          new Uint32Array(BigInt64Array.from(traces, (trace) => START + BigInt(of(trace))).buffer);
        const starts = times(({ start }) => start);
        const ends = times(({ start, length }) => start + length);
        const firstRow = new Uint32Array(traces.length + 1);
        traces.forEach(({ rows }, i) => {
          firstRow[i + 1] = firstRow[i] + rows;
        });
        const word = (words: Uint32Array, which: number): Uint32Array => words.filter((_, i) => i % 2 === which);
        const spread = finder.spread({ minLow: starts[0], minHigh: starts[1], maxLow: ends[0], maxHigh: ends[1] });
        if (traces.length === 0 || spread === undefined) return;
        const lines = {
          firstRow,
          startLow: word(starts, 0),
          startHigh: word(starts, 1),
          endLow: word(ends, 0),
          endHigh: word(ends, 1),
        } as TraceLines;
        const places = new Uint8Array(firstRow[traces.length]).fill(255);
        const others = finder.placeTraces(lines, spread, places, othersMax);
        const expected: number[] = [];
        traces.forEach(({ start, length }, i) => {
          const place = spread.edges.filter((edge) => start > edge).length;
          for (let row = firstRow[i]; row < firstRow[i + 1]; row++) {
            if (place !== spread.edges.filter((edge) => start + length > edge).length) expected.push(row);
            else if (others !== undefined) assert.equal(places[row], place);
          }
        });
        if (others === undefined) assert.ok(expected.length > othersMax);
        else assert.deepEqual([...others], expected);
        told += expected.length;
      },
    ),
    { numRuns: 1000 },
  );
  assert.ok(told > 500, `${told} rows of traces across an edge`);
});
