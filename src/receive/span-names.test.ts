import assert from 'node:assert/strict';
import { it } from 'node:test';
import { otlpJsonToProto } from './otlp-json.ts';
import { countNames } from './span-names.ts';

const span = (name: string, parentSpanId = '') => ({
  traceId: 'a'.repeat(32),
  spanId: 'b'.repeat(16),
  name,
  parentSpanId,
});
const resourceSpans = (service: string | undefined, ...spans: object[]) => ({
  ...(service !== undefined && {
    resource: { attributes: [{ key: 'service.name', value: { stringValue: service } }] },
  }),
  scopeSpans: [{ spans }],
});
const request = otlpJsonToProto(
  Buffer.from(
    JSON.stringify({
      resourceSpans: [
        resourceSpans('shop', span('GET /'), span('query', 'c'.repeat(16)), span('root', '0'.repeat(16))),
        resourceSpans(undefined, span('alone')),
      ],
    }),
  ),
);
const names = (rootOnly: boolean, bytes = request): string[] => {
  const found: string[] = [];
  countNames(bytes, rootOnly, (service, name) => found.push(`${service}: ${name}`));
  return found;
};

it('every span, or those without a parent', () => {
  assert.deepEqual(names(false), ['shop: GET /', 'shop: query', 'shop: root', ': alone']);
  assert.deepEqual(names(true), ['shop: GET /', 'shop: root', ': alone']);
});

it('what is broken ends it', () => assert.deepEqual(names(false, request.subarray(0, 60)), []));
