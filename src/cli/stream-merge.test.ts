import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Route } from './source.ts';
import { type StreamMessage, streamMerge } from './stream-merge.ts';

function merged(route: Route, ...messages: StreamMessage[]): StreamMessage {
  const merge = streamMerge(route);
  for (const message of messages) merge.add(message);
  return merge.finish();
}

describe('messages of a stream become one answer', () => {
  it('traces: later ones replace, newest first', () => {
    const [old, young] = [
      { traceID: 'a', startTimeUnixNano: '1', durationMs: 1 },
      { traceID: 'b', startTimeUnixNano: '20000000000000000001' },
    ];
    const whole = { ...old, durationMs: 2 };
    assert.deepEqual(
      merged(
        'search',
        { traces: [old], metrics: { completedJobs: 1 } },
        { traces: [young] },
        { traces: [whole], metrics: { completedJobs: 2 } },
      ),
      { traces: [young, whole], metrics: { completedJobs: 2 } },
    );
    assert.deepEqual(merged('search'), { traces: [] });
  });

  it('names: scopes that were divided, once each', () => {
    assert.deepEqual(
      merged(
        'tags',
        { scopes: [{ name: 'span', tags: ['b'] }] },
        { scopes: [{ name: 'span', tags: ['a', 'b'] }, { name: 'resource' }] },
      ),
      {
        scopes: [
          { name: 'span', tags: ['a', 'b'] },
          { name: 'resource', tags: [] },
        ],
      },
    );
  });

  it('values: by type and text', () => {
    const values = [{ type: 'string', value: '1' }, { type: 'int', value: '1' }, { type: 'string' }];
    assert.deepEqual(merged('tag-values', { tagValues: values.slice(0, 2) }, { tagValues: values }), {
      tagValues: values,
    });
  });

  it('series: samples by time, later ones replace; what says why it is a part stays', () => {
    const labels = [{ key: 'a', value: { stringValue: 'x' } }];
    assert.deepEqual(
      merged(
        'metrics-range',
        {
          series: [
            {
              labels,
              samples: [
                { timestampMs: '1000', value: 1 },
                { timestampMs: '2000', value: 1 },
              ],
            },
          ],
          status: 'PARTIAL',
          message: 'too many',
        },
        { series: [{ labels, samples: [{ timestampMs: '2000', value: 3 }, { timestampMs: '10000' }] }] },
      ).series,
      [
        {
          labels,
          samples: [{ timestampMs: '1000', value: 1 }, { timestampMs: '2000', value: 3 }, { timestampMs: '10000' }],
        },
      ],
    );
    assert.deepEqual(
      merged('metrics-instant', { series: [{ labels, value: 1 }] }, { series: [{ labels, value: 2 }] }),
      { series: [{ labels, value: 2 }] },
    );
    assert.equal(merged('metrics-instant', { message: 'too many' }, { series: [] }).message, 'too many');
  });
});
