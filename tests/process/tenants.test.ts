import assert from 'node:assert/strict';
import fs from 'node:fs';
import http2 from 'node:http2';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { vector } from '../../src/receive/vectors.fixture.ts';
import { type ReceivingServer, startReceiving } from './receivers.fixture.ts';
import { temporaryFolder, until } from './server.fixture.ts';
import { type Answer, ask, assertSpans, call, makeBatch, post, random } from './spans.fixture.ts';
import { streamingClient } from './streaming-client.fixture.ts';

const suite = { after };
const directory = temporaryFolder(suite, 'tenants');
const next = random(41);
let server: ReceivingServer;
const sessions: http2.ClientHttp2Session[] = [];

before(async () => {
  const overrides = path.join(directory, 'overrides.yaml');
  fs.writeFileSync(overrides, 'overrides: {poor: {ingestion: {rate_limit_bytes: 1, burst_size_bytes: 1}}}\n');
  const more = `overrides: {per_tenant_override_config: ${overrides}}\n`;
  server = await startReceiving(suite, { directory, multitenancy: true, more });
});
after(() => {
  for (const session of sessions) session.destroy();
});

const JAEGER_POST = '/jaeger.api_v2.CollectorService/PostSpans';

/** One way to send one span; resolves with what the client sees. */
type Send = (headers: Record<string, string>) => Promise<number>;

function protocols(): [
  name: string,
  trace: string,
  send: Send,
  seen: Record<'ok' | 'missing' | 'invalid' | 'limited', number>,
][] {
  const { otlpUrl, ports, receivers } = server;
  const local = 'http://127.0.0.1';
  const http =
    (url: string, type: string, body: Uint8Array): Send =>
    async (headers) =>
      (await post(url, body, { 'Content-Type': type, ...headers })).status;
  const grpc = (port: number, method: string | undefined, body: Uint8Array): Send => {
    const session = http2.connect(`${local}:${port}`);
    sessions.push(session);
    return async (headers) => (await call(session, body, method, headers)).status;
  };
  const [otlp, jaeger, thrift, zipkin] = ['otlp', 'jaeger-proto', 'jaeger-thrift', 'zipkin-proto'].map(vector);
  const thriftUrl = `${local}:${receivers.jaegerHttp}/api/traces?format=jaeger.thrift`;
  return [
    [
      'OTLP/HTTP',
      otlp.traceId,
      http(otlpUrl, 'application/x-protobuf', otlp.bytes),
      { ok: 200, missing: 503, invalid: 400, limited: 429 },
    ],
    [
      'OTLP/gRPC',
      otlp.traceId,
      grpc(ports.grpc, undefined, otlp.bytes),
      { ok: 0, missing: 14, invalid: 3, limited: 8 },
    ],
    [
      'Jaeger gRPC',
      jaeger.traceId,
      grpc(receivers.jaegerGrpc, JAEGER_POST, jaeger.bytes),
      { ok: 0, missing: 2, invalid: 3, limited: 8 },
    ],
    [
      'Jaeger Thrift',
      thrift.traceId,
      http(thriftUrl, 'application/x-thrift', thrift.bytes),
      { ok: 202, missing: 500, invalid: 500, limited: 500 },
    ],
    [
      'Zipkin',
      zipkin.traceId,
      http(`${local}:${receivers.zipkin}/api/v2/spans`, 'application/x-protobuf', zipkin.bytes),
      { ok: 202, missing: 500, invalid: 500, limited: 500 },
    ],
  ];
}

const get = (route: string, tenant?: string): Promise<Answer> =>
  ask(server.url + route, { headers: tenant === undefined ? {} : { 'X-Scope-OrgID': tenant } });

describe('the tenant of what is sent', () => {
  it('is named in every protocol, and nobody else sees it', async () => {
    for (const [name, trace, send, seen] of protocols()) {
      const tenant = `of-${name.replace(/\W/g, '-')}`;
      assert.equal(await send({}), seen.missing, `${name} without a tenant`);
      for (const bad of ['..', 'a/b', 'a|b', 'x'.repeat(151), 'ä'])
        assert.equal(
          await send({ 'x-scope-orgid': Buffer.from(bad).toString('latin1') }),
          seen.invalid,
          `${name}: ${bad}`,
        );
      assert.equal((await get(`/api/traces/${trace}`, tenant)).status, 404);
      assert.equal(await send({ 'x-scope-orgid': 'poor' }), seen.limited, `${name} above the rate`);
      assert.equal((await get(`/api/traces/${trace}`, 'poor')).status, 404);
      assert.equal(await send({ 'x-scope-orgid': `${tenant}:key=value|${tenant}` }), seen.ok, name);
      assert.equal((await get(`/api/traces/${trace}`, tenant)).status, 200, name);
      for (const other of ['nobody', `${tenant}x`, tenant.slice(0, -1), tenant.toUpperCase()])
        assert.equal((await get(`/api/traces/${trace}`, other)).status, 404, `${name}: ${other}`);
    }
  });
});

describe('the data of a tenant', () => {
  // Times that metrics look at: they leave the newest half minute alone.
  const startMs = Date.now() - 120_000;
  const shared = makeBatch(next, { traces: 1, service: 'first', spansPerTrace: 3, startMs });
  const [[trace, spans]] = shared.traces;
  const other = makeBatch(next, { traces: [trace], service: 'second', spansPerTrace: 2, startMs });

  before(async () => {
    for (const [tenant, batch] of [
      ['alpha', shared],
      ['beta', other],
    ] as const)
      assert.equal((await post(server.otlpUrl, batch.body, { 'X-Scope-OrgID': tenant })).status, 200);
  });

  const q = (text: string) => encodeURIComponent(text);
  /** Every way to ask, and whether the service of the other tenant shows. */
  const routes = [
    `/api/traces/${trace}`,
    `/api/v2/traces/${trace}`,
    `/api/search?q=${q('{} | select(resource.service.name)')}`,
    '/api/search?tags=service.name%3Dfirst',
    '/api/search?tags=service.name%3Dsecond',
    `/api/search?q=${q('{ resource.service.name =~ ".*" } >> {}')}`,
    '/api/v2/search/tag/resource.service.name/values',
    '/api/search/tag/service.name/values',
    `/api/metrics/query?q=${q('{} | count_over_time() by(resource.service.name)')}`,
    `/api/metrics/query_range?step=60&q=${q('{} | rate() by(resource.service.name)')}`,
  ];

  const separate = async (): Promise<void> => {
    for (const route of routes) {
      const [alpha, beta, both] = await Promise.all(
        ['alpha', 'beta', 'beta|alpha|alpha'].map((tenant) => get(route, tenant)),
      );
      for (const answer of [alpha, beta, both]) assert.equal(answer.status, 200, `${route}: ${answer.body}`);
      assert.ok(!alpha.body.includes('second'), `alpha ${route}: ${alpha.body}`);
      assert.ok(!beta.body.includes('first'), `beta ${route}: ${beta.body}`);
      // A trace that both have has one root; a filter by tag names one service.
      if (!route.includes('search?'))
        for (const service of ['first', 'second']) assert.ok(both.body.includes(service), `${route}: ${both.body}`);
      assert.equal((await get(route)).status, 401, route);
    }
    await assertSpans(server.url, [[trace, spans]], { tenant: 'alpha' });
    await assertSpans(server.url, [[trace, [...spans, ...other.traces.get(trace)!]]], { tenant: 'alpha|beta' });
  };

  it('is apart in memory', separate);

  it('is apart in blocks', async () => {
    assert.equal((await get('/flush?tenant=alpha')).status, 204);
    await separate();
    assert.equal((await get('/flush')).status, 204);
    await separate();
    assert.equal((await get('/flush?tenant=gamma')).status, 404);
  });

  it('is apart in streams', async () => {
    const client = streamingClient(`127.0.0.1:${server.ports.internalGrpc}`);
    const ask = (tenant?: string) =>
      client
        .call('SearchTagValuesV2', { tagName: 'resource.service.name' }, tenant)
        .ended.then((messages) => JSON.stringify(messages));
    assert.ok(!(await ask('alpha')).includes('second'));
    assert.ok(!(await ask('beta')).includes('first'));
    assert.match(await ask('alpha|beta'), /first.*second|second.*first/);
    await assert.rejects(ask());
    client.close();
  });

  it('does not show in errors and names of attributes of others', async () => {
    const own = await get('/api/v2/search/tags', 'alpha');
    const strange = await get('/api/v2/search/tags', 'gamma');
    assert.ok(own.body.includes('test.trace') && !strange.body.includes('test.trace'));
    for (const tenant of ['a/b', '..', '|', 'x'.repeat(151)]) {
      const refused = await get('/api/search', tenant);
      assert.equal(refused.status, 400, tenant);
      assert.ok(!/alpha|beta/.test(refused.body.toString()));
    }
    assert.equal((await get('/api/search?q=%7B', 'gamma')).status, 400);
  });

  it('is counted apart', async () => {
    let text = '';
    const wanted = [
      'tempo_distributor_spans_received_total{tenant="alpha"} 3',
      'tempo_distributor_spans_received_total{tenant="beta"} 2',
    ];
    await until('both are counted', async () => {
      text = (await get('/metrics')).body.toString();
      return wanted.every((line) => text.includes(line));
    });
    assert.ok(
      !text.includes('single-tenant'),
      text
        .split('\n')
        .filter((line) => line.includes('single-tenant'))
        .join('\n'),
    );
  });
});
