import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { OPENCENSUS_EXPORT } from '../../src/receive/opencensus-servers.ts';
import { opencensusJsonMessages } from '../../src/receive/opencensus-json.ts';
import { vector } from '../../src/receive/vectors.fixture.ts';
import { metricOf, type ReceivingServer, startReceiving, traceOf } from './receivers.fixture.ts';
import { temporaryFolder, until } from './server.fixture.ts';
import { ask, random, randomId } from './spans.fixture.ts';

// Numbers of the cases are rows of the table of hostile inputs (spec/ingestion.md §10).

const suite = { after };
const directory = temporaryFolder(suite, 'opencensus');
const next = random(12);
let server: ReceivingServer;
let session: http2.ClientHttp2Session;

before(async () => {
  server = await startReceiving(suite, {
    directory,
    more: '  log_received_spans: {enabled: true, include_all_attributes: true}\n',
  });
  session = connect(server);
});
after(() => session.destroy());

function connect({ receivers }: ReceivingServer): http2.ClientHttp2Session {
  const made = http2.connect(`http://127.0.0.1:${receivers.opencensus}`);
  made.on('error', () => {});
  return made;
}

/** Sends a stream of messages, and ends it unless it is to stay open; resolves with its status. */
function stream(
  messages: Uint8Array[],
  headers: Record<string, string> = {},
  { path = OPENCENSUS_EXPORT, over = session, open = false } = {},
): Promise<{ status: number; answers: number }> {
  return new Promise((resolve, reject) => {
    const call = over.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let status: unknown;
    let answers = 0;
    call.on('response', (head) => (status ??= head['grpc-status']));
    call.on('trailers', (trailers) => (status = trailers['grpc-status']));
    call.on('data', () => answers++);
    call.on('error', reject);
    call.on('close', () => resolve({ status: Number(status), answers }));
    for (const message of messages) {
      const head = Buffer.alloc(5);
      head.writeUInt32BE(message.length, 1);
      call.write(head);
      call.write(message);
    }
    if (!open) call.end();
  });
}

const span = (traceId: string, more: Record<string, unknown> = {}) => ({
  traceId: Buffer.from(traceId, 'hex').toString('base64'),
  spanId: Buffer.from(randomId(next, 8), 'hex').toString('base64'),
  name: { value: 'op' },
  startTime: '2023-11-14T22:13:20Z',
  endTime: '2023-11-14T22:13:21Z',
  ...more,
});
const proto = (request: unknown): Uint8Array => opencensusJsonMessages(Buffer.from(JSON.stringify(request)))[0];
const node = { serviceInfo: { name: 'svc' } };
const newTrace = (): string => randomId(next, 16);

it('golden vector comes back by id', async () => {
  const { bytes, traceId } = vector('opencensus');
  assert.deepEqual(await stream([bytes]), { status: 0, answers: 0 });
  const [one, ...more] = (await traceOf(server, traceId)) ?? [];
  assert.equal(more.length, 0);
  assert.deepEqual([one.name, one.kind, one.resource], ['op', 'SPAN_KIND_CLIENT', { 'service.name': 'svc' }]);
  assert.deepEqual([one.startTimeUnixNano, one.endTimeUnixNano], ['1700000000000000000', '1700000000001000000']);
  const line = new RegExp(
    `span_service_name=svc span_name=op .*traceid=${traceId} .*msg=received|msg=received.*traceid=${traceId}`,
  );
  await until(
    'there is a line in the log',
    () => line.test(server.stderr()),
    5000,
    () => server.stderr(),
  );
});

describe('streams', () => {
  it('remember who sends', async () => {
    const traces = [newTrace(), newTrace(), newTrace()];
    const messages = [
      { node, resource: { labels: { a: '1' } }, spans: [span(traces[0])] },
      { spans: [span(traces[1])] },
      { node: {}, spans: [span(traces[2])] },
    ].map(proto);
    assert.equal((await stream(messages)).status, 0);
    const resources = await Promise.all(traces.map(async (id) => (await traceOf(server, id))?.[0].resource));
    assert.deepEqual(resources, [{ 'service.name': 'svc', a: '1' }, { 'service.name': 'svc', a: '1' }, { a: '1' }]);
  });
  it('take each message when it comes', async () => {
    const traceId = newTrace();
    const open = stream([proto({ node, spans: [span(traceId)] })], {}, { open: true, over: connect(server) });
    open.catch(() => {});
    await until(
      'the span is there while the stream goes on',
      async () => (await traceOf(server, traceId)) !== undefined,
    );
  });
  it('84: without a node, and without anything', async () => {
    assert.equal((await stream([proto({ spans: [span(newTrace())] })])).status, 2);
    assert.equal((await stream([])).status, 2);
    assert.equal((await stream([proto({ node: {} })])).status, 0);
  });
  it('85: a bad message after a good one', async () => {
    const [first, second] = [newTrace(), newTrace()];
    const good = (id: string) => proto({ node, spans: [span(id)] });
    assert.equal((await stream([good(first), Buffer.from('0aff', 'hex')])).status, 13);
    assert.equal((await stream([good(second), proto({ spans: [span('00'.repeat(16))] })])).status, 3);
    for (const id of [first, second]) assert.equal((await traceOf(server, id))?.length, 1);
  });
  it('other methods', async () => {
    assert.equal((await stream([], {}, { path: OPENCENSUS_EXPORT.replace('Export', 'Config') })).status, 2);
    assert.equal(
      (await stream([], {}, { path: '/opencensus.proto.agent.metrics.v1.MetricsService/Export' })).status,
      12,
    );
  });
});

describe('gateway', () => {
  const send = (body: string, method = 'POST', path = '/v1/trace', headers: Record<string, string> = {}) =>
    ask(`http://127.0.0.1:${server.receivers.opencensus}${path}`, { method, headers }, body);
  it('takes requests in a row', async () => {
    const traces = [newTrace(), newTrace()];
    const body = [{ node, spans: [span(traces[0])] }, { spans: [span(traces[1])] }]
      .map((each) => JSON.stringify(each))
      .join('\n');
    const answer = await send(body);
    assert.deepEqual([answer.status, answer.body.length], [200, 0], answer.body.toString());
    for (const id of traces) assert.deepEqual((await traceOf(server, id))?.[0].resource, { 'service.name': 'svc' });
  });
  const cases: [string, string, number, code: number, method?: string, path?: string][] = [
    ['86: garbage', 'garbage', 500, 2],
    ['86: empty', '', 500, 2],
    ['86: GET', '', 501, 12, 'GET'],
    ['another path', '{}', 404, 5, 'POST', '/v1/other'],
    ['no node', JSON.stringify({ spans: [] }), 500, 2],
    ['a trace id of zeros', JSON.stringify({ node, spans: [span('00'.repeat(16))] }), 400, 3],
  ];
  for (const [title, body, status, code, method, path] of cases)
    it(title, async () => {
      const answer = await send(body, method, path);
      const parsed = JSON.parse(answer.body.toString());
      assert.deepEqual([answer.status, (parsed.error ?? parsed).code], [status, code]);
    });
});

it('counts by receiver and transport', async () => {
  for (const transport of ['grpc', 'http'])
    assert.ok(
      (await metricOf(server, 'tempo_receiver_accepted_spans', `opencensus_receiver",transport="${transport}"`)) > 0,
    );
});

it('several tenants', async (t) => {
  const strict = await startReceiving(t, { directory: temporaryFolder(t, 'tenants'), multitenancy: true });
  const over = connect(strict);
  t.after(() => over.destroy());
  const message = proto({ node, spans: [span(newTrace())] });
  assert.equal((await stream([message], {}, { over })).status, 2);
  assert.equal((await stream([message], { 'x-scope-orgid': 'one' }, { over })).status, 0);
  const traceId = newTrace();
  const send = (headers: Record<string, string>) =>
    ask(
      `http://127.0.0.1:${strict.receivers.opencensus}/v1/trace`,
      { method: 'POST', headers },
      JSON.stringify({ node, spans: [span(traceId)] }),
    );
  assert.equal((await send({})).status, 500);
  assert.equal((await send({ 'X-Scope-OrgID': 'one' })).status, 500);
  assert.equal((await send({ 'Grpc-Metadata-X-Scope-OrgID': 'one' })).status, 200);
  assert.equal((await traceOf(strict, traceId, 'one'))?.length, 1);
  assert.equal(await traceOf(strict, traceId, 'two'), undefined);
});
