import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { metricOf, traceOf } from './receivers.fixture.ts';
import { freePorts, startServer, temporaryFolder, until } from './server.fixture.ts';
import { makeBatch, post, random } from './spans.fixture.ts';

it('a second OTLP receiver has settings of its own; names are counted, refused spans logged', async (t) => {
  const directory = temporaryFolder(t, 'keys');
  const { http: second } = await freePorts();
  const config = path.join(directory, 'config.yaml');
  fs.writeFileSync(
    config,
    `distributor:
  receivers:
    otlp: {protocols: {grpc: , http: }}
    otlp/2:
      protocols:
        http: {endpoint: "127.0.0.1:${second}", traces_url_path: /spans, max_request_body_size: 1000}
  metric_received_spans: {enabled: true, root_only: true}
  log_discarded_spans: {enabled: true, include_all_attributes: true}
overrides: {defaults: {ingestion: {rate_limit_bytes: 20000, burst_size_bytes: 20000}}}
`,
  );
  const server = await startServer(t, { directory, flags: [`--config.file=${config}`] });
  const next = random(3);
  const small = makeBatch(next, { traces: 1, spansPerTrace: 2 });
  const large = makeBatch(next, { traces: 1, spansPerTrace: 3, textBytes: 500 });
  const tooLarge = makeBatch(next, { traces: 1, spansPerTrace: 3, textBytes: 8000 });
  const otlp2 = `http://127.0.0.1:${second}`;
  assert.equal((await post(`${otlp2}/spans`, small.body)).status, 200);
  assert.equal((await post(`${otlp2}/v1/traces`, small.body)).status, 404);
  assert.equal((await post(`${otlp2}/spans`, large.body)).status, 400, 'above its max_request_body_size');
  assert.equal((await post(server.otlpUrl, large.body)).status, 200, 'which the other one does not have');
  for (const batch of [small, large])
    for (const [id, spans] of batch.traces) assert.equal((await traceOf(server, id))?.length, spans.length);
  assert.equal(await metricOf(server, 'tempo_receiver_accepted_spans', 'receiver="otlp/2/otlp_receiver"'), 2);
  assert.equal(await metricOf(server, 'tempo_receiver_accepted_spans', 'receiver="otlp/otlp_receiver"'), 3);

  assert.equal(await metricOf(server, 'tempo_distributor_debug_spans_received_total', 'name="GET /checkout"'), 2);
  assert.equal(await metricOf(server, 'tempo_distributor_debug_spans_received_total'), 2, 'only roots');

  assert.equal((await post(server.otlpUrl, tooLarge.body)).status, 429);
  const [[traceId]] = [...tooLarge.traces];
  await until('each refused span has a line', () => {
    const lines = server
      .stderr()
      .split('\n')
      .filter((line) => line.includes(traceId) && line.includes('msg=discarded'));
    return (
      lines.length === 3 &&
      lines.every((line) => line.includes('tenant=single-tenant') && line.includes('span_service_name=shop'))
    );
  });
  assert.doesNotMatch(server.stderr(), /no effect yet/);
});
