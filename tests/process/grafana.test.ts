/** What a stock Grafana asks a data source of type Tempo, in its order (spec/api.md §13), against a real server. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { credentials, Client as GrpcClient } from '@grpc/grpc-js';
import { ProtoReader, ProtoWriter, tagOf, WIRE_BYTES } from '../../src/wire/protobuf.ts';
import { type Cleanup, type Server, startServer, temporaryFolder } from './server.fixture.ts';
import { ask, type Batch, makeBatch, post, random } from './spans.fixture.ts';
import { type Message, type StreamingClient, streamingClient } from './streaming-client.fixture.ts';

const next = random(13);
const JSON_ONLY = { Accept: 'application/json' };

describe('what Grafana asks, in its order', () => {
  let server: Server;
  let client: StreamingClient;
  const sent: Batch[] = [];
  const works: (() => void | Promise<void>)[] = [];
  const cleanup: Cleanup = { after: (work) => void works.push(work) };
  const nowSeconds = Math.floor(Date.now() / 1000);
  const range = { start: nowSeconds - 900, end: nowSeconds + 60 };
  const shop = '{ resource.service.name = "shop" && span.test.number != nil }';

  before(async () => {
    server = await startServer(cleanup, {
      directory: temporaryFolder(cleanup, 'grafana'),
      // Every look at a block is told of.
      flags: ['--stream-over-http-enabled=true', '--vivace.progress-interval=0s'],
    });
    // Three blocks and live data.
    for (let i = 0; i < 4; i++) {
      const batch = makeBatch(next, { traces: 6, spansPerTrace: 4, startMs: Date.now() - 60_000 * (4 - i) });
      assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
      sent.push(batch);
      if (i < 3) assert.equal((await ask(`${server.url}/flush`)).status, 204);
    }
    client = streamingClient(`127.0.0.1:${server.ports.api}`);
  });

  after(async () => {
    client.close();
    for (let work = works.pop(); work !== undefined; work = works.pop()) await work();
  });

  const json = async (route: string, headers: Record<string, string> = JSON_ONLY): Promise<Message> => {
    const answer = await ask(`${server.url}${route}`, { headers });
    assert.equal(answer.status, 200, `${route}: ${answer.body}`);
    return JSON.parse(answer.body.toString());
  };

  it('1 · the release, by which features are switched on', async () => {
    const { version } = await json('/api/status/buildinfo');
    assert.match(version, /^\d+\.\d+\.\d+/);
  });

  it('2 · Save & test: echo, and a streamed search that must not fail', async () => {
    assert.equal((await ask(`${server.url}/api/echo`)).status, 200);
    const found = await client.call('Search', { Query: '{}', Limit: 1, ...range }).ended;
    assert.equal(found.at(-1)!.traces.length, 1);
  });

  it('3 · names of tags, with intrinsics', async () => {
    const { scopes } = await json('/api/v2/search/tags?limit=5000');
    const names = (of: string): string[] => scopes.find(({ name }: { name: string }) => name === of)?.tags;
    assert.ok(names('intrinsic').includes('status'));
    assert.deepEqual(names('resource'), ['service.name']);
    assert.deepEqual(names('span'), ['test.number', 'test.trace']);
    const { tagNames } = await json('/api/search/tags');
    assert.deepEqual(tagNames, ['service.name', 'test.number', 'test.trace']);
    const messages = await client.call('SearchTagsV2', { maxTagsPerScope: 5000, ...range }).ended;
    assert.deepEqual(messages.at(-1)!.scopes, scopes);
  });

  it('4 · values of a tag, whose name may be encoded twice', async () => {
    for (const name of ['resource.service.name', 'resource%2Eservice%2Ename', 'resource%252Eservice%252Ename']) {
      const { tagValues } = await json(`/api/v2/search/tag/${name}/values?limit=5000`);
      assert.deepEqual(tagValues, [{ type: 'string', value: 'shop' }]);
    }
    const q = encodeURIComponent('{ name = "db.query" }');
    const { tagValues } = await json(`/api/v2/search/tag/kind/values?q=${q}&start=${range.start}&end=${range.end}`);
    assert.ok(tagValues.every(({ type }: { type: string }) => type === 'keyword'));
    const request = { tagName: 'span.test.trace', ...range };
    const messages = await client.call('SearchTagValuesV2', request).ended;
    const all = sent.flatMap(({ traces }) => [...traces.keys()]);
    assert.deepEqual(
      messages
        .at(-1)!
        .tagValues.map(({ value }: { value: string }) => value)
        .sort(),
      all.sort(),
    );
    assert.ok(messages.length > 1, 'values come while blocks are looked at');
  });

  it('5 and 6 · a search, at once and streamed, finds the same', async () => {
    const query = new URLSearchParams({
      q: shop,
      limit: '100',
      spss: '3',
      start: String(range.start),
      end: String(range.end),
    });
    const { traces } = await json(`/api/search?${query}`);
    assert.equal(traces.length, 24);
    const [first] = traces;
    assert.equal(typeof first.startTimeUnixNano, 'string');
    assert.equal(first.rootServiceName, 'shop');
    assert.equal(first.rootTraceName, 'GET /checkout');
    assert.equal(first.spanSets[0].spans.length, 3);
    assert.match(first.spanSets[0].spans[0].spanID, /^[0-9a-f]{16}$/);
    assert.match(first.spanSets[0].spans[0].durationNanos, /^\d+$/);
    assert.ok(first.spanSets[0].spans[0].attributes.some(({ key }: { key: string }) => key === 'test.number'));

    const call = client.call('Search', { Query: shop, Limit: 100, SpansPerSpanSet: 3, ...range });
    const messages = await call.ended;
    assert.ok(messages.length >= 4, `${messages.length} messages`);
    const ids = (list: Message[]): string[] => list.map(({ traceID }) => traceID);
    const final = messages.at(-1)!;
    assert.deepEqual(ids(final.traces), ids(traces));
    assert.deepEqual(final.traces[0].spanSets[0].matched, first.spanSets[0].matched);
    // Nothing comes twice before the end, and progress grows up to all of it.
    const partial = messages.slice(0, -1).flatMap((message) => ids(message.traces));
    assert.equal(new Set(partial).size, partial.length);
    assert.ok(partial.length > 0);
    const progress = messages.map(({ metrics }) => [metrics.completedJobs, metrics.totalJobs]);
    for (const [done, total] of progress) assert.ok(done <= total, JSON.stringify(progress));
    assert.deepEqual(
      progress.map(([done]) => done),
      progress.map(([done]) => done).sort((a, b) => a - b),
    );
    assert.equal(final.metrics.completedJobs, final.metrics.totalJobs);
    assert.equal(final.metrics.totalBlocks, 3);
    assert.match(String(call.trailers.get('x-vivace-receipt')[0]), /^complete, blocks=3, blocks-read=3,/);
    await assert.rejects(client.call('Search', { Query: '{ nonsense', Limit: 20, ...range }).ended, { code: 3 });
  });

  it('7 · a trace by its id, as protobuf; an unknown one is empty and not an error', async () => {
    const headers = { Accept: 'application/protobuf' };
    const [[id, spans]] = sent[0].traces;
    const found = await ask(`${server.url}/api/v2/traces/${id}`, { headers });
    assert.equal(found.headers['content-type'], 'application/protobuf');
    for (const span of spans) assert.ok(found.body.includes(Buffer.from(span, 'hex')));
    assert.ok(fieldsOf(found.body).has(1));
    const missing = await ask(`${server.url}/api/v2/traces/${'ab'.repeat(16)}`, { headers });
    assert.equal(missing.status, 200);
    assert.ok(fieldsOf(missing.body).has(1), 'trace is read without a look whether it is there');
    assert.equal((await ask(`${server.url}/api/traces/${'ab'.repeat(16)}`, { headers })).status, 404);
    assert.deepEqual([...fieldsOf((await ask(`${server.url}/api/traces/${id}`, { headers })).body)], [1]);
  });

  it('8 · metrics over a range and at an instant, at once and streamed', async () => {
    const q = '{ name = "db.query" } | rate() by (resource.service.name)';
    const times = `start=${range.start}&end=${range.end - 120}`;
    const whole = await json(`/api/metrics/query_range?q=${encodeURIComponent(q)}&${times}&step=60s&exemplars=5`);
    assert.deepEqual(whole.series[0].labels, [{ key: 'resource.service.name', value: { stringValue: 'shop' } }]);
    const nanoseconds = { start: `${range.start}000000000`, end: `${range.end - 120}000000000` };
    const request = { query: q, ...nanoseconds, step: 60e9, exemplars: 5 };
    const messages = await client.call('MetricsQueryRange', request).ended;
    assert.ok(messages.length > 1, 'series come while blocks are looked at');
    const final = messages.at(-1)!;
    assert.equal(final.metrics.completedJobs, final.metrics.totalJobs);
    const valuesOf = (samples: Message[], time: string): string[] =>
      samples.map((sample) => `${sample[time]} ${sample.value ?? 0}`);
    assert.deepEqual(
      valuesOf(final.series[0].samples, 'timestamp_ms'),
      valuesOf(whole.series[0].samples, 'timestampMs'),
    );
    assert.ok(whole.series[0].samples.some(({ value }: Message) => value > 0));
    for (const { labels } of whole.series[0].exemplars) assert.equal(labels[0].key, 'trace:id');

    // Its decoder refuses what it does not know, also beside a receipt.
    const instant = await json(`/api/metrics/query?q=${encodeURIComponent(q)}&${times}`);
    for (const key of Object.keys(instant)) assert.match(key, /^(series|metrics|status|message)$/);
    for (const one of instant.series) for (const key of Object.keys(one)) assert.match(key, /^(labels|value)$/);
    for (const key of Object.keys(instant.metrics))
      assert.match(key, /^(inspected(Traces|Bytes|Spans)|total(Blocks|Jobs|BlockBytes)|completedJobs)$/);
    const [last] = (await client.call('MetricsQueryInstant', { query: q, ...nanoseconds }).ended).slice(-1);
    assert.equal(last.series[0].value, instant.series[0].value);
    await assert.rejects(client.call('MetricsQueryRange', { query: '{}', ...nanoseconds }).ended, { code: 2 });
  });

  it('10 · what the drilldown apps ask', async () => {
    const times = `start=${range.start}&end=${range.end - 120}&step=60s`;
    const series = async (q: string): Promise<Message[]> =>
      (await json(`/api/metrics/query_range?q=${encodeURIComponent(q)}&${times}`)).series;
    const keys = (list: Message[]): string[] => [
      ...new Set(list.flatMap(({ labels }) => labels.map(({ key }: Message) => key))),
    ];
    const roots = '{ nestedSetParent<0 && true }';
    assert.equal((await series(`${roots} | rate() with(sample=true)`)).length, 1);
    assert.deepEqual(keys(await series(`${roots} | histogram_over_time(duration) with(sample=true)`)), ['__bucket']);
    assert.deepEqual(keys(await series(`${roots} | quantile_over_time(duration, 0.9)`)), ['p']);
    assert.ok(keys(await series(`${roots} | compare({ name = "GET /checkout" })`)).includes('__meta_type'));
    const q = `${roots} && {} | select(rootServiceName, resource.service.name)`;
    const { traces } = await json(
      `/api/search?q=${encodeURIComponent(q)}&limit=5&spss=10&start=${range.start}&end=${range.end}`,
    );
    assert.equal(traces.length, 5);
    const filter = encodeURIComponent('{ nestedSetParent<0 }');
    const tags = await json(
      `/api/v2/search/tag/resource.service.name/values?q=${filter}&start=${range.start}&end=${range.end}`,
    );
    assert.deepEqual(tags.tagValues, [{ type: 'string', value: 'shop' }]);
  });

  it('answers say what they rest on, in a header, and in the body for who asks', async () => {
    const query = `q=${encodeURIComponent(shop)}&limit=100&start=${range.start}&end=${range.end}`;
    const plain = await ask(`${server.url}/api/search?${query}`);
    const header = String(plain.headers['x-vivace-receipt']);
    const [, until] = /^complete, blocks=3, blocks-read=3, blocks-pruned=0, .*, live-until=@(\d+)$/.exec(header) ?? [];
    assert.ok(Number(until) >= nowSeconds, header);
    assert.ok(!plain.body.includes('receipt'), 'strict decoders know no such member');
    const { metrics } = await json(`/api/search?${query}&receipt=true`);
    assert.equal(metrics.receipt.blocks.read, 3);
    assert.deepEqual(metrics.receipt.missing, []);
    const [[id]] = sent[3].traces;
    for (const route of [
      `/api/v2/traces/${id}`,
      `/api/traces/${id}`,
      '/api/v2/search/tags',
      '/api/search/tag/x/values',
    ])
      assert.match(String((await ask(`${server.url}${route}`)).headers['x-vivace-receipt']), /^complete, blocks=/);
  });

  it('explains what it did', async () => {
    const query = `q=${encodeURIComponent(shop)}&limit=100&start=${range.start}&end=${range.end}`;
    const {
      explain: [told],
    } = await json(`/api/explain?${query}`);
    assert.equal(told.plan[0].reads[0].what, 'resource.service.name');
    assert.deepEqual(told.blocks, { known: 3, wanted: 3 });
    const read = told.segments.filter(({ kind, state }: Message) => kind === 'block' && state === 'read');
    assert.equal(read.length, 3);
    const number = read[0].columns.find(({ name }: Message) => name === 'span.test.number (string)');
    assert.deepEqual([number.pages > 0, number.pagesAll, number.values > 0], [true, 1, true]);
    assert.deepEqual(told.phases.map(({ name }: Message) => name).slice(0, 4), [
      'parse',
      'ask for what there is',
      'open blocks',
      'evaluate',
    ]);
    const phases = told.phases.map(({ name }: Message) => name);
    assert.ok(phases.includes(told.plan[0].stage) && phases.includes('describe traces'), phases.join());
    const text = await ask(`${server.url}/api/explain?${query}`, { headers: { Accept: 'text/plain' } });
    assert.match(
      text.body.toString(),
      /^tenant single-tenant: .*\n\nplan\n {2}1 {2}\{ \(resource.service.name = `shop`\)/,
    );
    const beside = await json(`/api/search?${query}&explain=true`);
    assert.deepEqual([beside.traces.length, beside.explain.length], [24, 1]);
    const [[id]] = sent[0].traces;
    assert.equal((await json(`/api/v2/traces/${id}?explain=true`)).explain[0].segments.length, 4);
    const metrics = await json(`/api/explain?q=${encodeURIComponent('{} | rate()')}`);
    assert.equal(metrics.explain[0].plan[1].stage, 'rate()');
    assert.equal((await ask(`${server.url}/api/explain?q=%7B`)).status, 400);
  });

  it('a block that cannot be read is left out and named', async () => {
    const [file] = fs.globSync(path.join(server.dataDirectory, 'blocks/*/*/data.parquet'));
    const folder = path.dirname(file);
    const block = path.basename(folder);
    // Its list of traces, too, or it would still be known which ones it does not hold.
    for (const name of ['data.parquet', 'traces']) {
      const damaged = fs.readFileSync(path.join(folder, name));
      damaged.fill(0xff, 4, damaged.length - 8);
      fs.writeFileSync(path.join(folder, name), damaged);
    }
    const second = await startServer(cleanup, {
      directory: path.dirname(server.dataDirectory),
      target: 'query-frontend',
    });
    const query = `q=${encodeURIComponent(shop)}&limit=100&start=${range.start}&end=${range.end}`;
    const answer = await ask(`${second.url}/api/search?${query}`);
    assert.equal(answer.status, 200, answer.body.toString());
    const { traces, metrics } = JSON.parse(answer.body.toString());
    assert.equal(traces.length, 18);
    assert.equal(metrics.totalJobs - metrics.completedJobs, 1);
    const header = String(answer.headers['x-vivace-receipt']);
    assert.match(header, new RegExp(`^complete=\\?0, blocks=3, blocks-read=2, .*missing=\\("block ${block}: `));
    // Whoever finds it first says so: the asked process, or the one that merges, which puts it into quarantine.
    assert.match(second.stderr() + server.stderr(), new RegExp(`block ${block} (?:cannot be read|.*quarantine)`));
    // Whether a trace exists cannot be said when it may be in that block.
    const unknown = 'ab'.repeat(16);
    assert.equal((await ask(`${second.url}/api/traces/${unknown}`)).status, 500);
    const { status, message } = JSON.parse((await ask(`${second.url}/api/v2/traces/${unknown}`)).body.toString());
    assert.deepEqual([status, message.includes(block)], ['PARTIAL', true]);
  });
});

it('streams are on the gRPC port, listed by reflection, and not on the HTTP port unless configured', async (t) => {
  const server = await startServer(t, { directory: temporaryFolder(t, 'grafana-ports') });
  const range = { start: 1, end: 2 };
  const inside = streamingClient(`127.0.0.1:${server.ports.internalGrpc}`);
  const outside = streamingClient(`127.0.0.1:${server.ports.api}`);
  t.after(() => inside.close());
  t.after(() => outside.close());
  assert.equal((await inside.call('Search', { Query: '{}', ...range }).ended).length, 1);
  await assert.rejects(outside.call('Search', { Query: '{}', ...range }).ended);
  assert.ok((await listed(`127.0.0.1:${server.ports.internalGrpc}`)).includes('tempopb.StreamingQuerier'));
  const { body } = await ask(`${server.url}/metrics`);
  assert.match(body.toString(), /tempo_request_duration_seconds_count\{.*route="\/tempopb.StreamingQuerier\/Search"/);
});

/** Services that reflection tells of. */
async function listed(address: string): Promise<string> {
  const client = new GrpcClient(address, credentials.createInsecure());
  const out = new ProtoWriter();
  out.stringField(tagOf(7, WIRE_BYTES), '*');
  const pass = (bytes: Buffer): Buffer => bytes;
  const stream = client.makeBidiStreamRequest('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', pass, pass);
  stream.write(Buffer.from(out.finish()));
  const [answer] = await new Promise<Buffer[]>((resolve, reject) => {
    stream.once('data', (data: Buffer) => resolve([data]));
    stream.once('error', reject);
  });
  stream.end();
  client.close();
  return answer.toString('latin1');
}

/** Numbers of the fields of a message. */
function fieldsOf(message: Uint8Array): Set<number> {
  const fields = new Set<number>();
  const reader = new ProtoReader(message);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    fields.add(tag >>> 3);
    reader.skip(tag);
  }
  return fields;
}
