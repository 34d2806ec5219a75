import assert from 'node:assert/strict';
import fs from 'node:fs';
import http2 from 'node:http2';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, assertSpans, call, makeBatch, post, random, spansOf } from './spans.fixture.ts';

const suite = { after };
const directory = temporaryFolder(suite, 'limits');
const overrides = path.join(directory, 'overrides.yaml');
const next = random(11);
let server: Server;
let session: http2.ClientHttp2Session;

before(async () => {
  fs.writeFileSync(
    overrides,
    'overrides:\n  small: {ingestion: {rate_limit_bytes: 1, burst_size_bytes: 2200}}\n  silent: {ingestion: {rate_limit_bytes: 1, burst_size_bytes: 1, retry_info_enabled: false}}\n  few: {ingestion: {max_traces_per_user: 3}, global: {max_spans_per_trace: 4}}\n  short: {global: {max_bytes_per_trace: 1000}}\n  shared: {ingestion: {max_traces_per_user: 100, max_global_traces_per_user: 2}}\n',
  );
  fs.writeFileSync(
    path.join(directory, 'vivace.yaml'),
    `multitenancy_enabled: true\noverrides: {per_tenant_override_config: ${overrides}, per_tenant_override_period: 100ms}\n`,
  );
  server = await startServer(suite, { directory, flags: ['-config.file=vivace.yaml'] });
  session = http2.connect(`http://127.0.0.1:${server.ports.grpc}`);
});
after(() => session.destroy());

const of = (tenant: string) => ({ 'X-Scope-OrgID': tenant });
const batch = (spans: number) => makeBatch(next, { traces: 1, spansPerTrace: spans });

describe('the rate of a tenant', () => {
  it('refuses what is above the burst or the rate, each protocol in its way', async () => {
    const first = batch(8);
    const taken = await post(server.otlpUrl, first.body, of('small'));
    assert.equal(taken.status, 200, taken.body.toString());
    const refused = batch(8);
    const http = await post(server.otlpUrl, refused.body, of('small'));
    assert.equal(http.status, 429);
    assert.equal(http.headers['retry-after'], '5');
    assert.match(http.body.toString('latin1'), /RATE_LIMITED: .*google\.rpc\.RetryInfo/s);
    const grpc = await call(session, refused.body, undefined, { 'x-scope-orgid': 'small' });
    assert.equal(grpc.status, 8);
    assert.match(grpc.message, /^RATE_LIMITED: .*tenant small/);
    const details = Buffer.from(String(grpc.trailers['grpc-status-details-bin']), 'base64');
    assert.ok(details.includes(Buffer.from('0a020805', 'hex')), 'RetryInfo of 5 s');
    const large = await post(server.otlpUrl, batch(40).body, of('small'));
    assert.equal(large.status, 429);
    await assertSpans(server.url, first.traces, { tenant: 'small' });
    const [[trace]] = refused.traces;
    assert.equal((await ask(`${server.url}/api/traces/${trace}`, { headers: of('small') })).status, 404);
    await metric('tempo_discarded_spans_total{reason="rate_limited",tenant="small"} 56');
    await metric('tempo_receiver_refused_spans{receiver="otlp/otlp_receiver",transport="grpc"} 8');
  });

  it('takes requests without spans, and leaves other tenants alone', async () => {
    assert.equal((await post(server.otlpUrl, Buffer.alloc(0), of('small'))).status, 200);
    const others = batch(40);
    assert.equal((await post(server.otlpUrl, others.body, of('large'))).status, 200);
    await assertSpans(server.url, others.traces, { tenant: 'large' });
  });

  it('says nothing of a retry where that is switched off', async () => {
    const http = await post(server.otlpUrl, batch(1).body, of('silent'));
    assert.equal(http.status, 429);
    assert.equal(http.headers['retry-after'], undefined);
    const grpc = await call(session, batch(1).body, undefined, { 'x-scope-orgid': 'silent' });
    assert.deepEqual([grpc.status, grpc.trailers['grpc-status-details-bin']], [8, undefined]);
  });

  it('is read again while the process runs; a bad file changes nothing', async () => {
    const good = fs.readFileSync(overrides, 'utf8');
    await metric('tempo_runtime_config_last_reload_successful 1');
    fs.writeFileSync(overrides, good.replace('burst_size_bytes: 2200', 'burst_size_byte: 3000'));
    await metric('tempo_runtime_config_last_reload_successful 0');
    assert.match(server.stderr(), /cannot read the limits of tenants again.*line 2: field burst_size_byte not found/);
    assert.equal((await post(server.otlpUrl, batch(8).body, of('small'))).status, 429);
    fs.writeFileSync(overrides, good.replace('rate_limit_bytes: 1,', 'rate_limit_bytes: 100000000,'));
    await metric('tempo_runtime_config_last_reload_successful 1');
    await metric(
      'tempo_limits_overrides{limit_name="ingestion_rate_limit_bytes",tenant="small",user="small"} 100000000',
    );
    await until('the tenant may send again', async () => {
      return (await post(server.otlpUrl, batch(8).body, of('small'))).status === 200;
    });
  });
});

describe('ids that cannot be', () => {
  it('discard all spans of the request, by reason', async () => {
    const { body, traces } = batch(3);
    const [[, [span]]] = traces;
    const bytes = Buffer.from(body);
    bytes.fill(0, bytes.indexOf(span, 0, 'hex'), bytes.indexOf(span, 0, 'hex') + 8);
    assert.equal((await post(server.otlpUrl, bytes, of('large'))).status, 400);
    await metric('tempo_discarded_spans_total{reason="invalid_span_id",tenant="large"} 3');
    const none = Buffer.from(batch(2).body);
    const at = none.indexOf(Buffer.from([0x0a, 16])) + 2;
    none.fill(0, at, at + 16);
    assert.equal((await post(server.otlpUrl, none, of('large'))).status, 400);
    await metric('tempo_discarded_spans_total{reason="invalid_trace_id",tenant="large"} 2');
  });
});

describe('the pages', () => {
  it('show what the file says, and what holds for a tenant', async () => {
    const page = async (route: string) => (await ask(server.url + route)).body.toString();
    assert.match(
      await page('/status/runtime_config'),
      /^overrides:\n {2}small:\n {4}ingestion:\n {6}rate_limit_bytes: /,
    );
    assert.match(await page('/status/runtime_config?mode=defaults'), /rate_limit_bytes: 30000000\n/);
    assert.match(await page('/status/overrides'), /<a href="\/status\/overrides\/few">few<\/a>/);
    assert.match(await page('/status/overrides/few'), /max_traces_per_user: 3\n.*max_spans_per_trace: 4\n/s);
    assert.match(await page('/status/overrides/%3Cb%3E'), /Limits of &#60;b&#62;/);
  });
});

describe('traces of a tenant', () => {
  it('max_global_traces_per_user holds where it is the lower limit', async () => {
    const three = makeBatch(next, { traces: 3, spansPerTrace: 1 });
    assert.equal((await post(server.otlpUrl, three.body, of('shared'))).status, 200);
    await metric('tempo_discarded_spans_total{reason="live_traces_exceeded",tenant="shared"} 1');
    assert.match(server.stderr(), /max live traces \(2\) exceeded for tenant shared/);
  });

  it('beyond max_traces_per_user are discarded, and the sender hears of success', async () => {
    const three = makeBatch(next, { traces: 3, spansPerTrace: 2 });
    assert.equal((await post(server.otlpUrl, three.body, of('few'))).status, 200);
    const fourth = makeBatch(next, { traces: 1, spansPerTrace: 2 });
    assert.equal((await post(server.otlpUrl, fourth.body, of('few'))).status, 200);
    assert.equal((await call(session, fourth.body, undefined, { 'x-scope-orgid': 'few' })).status, 0);
    await assertSpans(server.url, three.traces, { tenant: 'few' });
    const [[trace]] = fourth.traces;
    await assertSpans(server.url, [[trace, []]], { tenant: 'few' });
    await metric('tempo_discarded_spans_total{reason="live_traces_exceeded",tenant="few"} 4');
    assert.match(server.stderr(), /LIVE_TRACES_EXCEEDED: max live traces \(3\) exceeded for tenant few/);
    await metric('tempo_limits_overrides{limit_name="max_local_traces_per_user",tenant="few",user="few"} 3');
    // A trace that lives takes further spans, but not more than it may have.
    const [[known, spans]] = three.traces;
    const more = makeBatch(next, { traces: [known], spansPerTrace: 3 });
    assert.equal((await post(server.otlpUrl, more.body, of('few'))).status, 200);
    await assertSpans(server.url, [[known, [...spans, ...more.traces.get(known)!.slice(0, 2)]]], { tenant: 'few' });
    await metric('tempo_discarded_spans_total{reason="trace_too_many_spans",tenant="few"} 1');
  });

  it('beyond max_bytes_per_trace are cut off', async () => {
    const long = batch(20);
    assert.equal((await post(server.otlpUrl, long.body, of('short'))).status, 200);
    const [[trace, spans]] = long.traces;
    const kept = await spansOf(server.url, trace, { tenant: 'short' });
    assert.ok(kept.length > 2 && kept.length < 10, `${kept.length} spans`);
    assert.deepEqual(kept.sort(), spans.slice(0, kept.length).sort());
    await metric(`tempo_discarded_spans_total{reason="trace_too_large",tenant="short"} ${20 - kept.length}`);
  });
});

async function metric(line: string): Promise<void> {
  let text = '';
  await until(
    line,
    async () => {
      text = (await ask(`${server.url}/metrics`)).body.toString();
      return text.split('\n').includes(line);
    },
    10_000,
    () =>
      text
        .split('\n')
        .filter((one) => one.startsWith(line.split(/[{ ]/)[0]))
        .join('\n'),
  );
}
