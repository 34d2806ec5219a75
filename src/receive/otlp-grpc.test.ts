import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import * as grpcJs from '@grpc/grpc-js';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base';
import { BasicTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { VivaceError } from '../runtime/errors.ts';
import { grpcRouter } from '../wire/grpc.ts';
import { type Listener, listen } from '../wire/listener.ts';
import type { Accept, Receiver } from './accept.ts';
import { OTLP_EXPORT, otlpGrpc } from './otlp-grpc.ts';
import { countSpans } from './otlp-scan.ts';

const GOLDEN = Buffer.from(
  '0a660a170a150a0c736572766963652e6e616d6512050a03737663124b0a050a036c696212420a100102030405060708090a0b0c0d0e0fa1120811121314151617182a026f7030033900002a36fe9c97174140423936fe9c97174a080a016b12030a01767a021802',
  'hex',
);

const taken: { tenant: string; body: Buffer; from: Receiver }[] = [];
const counted: string[] = [];
let failure: VivaceError | undefined;

const accept: Accept = async (tenant, body, from) => {
  const moved = structuredClone(body, { transfer: [body.buffer] });
  if (failure !== undefined) throw failure;
  const spans = countSpans(moved);
  if (spans < 0) throw new VivaceError('undecodable', 'broken protobuf');
  taken.push({ tenant, body: Buffer.from(moved), from });
  return spans;
};

type Export = (body: Buffer, metadata: grpcJs.Metadata) => Promise<Buffer>;

let plain: Listener;
let tenants: Listener;
let clients: grpcJs.Client[];
let send: Export;
let sendToTenants: Export;

before(async () => {
  const hooks = {
    accept,
    onAccepted: (from: Receiver, spans: number) => counted.push(`${from.receiver} ${from.transport} +${spans}`),
    onRefused: (from: Receiver, spans: number) => counted.push(`${from.receiver} ${from.transport} -${spans}`),
  };
  const open = (multitenancy: boolean) =>
    listen({ host: '127.0.0.1', port: 0, grpc: grpcRouter(otlpGrpc({ ...hooks, multitenancy })) });
  [plain, tenants] = [await open(false), await open(true)];
  clients = [plain, tenants].map(
    ({ port }) => new grpcJs.Client(`127.0.0.1:${port}`, grpcJs.credentials.createInsecure()),
  );
  const as = (client: grpcJs.Client): Export => {
    const same = (bytes: Buffer) => bytes;
    return promisify((body: Buffer, metadata: grpcJs.Metadata, done: grpcJs.requestCallback<Buffer>) =>
      client.makeUnaryRequest(OTLP_EXPORT, same, same, body, metadata, done),
    ) as Export;
  };
  [send, sendToTenants] = clients.map(as);
});

after(async () => {
  for (const client of clients) client.close();
  await Promise.all([plain.close(0), tenants.close(0)]);
});

function metadata(...values: string[]): grpcJs.Metadata {
  const sent = new grpcJs.Metadata();
  for (const value of values) sent.add('x-scope-orgid', value);
  return sent;
}

it('takes the golden vector and answers with an empty partial success', async () => {
  taken.length = counted.length = 0;
  assert.equal((await send(GOLDEN, metadata('ignored'))).toString('hex'), '0a00');
  assert.ok(taken[0].body.equals(GOLDEN));
  assert.equal(taken[0].tenant, 'single-tenant');
  assert.deepEqual(counted, ['otlp/otlp_receiver grpc +1']);
});

describe('refusals', () => {
  const cases: [VivaceError, number][] = [
    [new VivaceError('undecodable', 'a'), 13],
    [new VivaceError('invalid', 'b'), 3],
    [new VivaceError('unavailable', 'c'), 14],
    [new VivaceError('exhausted', 'RATE_LIMITED: d', { retryAfterMs: 5000 }), 8],
  ];
  for (const [error, code] of cases)
    it(error.code, async () => {
      counted.length = 0;
      failure = error;
      const seen = (await send(GOLDEN, metadata()).catch((thrown) => thrown)) as grpcJs.ServiceError;
      failure = undefined;
      assert.deepEqual([seen.code, seen.details], [code, error.message]);
      const details = seen.metadata.get('grpc-status-details-bin');
      assert.equal(details.length, error.retryAfterMs === undefined ? 0 : 1);
      if (details.length > 0) assert.ok((details[0] as Buffer).includes(Buffer.from('0a020805', 'hex')));
      assert.deepEqual(counted, error.code === 'undecodable' ? [] : ['otlp/otlp_receiver grpc -1']);
    });

  for (const hex of ['0aff', '0a80c8afa025', '0affffffffffffffffff01', '0e', '0f', '0c'])
    it(`bytes ${hex}`, async () => {
      const seen = (await sendToTenants(Buffer.from(hex, 'hex'), metadata()).catch(
        (thrown) => thrown,
      )) as grpcJs.ServiceError;
      assert.equal(seen.code, 13);
    });
});

describe('tenants', () => {
  const cases: [string[], number, string][] = [
    [['a'], 0, 'a'],
    [['a:x=y'], 0, 'a'],
    [[], 14, 'no org id'],
    [['a', 'b'], 14, 'no org id'],
    [['a|b'], 3, 'multiple org IDs present'],
    [['..'], 3, "tenant ID is '.' or '..'"],
  ];
  for (const [values, code, text] of cases)
    it(JSON.stringify(values), async () => {
      taken.length = 0;
      const seen = (await sendToTenants(GOLDEN, metadata(...values)).catch((thrown) => thrown)) as grpcJs.ServiceError;
      if (code === 0) assert.equal(taken[0].tenant, text);
      else assert.deepEqual([seen.code, seen.details, taken.length], [code, text, 0]);
    });

  it('do not matter when there are no spans', async () => {
    assert.equal((await sendToTenants(Buffer.alloc(0), metadata())).toString('hex'), '0a00');
  });
});

for (const compression of [CompressionAlgorithm.NONE, CompressionAlgorithm.GZIP])
  it(`the official exporter, compression ${compression}`, async () => {
    taken.length = 0;
    const exporter = new OTLPTraceExporter({ url: `http://127.0.0.1:${plain.port}`, compression });
    const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    const span = provider.getTracer('lib').startSpan('checkout', { attributes: { text: 'long '.repeat(1000) } });
    span.end();
    await provider.forceFlush();
    await provider.shutdown();
    assert.equal(taken.length, 1);
    assert.ok(taken[0].body.includes(Buffer.from(span.spanContext().traceId, 'hex')));
  });
