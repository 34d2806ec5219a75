import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { type Message, type StreamingClient, streamingClient } from '../../tests/process/streaming-client.fixture.ts';
import { until } from '../../tests/process/server.fixture.ts';
import { VivaceError } from '../runtime/errors.ts';
import { grpcRouter } from '../wire/grpc.ts';
import { type Listener as Socket, listen } from '../wire/listener.ts';
import { limits, NOW, result } from './api-under-test.ts';
import type { MetricsSeries } from '../query/metrics-results.ts';
import type {
  Listener,
  MetricsAnswer,
  MetricsRequest,
  Queries,
  Receipt,
  SearchAnswer,
  SearchMetrics,
  TraceResult,
} from './queries.ts';
import { streamingQuerier } from './streaming.ts';

const RECEIPT: Receipt = {
  blocks: { wanted: 1, read: 1, pruned: 0 },
  bytes: { wanted: 10, read: 5, pruned: 0 },
  missing: [],
};

/** The engine is input: each test says what a search does. */
let search: Queries['search'] = () => Promise.reject(new Error('not set'));
let names: Queries['tagNames'] = () => Promise.reject(new Error('not set'));
let values: Queries['tagValues'] = () => Promise.reject(new Error('not set'));
let series: Queries['metrics'] = () => Promise.reject(new Error('not set'));
const asked: unknown[] = [];
const told: string[] = [];
let socket: Socket;
let client: StreamingClient;

before(async () => {
  const queries: Queries = {
    trace: async () => undefined,
    search: (request, signal, listener) => {
      asked.push(request);
      return search(request, signal, listener);
    },
    tagNames: (request, signal, listener) => {
      asked.push(request);
      return names(request, signal, listener);
    },
    tagValues: (request, signal, listener) => {
      asked.push(request);
      return values(request, signal, listener);
    },
    metrics: (request, signal, listener) => {
      asked.push(request);
      return series(request, signal, listener);
    },
    metricsBody: () => Promise.reject(new Error('streams are rendered here')),
    metricsPartial: () => Promise.reject(new Error('there is one tenant')),
  };
  const service = streamingQuerier({
    queries,
    limits: () => limits,
    tenants: { multitenancyEnabled: true, multiTenantQueriesEnabled: true },
    nowMs: () => NOW * 1000,
    packetBytesMax: 2 << 20,
    onRequest: (method, status) => told.push(`${method} ${status}`),
  });
  socket = await listen({ host: '127.0.0.1', port: 0, grpc: grpcRouter(service) });
  client = streamingClient(`127.0.0.1:${socket.port}`);
});

after(async () => {
  client.close();
  await socket.close(0);
});

function metrics(completedJobs: number): SearchMetrics {
  return { inspectedTraces: 1, inspectedBytes: 2, totalBlocks: 3, totalJobs: 4, completedJobs, totalBlockBytes: 5 };
}

function traceOf(n: number, matched = 1): TraceResult {
  return { ...result, traceId: n.toString(16).padStart(32, '0'), spanSets: [{ spans: [], matched }] };
}

/** Tells a partial answer and waits until the client has it. */
async function tell(
  listener: Listener<SearchAnswer> | undefined,
  traces: TraceResult[],
  done: number,
  got: () => number,
) {
  const before = got();
  listener?.onProgress?.({ traces, metrics: metrics(done) });
  await until('the client has the message', () => got() > before);
}

it('partial messages hold new and changed traces, the last message all', async () => {
  search = async (_request, _signal, listener) => {
    const got = () => call.messages.length;
    await tell(listener, [traceOf(1)], 1, got);
    await tell(listener, [traceOf(1), traceOf(2)], 2, got);
    await tell(listener, [traceOf(1, 7), traceOf(2)], 3, got);
    await tell(listener, [traceOf(1, 7), traceOf(2)], 3, got);
    listener?.onReceipt?.(RECEIPT);
    return { traces: [traceOf(2), traceOf(1, 7)], metrics: metrics(4) };
  };
  const call = client.call(
    'Search',
    { Query: '{}', Limit: 7, start: 10, end: 20, SpansPerSpanSet: 2, MinDurationMs: 5 },
    'tenant',
  );
  const messages = await call.ended;
  assert.deepEqual(
    messages.map(({ traces }) => traces.map((trace: { traceID: string }) => trace.traceID)),
    [['1'], ['2'], ['1'], [], ['2', '1']],
  );
  assert.deepEqual(
    messages.map((message) => [message.metrics.completedJobs, message.metrics.totalJobs]),
    [
      [1, 4],
      [2, 4],
      [3, 4],
      [3, 4],
      [4, 4],
    ],
  );
  assert.equal(messages[2].traces[0].spanSets[0].matched, 7);
  assert.match(String(call.trailers.get('x-vivace-receipt')[0]), /^complete, blocks=1/);
  assert.deepEqual(asked.at(-1), {
    tenant: 'tenant',
    query: '{}',
    tags: undefined,
    minDurationNs: 5_000_000n,
    maxDurationNs: undefined,
    limit: 7,
    spansPerSpanSet: 2,
    startSeconds: 10,
    endSeconds: 20,
  });
});

it('a request is checked like that of the HTTP route, and errors have their codes', async () => {
  search = async () => {
    throw new VivaceError('invalid', 'parse error at line 1, col 2: unexpected');
  };
  const fails = (request: object, code: number, details: string | RegExp, tenant?: string) =>
    assert.rejects(client.call('Search', request, tenant ?? 't').ended, (error: { code: number; details: string }) => {
      assert.equal(error.code, code, error.details);
      assert.match(error.details, new RegExp(details));
      return true;
    });
  const range = { start: 1, end: 2 };
  await fails({ Query: '{ a', ...range }, 3, '^invalid TraceQL query: parse error');
  await fails({ Query: '{}', start: 5, end: 2 }, 3, 'http parameter start must be before end. received start=5 end=2');
  await fails({ Query: '{}', Limit: 300_000, ...range }, 3, 'exceeds max limit');
  await fails({ Query: '{}', SpansPerSpanSet: 101 }, 3, 'spans per span set exceeds 100. received 101');
  await fails({ Query: '{}' }, 2, '^no org id$', '');
  await fails({ Query: '{}' }, 3, 'contains unsupported character', 'a/b');
  await fails({ Tags: { 'a b': 'c' }, ...range }, 3, 'invalid tags');
  for (const [code, grpc] of [
    ['exhausted', 8],
    ['unsupported', 13],
    ['internal', 13],
    ['not-found', 5],
    ['deadline', 13],
  ] as const) {
    search = async () => {
      throw new VivaceError(code, `it is ${code}`);
    };
    await fails({ Query: '{}', ...range }, grpc, `it is ${code}`);
  }
  search = async () => {
    throw new TypeError('a mistake of ours');
  };
  await fails({ Query: '{}', ...range }, 13, '^internal error$');
});

it('tags go the way of logfmt', async () => {
  search = async () => ({ traces: [], metrics: metrics(4) });
  await client.call('Search', { Tags: { 'service.name': 'a "b" = c', x: '' }, start: 1, end: 2 }, 't').ended;
  assert.deepEqual(
    (asked.at(-1) as { tags: Map<string, string> }).tags,
    new Map([
      ['service.name', 'a "b" = c'],
      ['x', ''],
    ]),
  );
});

it('a client that leaves stops the query', async () => {
  let stopped: (() => void) | undefined;
  const seen = new Promise<void>((resolve) => {
    stopped = resolve;
  });
  search = (_request, signal, listener) =>
    new Promise((_resolve, reject) => {
      listener?.onProgress?.({ traces: [traceOf(1)], metrics: metrics(1) });
      signal.addEventListener('abort', () => {
        stopped!();
        reject(new VivaceError('cancelled', 'the client has gone'));
      });
    });
  const call = client.call('Search', { Query: '{}', start: 1, end: 2 }, 't');
  await until('the first message is there', () => call.messages.length === 1);
  call.cancel();
  await seen;
  await assert.rejects(call.ended, { code: 1 });
  await until('the call is counted', () => told.at(-1) === '/tempopb.StreamingQuerier/Search cancel');
});

it('a slow client gets the newest partial answer, and nothing is kept for it', async () => {
  const PARTIALS = 2000;
  search = async (_request, _signal, listener) => {
    for (let i = 1; i <= PARTIALS; i++) {
      listener?.onProgress?.({ traces: [traceOf(i)], metrics: metrics(1) });
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return { traces: [traceOf(9)], metrics: metrics(4) };
  };
  const messages = await client.call('Search', { Query: '{}', start: 1, end: 2 }, 't').ended;
  assert.ok(messages.length <= PARTIALS / 100 + 2, String(messages.length));
  assert.equal(messages.at(-1)!.traces[0].traceID, '9');
});

it('large answers come in packets', async () => {
  const long = 'x'.repeat(100_000);
  const traces = Array.from({ length: 60 }, (_, i) => ({ ...traceOf(i + 1), rootTraceName: long }));
  search = async () => ({ traces, metrics: metrics(4) });
  const call = client.call('Search', { Query: '{}', Limit: 100, start: 1, end: 2 }, 't');
  const messages = await call.ended;
  assert.equal(messages.length, 3);
  assert.ok(Math.max(...call.bytes) <= 2 << 20);
  assert.ok(messages.every((message) => message.metrics.totalJobs === 4));
  assert.equal(messages.flatMap((message) => message.traces).length, 60);
});

it('names and values of tags: what is new, then all, and intrinsics with the names', async () => {
  const cost = { inspectedBytes: 7, totalJobs: 2, completedJobs: 1, totalBlocks: 1, totalBlockBytes: 9 };
  names = async (_request, _signal, listener) => {
    listener?.onProgress?.({ scopes: [{ name: 'span', tags: ['b'] }], metrics: cost });
    await until('the client has it', () => call.messages.length === 1);
    return {
      scopes: [
        { name: 'span', tags: ['a', 'b'] },
        { name: 'resource', tags: ['b'] },
      ],
      metrics: { ...cost, completedJobs: 2 },
    };
  };
  let call = client.call('SearchTagsV2', { query: '{ .x = 1 }', start: 1, end: 2, maxTagsPerScope: 5 }, 't');
  const [first, last] = await call.ended;
  const intrinsic = first.scopes.at(-1);
  assert.equal(intrinsic.name, 'intrinsic');
  assert.ok(intrinsic.tags.includes('span:name'));
  assert.deepEqual(first.scopes.slice(0, -1), [{ name: 'span', tags: ['b'] }]);
  assert.deepEqual(last.scopes, [{ name: 'span', tags: ['a', 'b'] }, { name: 'resource', tags: ['b'] }, intrinsic]);
  assert.deepEqual([first.metrics.completedJobs, last.metrics.completedJobs], [1, 2]);
  const request = asked.at(-1) as { query: string; limit: number; scope: string };
  assert.deepEqual([request.query, request.limit, request.scope], ['{ .x = 1 }', 5, '']);
  call = client.call('SearchTags', { scope: 'span', start: 1, end: 2 }, 't');
  assert.deepEqual(
    (await call.ended).map(({ tagNames }) => tagNames),
    [['b'], ['a', 'b']],
  );
  await assert.rejects(client.call('SearchTags', { scope: 'foo' }, 't').ended, { code: 3 });

  values = async (request) => ({
    values: [
      { type: 'int', value: '1' },
      { type: 'string', value: request.tag },
    ],
    metrics: cost,
  });
  call = client.call('SearchTagValues', { tagName: 'a/b', start: 1, end: 2, maxTagValues: 3 }, 't');
  assert.deepEqual((await call.ended).at(-1)!.tagValues, ['1', 'a/b']);
  assert.equal((asked.at(-1) as { v1: boolean; limit: number }).limit, 3);
  call = client.call('SearchTagValuesV2', { tagName: 'span."a b"', query: '{}', start: 1, end: 2 }, 't');
  assert.deepEqual((await call.ended).at(-1)!.tagValues, [
    { type: 'int', value: '1' },
    { type: 'string', value: 'span."a b"' },
  ]);
});

it('metrics: series that changed, then all; second stages only at the end', async () => {
  const of = (service: string, ...values: number[]): MetricsSeries => ({
    labels: [{ key: 'service', value: { type: 'string', value: service } }],
    values: Float64Array.from(values),
    exemplars: [],
  });
  const answer = (done: number, ...list: MetricsSeries[]): MetricsAnswer => ({
    series: list,
    stampsMs: Float64Array.of(1_767_225_000_000, 1_767_225_060_000),
    metrics: metrics(done),
  });
  series = async (_request, _signal, listener) => {
    const partials = [
      answer(1, of('a', 1, 0)),
      answer(2, of('a', 1, 0), of('b', 2, Number.NaN)),
      answer(3, of('a', 5, 0)),
    ];
    for (const partial of partials) {
      const before = call.messages.length;
      listener?.onProgress?.(partial);
      await until('the client has it', () => call.messages.length > before);
    }
    return { ...answer(4, of('a', 5, 0), of('b', 2, Number.NaN)), partial: 'too many' };
  };
  const range = { start: '1767225000000000001', end: '1767225060000000001', step: 60e9 };
  let call = client.call('MetricsQueryRange', { query: '{} | rate() by (span.service)', ...range, exemplars: 3 }, 't');
  const shown = (messages: Message[]): unknown =>
    messages.map((message) => [
      message.series.map(({ labels, samples }: Message) => [
        labels[0].value.string_value,
        ...samples.map(({ value, timestamp_ms }: Message) => `${value ?? 0} at ${timestamp_ms}`),
      ]),
      message.status ?? '',
      message.message ?? '',
    ]);
  const first = (value: number): string => `${value} at 1767225000000`;
  const second = '0 at 1767225060000';
  assert.deepEqual(shown(await call.ended), [
    [[['a', first(1), second]], '', ''],
    [[['b', first(2)]], '', ''],
    [[['a', first(5), second]], '', ''],
    [
      [
        ['a', first(5), second],
        ['b', first(2)],
      ],
      'PARTIAL',
      'too many',
    ],
  ]);
  const request = asked.at(-1) as MetricsRequest;
  assert.deepEqual([request.stepNs, request.exemplars, request.instant], [60_000_000_000n, 3, false]);

  call = client.call('MetricsQueryRange', { query: '{} | rate() by (span.service) | topk(1)', ...range }, 't');
  assert.deepEqual(
    (await call.ended).map((message) => message.series.length),
    [0, 0, 0, 2],
  );
  call = client.call(
    'MetricsQueryInstant',
    { query: '{} | rate() by (span.service)', start: range.start, end: range.end },
    't',
  );
  assert.deepEqual(
    (await call.ended).map((message) => message.series.map(({ value }: Message) => value)),
    [[1], [2], [5], [5, 2]],
  );
  assert.equal((asked.at(-1) as MetricsRequest).instant, true);

  for (const message of ['not a metrics query', 'compiling query: no such function']) {
    series = async () => {
      throw new VivaceError('invalid', message);
    };
    await assert.rejects(client.call('MetricsQueryRange', { query: '{}', ...range }, 't').ended, {
      code: 2,
      details: message,
    });
  }
  const wrong = { query: '{} | rate()', start: range.end, end: range.start };
  await assert.rejects(client.call('MetricsQueryRange', wrong, 't').ended, { code: 3, details: /end must be greater/ });
});
