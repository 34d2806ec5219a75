import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import { encodeRequest, type SpanSpec } from '../query/segments.fixture.ts';
import { ASCII, UNICODE } from './glyphs.ts';
import { golden } from './golden.fixture.ts';
import { createPaint } from './paint.ts';
import { widthOf } from './text.ts';
import { traceOf } from './trace.fixture.ts';
import { readTrace } from './trace-spans.ts';
import { waterfall } from './waterfall.ts';

describe('waterfall', () => {
  golden('waterfall.txt', (input, name) => {
    const unescaped = input.replace(/\\u([0-9a-f]{4})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 16)));
    const lines = waterfall(traceOf(unescaped), {
      width: Number(/(\d+) columns/.exec(name)![1]),
      spansMax: Number(/at most (\d+) spans/.exec(name)?.[1] ?? 0),
      glyphs: name.includes('ascii') ? ASCII : UNICODE,
      paint: createPaint(name.includes('colours 256') ? 256 : 0),
    });
    return lines.join('\n').replaceAll('\u001b', '\\e');
  });

  const name = fc.oneof(fc.string({ maxLength: 80 }), fc.string({ unit: 'grapheme', maxLength: 60 }));
  const spans = fc.array(
    fc.record({
      parent: fc.nat(60),
      name,
      service: name,
      at: fc.double({ min: 0, max: 1e4, noNaN: true }),
      ms: fc.double({ min: 0, max: 1e4, noNaN: true }),
      status: fc.nat(2),
    }),
    { minLength: 1, maxLength: 50 },
  );

  it('fits the width, obeys no span and stays bounded, whatever the trace', () => {
    fc.assert(
      fc.property(
        spans,
        fc.integer({ min: 60, max: 200 }),
        fc.integer({ min: 1, max: 20 }),
        (made, width, spansMax) => {
          const specs = made.map((span, index): SpanSpec => {
            const { service, parent, ...rest } = span;
            return {
              trace: 1,
              span: index + 1,
              ...rest,
              resource: { 'service.name': service },
              ...(parent > 0 && { parent }),
            };
          });
          const options = { width, spansMax, glyphs: UNICODE, paint: createPaint(0) };
          const lines = waterfall(readTrace(encodeRequest(specs)), options);
          // A shown span brings at most a line for what is hidden below it and one for its missing parent.
          assert.ok(lines.length <= 3 * spansMax + 35, `${lines.length} lines`);
          for (const line of lines) {
            assert.ok(widthOf(line) <= width, `${widthOf(line)} columns of ${width}: ${JSON.stringify(line)}`);
            assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('draws a trace of 100,000 spans in one chain, and one with 100,000 children', () => {
    for (const parentOf of [(i: number) => i, () => 1]) {
      const specs: SpanSpec[] = [];
      for (let i = 0; i < 100_000; i++)
        specs.push({
          trace: 1,
          span: i + 1,
          at: i / 100,
          ms: 2000 - i / 100,
          name: 'n',
          ...(i > 0 && { parent: parentOf(i) }),
        });
      const options = { width: 120, spansMax: 50, glyphs: UNICODE, paint: createPaint(0) };
      const lines = waterfall(readTrace(encodeRequest(specs)), options);
      assert.ok(lines.length < 120, `${lines.length} lines`);
    }
  });
});
