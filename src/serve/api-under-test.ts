/**
 * The query API on real sockets over an engine with fixed data, for the tests beside this file. The engine is input: it
 * answers the same to everybody and remembers what it was asked.
 */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before } from 'node:test';
import { VivaceError } from '../runtime/errors.ts';
import { ProtoReader, ProtoWriter, tagOf, WIRE_BYTES } from '../wire/protobuf.ts';
import { type ApiOptions, answerNotFound, api } from './api.ts';
import { denyList } from './deny-list.ts';
import type { ApiLimits } from './parameters.ts';
import type { MetricsAnswer, Queries, SearchRequest, TraceResult } from './queries.ts';
import { renderMetrics } from './render-metrics.ts';

/** 2026-01-01, and a bit, so that rounding shows. */
export const NOW = 1_767_225_600;
export const KNOWN = 'c0de0000000000000000000000000012';

export const limits: ApiLimits = {
  defaultResultLimit: 20,
  maxResultLimit: 262_144,
  maxSearchSeconds: 168 * 3600,
  defaultSpss: 3,
  maxSpss: 100,
  queryBytesMax: 131_072,
  queryEndCutoffMs: 0,
  leftPadTraceIds: false,
  tagBytesMax: 1_000_000,
  traceBytesMax: 5_000_000,
  metrics: { maxSeconds: 24 * 3600, exemplarsMax: 100, seriesMax: 0, intervalsMax: 10_000, endCutoffMs: 30_000 },
};

export const result: TraceResult = {
  traceId: '00000000000000001122334455667788',
  rootServiceName: 'shop',
  rootTraceName: 'GET /cart?a=<b>&c',
  startUnixNano: 1_767_225_000_000_000_001n,
  durationMs: 400.9,
  spanSets: [
    {
      spans: [
        {
          spanId: '000000000000000b',
          name: 'SELECT',
          startUnixNano: 1_767_225_000_070_000_000n,
          durationNs: 200_000_000n,
          attributes: [
            { key: 'db.rows', value: { type: 'int', value: 9_007_199_254_740_993n } },
            { key: 'ratio', value: { type: 'double', value: Number.NaN } },
            { key: 'hit', value: { type: 'bool', value: false } },
            { key: 'tags', value: { type: 'array', values: [{ type: 'string', value: '' }] } },
          ],
        },
      ],
      matched: 5,
      attributes: [{ key: 'count()', value: { type: 'int', value: 5n } }],
    },
    { spans: [], matched: 0 },
  ],
  serviceStats: new Map([
    ['cartdb', { spanCount: 2, errorCount: 1 }],
    ['shop', { spanCount: 3, errorCount: 0 }],
  ]),
};
const metrics = {
  inspectedTraces: 3,
  inspectedBytes: 20_668,
  totalBlocks: 1,
  totalJobs: 4,
  completedJobs: 4,
  totalBlockBytes: 0,
};

/** Every request that reached the engine, newest last. */
export const asked: Record<string, unknown>[] = [];
/** What the server does next, and how often it was told to stop. */
export const doing: {
  /** Done by a search in place of answering. */
  searchInstead?: (request: SearchRequest, signal: AbortSignal) => Promise<never>;
  /** Answered to a metrics query in place of what there is. */
  series?: (query: string) => MetricsAnswer | undefined;
  ready: ReturnType<ApiOptions['ready']>;
  stopped: number;
} = { ready: { ok: true }, stopped: 0 };

const queries: Queries = {
  async trace(request) {
    asked.push({ ...request, id: Buffer.from(request.id).toString('hex') });
    if (Buffer.from(request.id).toString('hex').endsWith('ff00')) return undefined;
    const partial =
      request.startSeconds === 7 ? 'Trace exceeds maximum size of 9 bytes, a partial trace is returned' : undefined;
    return { trace: traceBytes(), inspectedBytes: 1024, partial };
  },
  async search(request, signal) {
    asked.push({ ...request });
    if (doing.searchInstead) return doing.searchInstead(request, signal);
    if (request.query.includes('nothing')) return { traces: [], metrics };
    if (request.query.includes('oops')) throw new VivaceError('invalid', 'parse error at line 1, col 3: oops');
    const legacy = { ...result, spanSets: undefined, serviceStats: undefined };
    const longer = { ...result, durationMs: 900, spanSets: [{ ...result.spanSets![0], matched: 9 }] };
    return { traces: [request.tags ? legacy : request.tenant === 'b' ? longer : result], metrics };
  },
  async tagNames(request) {
    asked.push({ ...request });
    const own = request.tenant === 'b' ? ['b.only', 'region'] : ['region', 'service.name'];
    return {
      scopes: [
        { name: 'resource', tags: own },
        { name: 'span', tags: ['http.method', 'region'] },
        { name: 'link', tags: [] },
      ].filter(({ name }) => ['', 'none', name].includes(request.scope)),
      metrics: { inspectedBytes: 630_188 },
    };
  },
  async tagValues(request) {
    asked.push({ ...request });
    if (request.tag === 'foo') throw new VivaceError('invalid', 'failed to parse identifier foo: unknown');
    return {
      values: [
        { type: 'string', value: 'eu' },
        { type: 'string', value: '' },
        { type: 'int', value: '200' },
        { type: 'string', value: 'a&b' },
      ],
      metrics: { inspectedBytes: 17_733 },
    };
  },
  async metrics(request) {
    asked.push({ ...request });
    return doing.series?.(request.query) ?? series;
  },
  async metricsBody(request, form) {
    asked.push({ ...request });
    return renderMetrics(series, request.instant, form);
  },
  async metricsPartial(request) {
    asked.push({ ...request });
    return {
      partial: { of: 'cells', groups: [], buckets: [], cells: Float64Array.of(), exemplars: [], limited: false },
      metrics,
    };
  },
};

/** Two series over three intervals, the first without a sample in the second one. */
export const series: MetricsAnswer = {
  series: [
    {
      labels: [
        { key: 'resource.service.name', value: { type: 'string', value: 'a<b' } },
        { key: 'span.code', value: { type: 'int', value: 200n } },
        { key: 'p', value: { type: 'double', value: 0.5 } },
      ],
      values: Float64Array.of(0, Number.NaN, 1.5),
      exemplars: [
        {
          labels: [{ key: 'trace:id', value: { type: 'string', value: '12' } }],
          value: 0.25,
          timestampMs: 1_767_225_000_001,
        },
      ],
    },
    {
      labels: [{ key: 'span.hit', value: { type: 'bool', value: false } }],
      values: Float64Array.of(Number.NEGATIVE_INFINITY, 2, 3),
      exemplars: [],
    },
  ],
  stampsMs: Float64Array.of(1_767_225_000_000, 1_767_225_030_000, 1_767_225_060_000),
  partial: 'Response exceeds maximum series limit of 2',
  metrics: { ...metrics, inspectedSpans: 8 },
};

export const seen: string[] = [];
export const errors: string[] = [];
/** `<tenant> <trace id>` each. */
export const deleted: string[] = [];
export const flushed: (string | undefined)[] = [];

export const plain: ApiOptions = {
  deletions: {
    async delete(tenant, traceId) {
      deleted.push(`${tenant} ${traceId}`);
      return { traceId, state: traceId === KNOWN ? 'erasing' : 'erased', deletedMs: 0, erasedMs: 1000, waitsFor: [] };
    },
    states: async (_tenant, traceId) =>
      traceId === undefined || traceId === KNOWN
        ? [{ traceId: KNOWN, state: 'erasing', deletedMs: 0, waitsFor: ['blocks'] }]
        : [],
  },
  queries,
  limits: () => limits,
  tenants: { multitenancyEnabled: false, multiTenantQueriesEnabled: true },
  pathPrefix: '',
  timeoutMs: 0,
  nowMs: () => NOW * 1000 + 250,
  buildInfo: { version: '3.0.3', revision: 'abc1234', branch: 'main', buildUser: '', buildDate: '', goVersion: 'node' },
  configYaml: (mode) => `mode: ${mode}\n`,
  services: () => [{ name: 'server', status: 'Running' }],
  ready: () => doing.ready,
  metrics: async () => 'up 1\n',
  async flush(tenant) {
    if (tenant === 'nobody') throw new VivaceError('not-found', 'tenant nobody has no data');
    flushed.push(tenant);
  },
  shutdown: () => {
    doing.stopped++;
  },
  onRequest: (route, method, status) => seen.push(`${method} ${route} ${status}`),
  onError: (route) => errors.push(route),
};
const servers: Record<string, ApiOptions> = {
  plain,
  tenants: { ...plain, tenants: { multitenancyEnabled: true, multiTenantQueriesEnabled: true } },
  single: { ...plain, tenants: { multitenancyEnabled: true, multiTenantQueriesEnabled: false } },
  prefixed: { ...plain, pathPrefix: '/tempo' },
  padded: { ...plain, limits: () => ({ ...limits, leftPadTraceIds: true, queryEndCutoffMs: 30_000 }) },
  hasty: { ...plain, timeoutMs: 1 },
  limited: { ...plain, searchTimeoutMs: 1 },
  denying: { ...plain, checkUrl: denyList(['limit=1\\d{4}', '/tag/password/']) },
};
export const running = new Map<string, http.Server>();

before(async () => {
  for (const [name, options] of Object.entries(servers)) {
    const handle = api(options);
    const server = http.createServer(
      { maxHeaderSize: 1 << 20 },
      (req, res) => handle(req, res) || answerNotFound(req, res),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    running.set(name, server);
  }
});
after(() => {
  for (const server of running.values()) server.close();
});

export interface Got {
  status: number;
  type: string;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
  text: string;
}

/** `GET` of a path; `server` is one of the above. */
export function get(
  path: string,
  headers: http.OutgoingHttpHeaders = {},
  server = 'plain',
  method = 'GET',
): Promise<Got> {
  const { port } = running.get(server)!.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    const request = http.request({ port, path, headers, method, host: '127.0.0.1' }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const body = Buffer.concat(chunks);
        const type = response.headers['content-type'] ?? '';
        resolve({ status: response.statusCode!, type, headers: response.headers, body, text: body.toString() });
      });
    });
    request.on('error', reject).end();
  });
}

/** `GET` of a path that answers JSON. */
export const json = async (path: string, headers = {}) => JSON.parse((await get(path, headers)).text) as unknown;

/** A range, when it does not matter which. */
export const range = 'start=1&end=2';

export const lastAsked = () => asked.at(-1)!;

export function traceBytes(): Uint8Array {
  const out = new ProtoWriter(64);
  const marks = [1, 2, 2].map((field) => out.begin(tagOf(field, WIRE_BYTES)));
  out.bytesField(tagOf(1, WIRE_BYTES), Buffer.from(KNOWN, 'hex'));
  out.stringField(tagOf(5, WIRE_BYTES), 'GET <1>');
  for (const mark of marks.reverse()) out.end(mark);
  return out.finish();
}

/** The length-delimited fields of that number. */
export function fields(message: Uint8Array, number: number): Buffer[] {
  const found: Buffer[] = [];
  const reader = new ProtoReader(message);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === tagOf(number, WIRE_BYTES)) found.push(Buffer.from(reader.bytesValue()));
    else reader.skip(tag);
  }
  return found;
}
