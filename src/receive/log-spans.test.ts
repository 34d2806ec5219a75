import assert from 'node:assert/strict';
import { it } from 'node:test';
import { logSpans } from './log-spans.ts';
import { otlpJsonToProto } from './otlp-json.ts';

const attributes = (values: Record<string, unknown>) => Object.entries(values).map(([key, value]) => ({ key, value }));
const request = otlpJsonToProto(
  Buffer.from(
    JSON.stringify({
      resourceSpans: [
        {
          resource: { attributes: attributes({ 'service.name': { stringValue: 'svc' } }) },
          scopeSpans: [
            {
              spans: [
                {
                  ...{ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), name: 'op', kind: 2 },
                  ...{ startTimeUnixNano: '1000000000', endTimeUnixNano: '2500000000', status: { code: 2 } },
                  attributes: attributes({
                    'a-b': { intValue: -5 },
                    l: { arrayValue: { values: [{ stringValue: 'x' }, { boolValue: true }] } },
                    d: { doubleValue: 1.5 },
                  }),
                },
                { traceId: 'c'.repeat(32), spanId: 'd'.repeat(16) },
              ],
            },
          ],
        },
      ],
    }),
  ),
);
const lines = (includeAllAttributes: boolean, filterByStatusError: boolean) => {
  const all: unknown[] = [];
  logSpans(request, { includeAllAttributes, filterByStatusError }, (fields) => all.push(fields));
  return all;
};
const [first, second] = [
  { spanid: 'b'.repeat(16), traceid: 'a'.repeat(32) },
  { spanid: 'd'.repeat(16), traceid: 'c'.repeat(32) },
];

it('a line a span', () => assert.deepEqual(lines(false, false), [first, second]));
it('errors only', () => assert.deepEqual(lines(false, true), [first]));
it('with all attributes', () =>
  assert.deepEqual(lines(true, true), [
    {
      ...{ span_service_name: 'svc', span_a_b: '-5', span_l: '[x, true]', span_d: '1.5' },
      ...{
        span_name: 'op',
        span_duration_seconds: 1.5,
        span_kind: 'SPAN_KIND_SERVER',
        span_status: 'STATUS_CODE_ERROR',
      },
      ...first,
    },
  ]));
it('what is broken ends it', () => {
  logSpans(request.subarray(0, -3), { includeAllAttributes: true, filterByStatusError: false }, () => {});
});
