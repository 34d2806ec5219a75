import assert from 'node:assert/strict';
import { it } from 'node:test';
import { explanationText, withExplanations } from './explain.ts';
import type { Explanation } from './queries.ts';

const EXPLANATION: Explanation = {
  tenant: 't',
  plan: [
    {
      stage: '{ span.a > 5 }',
      reads: [{ what: 'span.a', conditions: ['> 5', '= 2'], listed: true }],
    },
    { stage: 'by(name)', reads: [{ what: 'name', conditions: [], listed: false }] },
  ],
  computedMs: 12.34567,
  waitedMs: 1,
  phases: [
    { name: 'parse', ms: 0.5 },
    { name: 'evaluate', ms: 11.84567 },
  ],
  blocks: { known: 5, wanted: 2 },
  segments: [
    {
      name: 'live-1',
      kind: 'live',
      rows: 10,
      bytes: 1000,
      state: 'read',
      bytesRead: 0,
      columns: [{ name: 'span.a (int)', pages: 1, pagesAll: 0, values: 10, bytesRead: 0, readMs: 0, useMs: 0.25 }],
    },
    {
      name: 'b1',
      kind: 'block',
      rows: 4096,
      bytes: 99_000,
      state: 'read',
      bytesRead: 800,
      columns: [{ name: 'span.a (int)', pages: 1, pagesAll: 3, values: 7, bytesRead: 800, readMs: 1, useMs: 2 }],
    },
    { name: 'b2', kind: 'block', rows: 9, bytes: 90, state: 'missing', why: 'gone', bytesRead: 0, columns: [] },
  ],
};

it('reads well', () => {
  assert.equal(
    explanationText(EXPLANATION),
    `tenant t: 12 ms computing, 1.00 ms waiting

plan
  1  { span.a > 5 }
       span.a > 5 or = 2
  2  by(name)
       name (not listed)

time
     0.50 ms  parse
       12 ms  evaluate

segments: 2 read, 0 pruned, 1 missing; 3 of 5 blocks out of the range of time
  read    live live-1: 10 spans
       0.25 ms  span.a (int), 1 pages, 10 values
  read    block b1: 4096 spans, 800 of 99000 bytes read
       3.00 ms  span.a (int), 1 of 3 pages, 7 values, 800 bytes read
  missing block b2: 9 spans, 0 of 90 bytes read: gone
`,
  );
});

it('stands at the end of JSON answers and of no others', () => {
  const body = (text: string, type = 'application/json'): string =>
    String(withExplanations({ status: 200, type, body: text }, [EXPLANATION]).body);
  const { traces, explain } = JSON.parse(body('{"traces":[]}'));
  assert.deepEqual(traces, []);
  assert.equal(explain[0].computedMs, 12.346);
  assert.equal(JSON.parse(body('{}')).explain.length, 1);
  assert.equal(body('{}', 'text/plain'), '{}');
  assert.deepEqual(withExplanations({ status: 404 }, [EXPLANATION]), { status: 404 });
});
