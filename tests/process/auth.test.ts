import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http2 from 'node:http2';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { BasicTracerProvider, SimpleSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base';
import { passwordHash } from '../../src/limits/credentials.ts';
import { freePorts, ROOT, run, type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { type Answer, ask, call, makeBatch, post, random } from './spans.fixture.ts';

const suite = { after };
const directory = temporaryFolder(suite, 'auth');
const credentials = path.join(directory, 'credentials.yaml');
const next = random(31);
const PASSWORD = 'correct horse:battery';
const tokens = { collector: 'c'.repeat(40), narrow: 'n'.repeat(40), operator: 'o'.repeat(40), root: 'r'.repeat(40) };
let server: Server;
let session: http2.ClientHttp2Session;
let hash = '';
let opencensus = 0;

const sha256 = (token: string) => createHash('sha256').update(token).digest('hex');
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
const basic = (name: string, password: string) => ({
  Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`,
});

before(async () => {
  hash = await passwordHash(PASSWORD);
  opencensus = (await freePorts()).http;
  fs.writeFileSync(
    credentials,
    `credentials:
  - { name: collector, token_sha256: ${sha256(tokens.collector)}, tenants: [shop], roles: [write] }
  - { name: alice, username: alice, password_scrypt: "${hash}", tenants: [shop, bank], roles: [read] }
  - { name: narrow, token_sha256: ${sha256(tokens.narrow)}, tenants: [shop], roles: [read], filter: '{ resource.service.name = "cart" }' }
  - { name: operator, token_sha256: ${sha256(tokens.operator)}, roles: [metrics, admin] }
  - { name: root, token_sha256: ${sha256(tokens.root)}, tenants: ["*"], roles: [write, read, metrics, admin] }
`,
  );
  fs.writeFileSync(
    path.join(directory, 'vivace.yaml'),
    `multitenancy_enabled: true
vivace: {auth_file: ${credentials}, auth_reload_period: 100ms}
distributor: {receivers: {otlp: {protocols: {grpc: , http: }}, opencensus: {endpoint: "127.0.0.1:${opencensus}"}}}
`,
  );
  server = await startServer(suite, { directory, flags: ['-config.file=vivace.yaml'] });
  session = http2.connect(`http://127.0.0.1:${server.ports.grpc}`);
});
after(() => session.destroy());

const api = (route: string, headers: Record<string, string> = {}): Promise<Answer> =>
  ask(server.url + route, { headers });

describe('without credentials', () => {
  it('only /ready, /api/echo and the health of gRPC answer', async () => {
    for (const route of ['/ready', '/api/echo']) assert.equal((await api(route)).status, 200, route);
    assert.equal((await call(session, Buffer.alloc(0), '/grpc.health.v1.Health/Check')).status, 0);
    const routes = [
      '/',
      '/api/search',
      '/api/traces/1',
      '/api/v2/search/tags',
      '/metrics',
      '/status',
      '/status/config',
      '/flush',
      '/shutdown',
      '/api/status/buildinfo',
      '/nothing',
    ];
    for (const route of routes) {
      const answer = await api(route, { 'X-Scope-OrgID': 'shop' });
      assert.equal(answer.status, 401, route);
      assert.match(String(answer.headers['www-authenticate']), /^Bearer .*Basic /);
    }
  });

  it('receivers refuse in their own words', async () => {
    const { body } = makeBatch(next);
    const protobuf = await post(server.otlpUrl, body, { 'X-Scope-OrgID': 'shop' });
    assert.deepEqual([protobuf.status, protobuf.headers['content-type']], [401, 'application/x-protobuf']);
    assert.equal(protobuf.body[1], 16);
    const json = await post(server.otlpUrl, '{}', { 'Content-Type': 'application/json' });
    assert.deepEqual([json.status, JSON.parse(json.body.toString()).code], [401, 16]);
    assert.equal((await call(session, body)).status, 16);
    const wrong = [
      bearer('x'),
      bearer(''),
      basic('alice', 'x'),
      basic('nobody', PASSWORD),
      { Authorization: 'Digest x' },
      { Authorization: `Bearer ${sha256(tokens.root)}` },
    ];
    for (const headers of wrong) {
      assert.equal((await post(server.otlpUrl, body, headers as never)).status, 401, JSON.stringify(headers));
      assert.equal((await api('/api/search', headers as never)).status, 401);
      assert.equal((await call(session, body, undefined, { authorization: headers.Authorization })).status, 16);
    }
  });
});

describe('roles', () => {
  it('write takes spans and nothing else, for the own tenant', async () => {
    const batch = makeBatch(next);
    const mine = bearer(tokens.collector);
    assert.equal((await post(server.otlpUrl, batch.body, mine)).status, 200);
    assert.equal(
      (await call(session, makeBatch(next).body, undefined, { authorization: mine.Authorization })).status,
      0,
    );
    const [[trace, spans]] = batch.traces;
    const read = await api(`/api/traces/${trace}`, { ...basic('alice', PASSWORD), 'X-Scope-OrgID': 'shop' });
    assert.equal(read.status, 200);
    for (const span of spans) assert.ok(read.body.includes(Buffer.from(span, 'hex').toString('base64')));
    const foreign = await post(server.otlpUrl, makeBatch(next).body, { ...mine, 'X-Scope-OrgID': 'bank' });
    assert.deepEqual([foreign.status, foreign.body[1]], [403, 7]);
    const overGrpc = { authorization: mine.Authorization, 'x-scope-orgid': 'bank' };
    assert.equal((await call(session, makeBatch(next).body, undefined, overGrpc)).status, 7);
    for (const route of ['/api/search', '/metrics', '/flush', '/status/config', '/'])
      assert.equal((await api(route, mine)).status, 403, route);
  });

  it('hold where the tenant has another name', async () => {
    const send = (headers: Record<string, string>) =>
      post(`http://127.0.0.1:${opencensus}/v1/trace`, '{}', { 'Content-Type': 'application/json', ...headers });
    const mine = bearer(tokens.collector);
    assert.equal((await send({})).status, 401);
    assert.equal((await send({ ...mine, 'Grpc-Metadata-X-Scope-OrgID': 'bank' })).status, 403);
    assert.equal((await send({ ...mine, 'X-Scope-OrgID': 'shop', 'Grpc-Metadata-X-Scope-OrgID': 'bank' })).status, 403);
    const allowed: Record<string, string>[] = [{}, { 'Grpc-Metadata-X-Scope-OrgID': 'shop' }];
    for (const named of allowed) assert.ok(![401, 403].includes((await send({ ...mine, ...named })).status));
  });

  it('read sees the tenants that were given, one or several', async () => {
    const alice = basic('alice', PASSWORD);
    assert.equal(
      (
        await post(server.otlpUrl, makeBatch(next, { service: 'vault' }).body, {
          ...bearer(tokens.root),
          'X-Scope-OrgID': 'bank',
        })
      ).status,
      200,
    );
    assert.equal((await api('/api/search', alice)).status, 403, 'which of two?');
    const services = async (tenant: string): Promise<string[]> => {
      const answer = await api('/api/v2/search/tag/resource.service.name/values', {
        ...alice,
        'X-Scope-OrgID': tenant,
      });
      assert.equal(answer.status, 200);
      return JSON.parse(answer.body.toString())
        .tagValues.map(({ value }: { value: string }) => value)
        .sort();
    };
    assert.deepEqual(await services('shop'), ['shop']);
    assert.deepEqual(await services('bank'), ['vault']);
    assert.deepEqual(await services('bank|shop'), ['shop', 'vault']);
    for (const tenant of ['other', 'shop|other', 'shop|bank|x'])
      assert.equal((await api('/api/search', { ...alice, 'X-Scope-OrgID': tenant })).status, 403, tenant);
    const sent = await post(server.otlpUrl, makeBatch(next).body, { ...alice, 'X-Scope-OrgID': 'shop' });
    assert.equal(sent.status, 403);
    assert.equal((await api('/flush', { ...alice, 'X-Scope-OrgID': 'shop' })).status, 403);
  });

  it('metrics and admin see to the process and not to data', async () => {
    const operator = bearer(tokens.operator);
    assert.equal((await api('/metrics', operator)).status, 200);
    assert.equal((await api('/status', operator)).status, 200);
    assert.equal((await api('/flush', operator)).status, 204);
    assert.equal((await api('/api/search', { ...operator, 'X-Scope-OrgID': 'shop' })).status, 403);
    assert.equal(
      (await post(server.otlpUrl, makeBatch(next).body, { ...operator, 'X-Scope-OrgID': 'shop' })).status,
      403,
    );
  });

  it('traces are deleted by administrators of the tenant', async () => {
    const batch = makeBatch(next, { traces: 1 });
    const [[trace]] = batch.traces;
    const shop = { 'X-Scope-OrgID': 'shop' };
    assert.equal((await post(server.otlpUrl, batch.body, bearer(tokens.collector))).status, 200);
    const remove = (credentials: Record<string, string>) =>
      ask(`${server.url}/api/traces/${trace}`, { method: 'DELETE', headers: { ...credentials, ...shop } });
    for (const others of [
      bearer(tokens.collector),
      bearer(tokens.narrow),
      bearer(tokens.operator),
      basic('alice', PASSWORD),
    ])
      assert.equal((await remove(others)).status, 403);
    assert.equal((await remove({})).status, 401);
    const read = () => api(`/api/traces/${trace}`, { ...bearer(tokens.root), ...shop });
    assert.equal((await read()).status, 200);
    assert.equal((await remove(bearer(tokens.root))).status, 202);
    assert.equal((await read()).status, 404);
    assert.equal((await api(`/api/deleted-traces/${trace}`, { ...basic('alice', PASSWORD), ...shop })).status, 403);
    const elsewhere = { ...bearer(tokens.root), 'X-Scope-OrgID': 'bank' };
    assert.equal((await api(`/api/deleted-traces/${trace}`, elsewhere)).status, 404, 'tenants have their own');
  });

  it('exporters send with them', async () => {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${tokens.collector}`);
    const exporters = [
      new GrpcExporter({ url: `http://127.0.0.1:${server.ports.grpc}`, metadata }),
      new JsonExporter({ url: server.otlpUrl, headers: bearer(tokens.collector) }),
    ];
    for (const exporter of exporters) {
      const trace = await exported(exporter);
      const found = await api(`/api/traces/${trace}`, { ...bearer(tokens.root), 'X-Scope-OrgID': 'shop' });
      assert.equal(found.status, 200);
    }
  });
});

describe('a forced filter', () => {
  const narrow = bearer(tokens.narrow);
  let trace = '';
  let cart: string[] = [];
  let hidden = '';

  before(async () => {
    const mine = bearer(tokens.collector);
    // Metrics leave the newest half minute alone.
    const startMs = Date.now() - 120_000;
    const first = makeBatch(next, { traces: 1, service: 'cart', spansPerTrace: 3, startMs });
    [[trace, cart]] = first.traces;
    const second = makeBatch(next, { traces: [trace], service: 'payment', startMs });
    const third = makeBatch(next, { traces: 1, service: 'payment', startMs });
    [[hidden]] = third.traces;
    for (const { body } of [first, second, third]) assert.equal((await post(server.otlpUrl, body, mine)).status, 200);
  });

  const json = async (route: string, parameters: Record<string, string> = {}) => {
    const answer = await api(`${route}?${new URLSearchParams(parameters)}`, narrow);
    assert.equal(answer.status, 200, `${route}: ${answer.body}`);
    return JSON.parse(answer.body.toString());
  };

  it('leaves its spans of a trace, and no trace without any', async () => {
    for (const route of ['/api/traces', '/api/v2/traces']) {
      const body = (await api(`${route}/${trace}`, narrow)).body.toString();
      const ids = [...body.matchAll(/"spanId":"([^"]+)"/g)].map(([, id]) => Buffer.from(id, 'base64').toString('hex'));
      assert.deepEqual(ids.sort(), [...cart].sort());
      assert.ok(!body.includes('payment'));
    }
    assert.equal((await api(`/api/traces/${hidden}`, narrow)).status, 404);
    assert.equal((await json(`/api/v2/traces/${hidden}`)).trace.resourceSpans, undefined);
    const all = await api(`/api/traces/${trace}`, { ...bearer(tokens.root), 'X-Scope-OrgID': 'shop' });
    assert.ok([...all.body.toString().matchAll(/"spanId"/g)].length > cart.length);
  });

  it('holds for every search', async () => {
    const queries = [
      '',
      '{}',
      '{ true } || { resource.service.name = "payment" }',
      '{ resource.service.name = "payment" || true }',
      '({} | count() > 0) && ({} | count() > 0)',
      'count() > 0',
      'by(name)',
      '{} >> {}',
      '{} | by(resource.service.name)',
      '{} | select(resource.service.name)',
      '{ !(resource.service.name = "cart") || true }',
    ];
    for (const q of queries) {
      const found = await json('/api/search', { q, spss: '100', limit: '100' });
      assert.equal(found.traces.length, 1, `${q}: ${JSON.stringify(found)}`);
      const spans = found.traces.flatMap(({ spanSets }: { spanSets: { spans: { spanID: string }[] }[] }) =>
        spanSets.flatMap((set) => set.spans),
      );
      assert.ok(spans.length > 0);
      for (const { spanID } of spans) assert.ok(cart.includes(spanID), q);
      assert.ok(!JSON.stringify(spans).includes('payment'), q);
      assert.equal(found.traces[0].serviceStats, undefined);
    }
    assert.deepEqual((await json('/api/search', { q: '{ resource.service.name = "payment" }' })).traces, []);
    assert.equal((await api('/api/search?tags=service.name%3Dpayment', narrow)).status, 403);
    assert.equal((await api('/api/search?q=%7B%20%7D%20%7C', narrow)).status, 400);
  });

  it('holds for tags and metrics', async () => {
    const values = (route: string, q: string) => json(route, q === '' ? {} : { q });
    for (const q of [
      '',
      '{ true }',
      '{ resource.service.name = "payment" }',
      '{ resource.service.name != nil || true }',
      '{} | count() > 0',
      'nonsense',
    ]) {
      const v2 = await values('/api/v2/search/tag/resource.service.name/values', q);
      assert.ok(!JSON.stringify(v2).includes('payment'), q);
      const v1 = await values('/api/search/tag/service.name/values', q);
      assert.deepEqual(v1.tagValues, ['cart']);
      await values('/api/v2/search/tags', q);
    }
    const series = await json('/api/metrics/query', { q: '{} | count_over_time() by(resource.service.name)' });
    assert.equal(series.series?.length, 1, JSON.stringify(series));
    assert.match(JSON.stringify(series), /cart/);
    const total = await json('/api/metrics/query', { q: 'by(name) | count_over_time()' });
    assert.equal(
      total.series?.[0]?.value ?? total.series?.[0]?.samples?.[0]?.value,
      cart.length,
      JSON.stringify(total),
    );
    assert.ok(!JSON.stringify(series).includes('payment'));
    assert.ok(!JSON.stringify(await json('/api/search', { q: '{}', explain: 'true' })).includes('service.name = '));
  });
});

describe('HTTP/2', () => {
  it('asks for credentials, for the API as for streams of queries, which the filter holds for', async () => {
    const routes = http2.connect(server.url);
    const streams = http2.connect(`http://127.0.0.1:${server.ports.internalGrpc}`);
    const status = (headers: http2.OutgoingHttpHeaders) =>
      new Promise<number>((resolve, reject) => {
        const stream = routes.request({ ':path': '/api/search', ...headers });
        stream.on('response', (seen) => resolve(Number(seen[':status'])));
        stream.on('error', reject);
        stream.resume();
      });
    assert.equal(await status({}), 401);
    assert.equal(await status({ authorization: bearer(tokens.narrow).Authorization }), 200);
    assert.equal(await status({ authorization: bearer(tokens.collector).Authorization }), 403);
    const method = '/tempopb.StreamingQuerier/SearchTagValuesV2';
    // SearchTagValuesRequest { 1: tag_name }
    const body = Buffer.from([0x0a, 21, ...Buffer.from('resource.service.name')]);
    const values = (token: string) =>
      new Promise<string>((resolve, reject) => {
        const stream = streams.request({
          ':method': 'POST',
          ':path': method,
          'content-type': 'application/grpc',
          authorization: `Bearer ${token}`,
          'x-scope-orgid': 'shop',
        });
        let text = '';
        stream.on('data', (chunk: Buffer) => {
          text += chunk.toString('latin1');
        });
        stream.on('error', reject);
        stream.on('end', () => resolve(text));
        stream.end(Buffer.concat([Buffer.from([0, 0, 0, 0, body.length]), body]));
      });
    assert.match(await values(tokens.root), /payment/);
    const narrow = await values(tokens.narrow);
    assert.ok(narrow.includes('cart') && !narrow.includes('payment'), narrow);
    assert.equal((await call(streams, body, method)).status, 16);
    assert.equal((await call(streams, body, method, { authorization: `Bearer ${tokens.collector}` })).status, 7);
    assert.equal(
      (await call(streams, body, method, { authorization: `Bearer ${tokens.narrow}`, 'x-scope-orgid': 'bank' })).status,
      7,
    );
    assert.equal(
      (
        await call(streams, body, method, {
          authorization: basic('alice', PASSWORD).Authorization,
          'x-scope-orgid': 'bank',
        })
      ).status,
      0,
    );
    routes.destroy();
    streams.destroy();
  });
});

describe('the file', () => {
  it('is read again; a bad one changes nothing, and nothing secret is told', async () => {
    const good = fs.readFileSync(credentials, 'utf8');
    const mine = bearer(tokens.collector);
    fs.writeFileSync(credentials, good.replace('roles: [write] }', 'roles: [wirte] }'));
    await until('the log tells', () => server.stderr().includes('cannot read the credentials again'));
    assert.match(server.stderr(), /credentials\[0\] \(collector\): role wirte is none of/);
    assert.equal((await post(server.otlpUrl, makeBatch(next).body, mine)).status, 200);
    fs.writeFileSync(credentials, good.replace(sha256(tokens.collector), sha256('another')));
    await until(
      'the token is unknown',
      async () => (await post(server.otlpUrl, makeBatch(next).body, mine)).status === 401,
    );
    assert.equal((await post(server.otlpUrl, makeBatch(next).body, bearer('another'))).status, 200);
    fs.writeFileSync(credentials, '');
    await until('the log tells', () => server.stderr().includes('the file is empty'));
    assert.equal((await post(server.otlpUrl, makeBatch(next).body, bearer('another'))).status, 200);
    fs.writeFileSync(credentials, good.replace(hash, 'scrypt$1$2$3$secret$secret'));
    await until('the log tells', () => server.stderr().includes('password_scrypt is no scrypt'));
    const told = server.stderr() + server.stdout() + (await api('/status/config', bearer(tokens.operator))).body;
    for (const secret of [
      ...Object.values(tokens),
      ...Object.values(tokens).map(sha256),
      PASSWORD,
      hash,
      hash.split('$')[5],
      '$secret',
    ])
      assert.ok(!told.includes(secret), secret);
    const metrics = (await api('/metrics', bearer(tokens.operator))).body.toString();
    assert.match(metrics, /vivace_auth_refused_total\{reason="unauthenticated"\} [1-9]/);
    assert.match(metrics, /vivace_auth_refused_total\{reason="denied"\} [1-9]/);
  });

  it('takes hashes that the program makes', async () => {
    const made = await run('sh', ['-c', `printf %s '${PASSWORD}' | ${ROOT}/bin/vivace hash-password`]);
    assert.match(made.stdout, /^scrypt\$16384\$8\$1\$[\w+/=]+\$[\w+/=]+\n$/);
    assert.notEqual(made.stdout.trim(), hash);
  });

  it('keeps a process from starting when it is bad, or when datagrams would come in unasked', async () => {
    const start = (text: string) => {
      const file = path.join(directory, 'other.yaml');
      fs.writeFileSync(file, text);
      return run(`${ROOT}/bin/vivace`, [`-config.file=${file}`], {
        cwd: directory,
        env: { VIVACE_DATA: path.join(directory, 'other') },
      });
    };
    const missing = await start('vivace: {auth_file: nowhere.yaml}');
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /cannot read vivace.auth_file: ENOENT/);
    const udp = await start(
      `vivace: {auth_file: ${credentials}}\ndistributor: {receivers: {jaeger: {protocols: {thrift_compact: }}}}`,
    );
    assert.equal(udp.code, 1);
    assert.match(udp.stderr, /datagrams carry no credentials/);
  });
});

async function exported(exporter: SpanExporter): Promise<string> {
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  const span = provider.getTracer('auth').startSpan('with credentials');
  span.end();
  await provider.forceFlush();
  await provider.shutdown();
  return span.spanContext().traceId;
}
