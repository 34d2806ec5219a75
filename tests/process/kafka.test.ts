import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { protoSpan } from '../../src/receive/jaeger.fixture.ts';
import { VECTORS, vector } from '../../src/receive/vectors.fixture.ts';
import { type Kafka, kafkaMissing, startKafka } from './kafka-server.fixture.ts';
import { type Json, type ReceivingServer, startReceiving, traceOf } from './receivers.fixture.ts';
import { temporaryFolder, until } from './server.fixture.ts';
import { random, randomId } from './spans.fixture.ts';
import { makeAuthority } from './certificates.fixture.ts';

const missing = kafkaMissing();
if (missing !== undefined) console.error(missing);

const suite = { after };
const directory = temporaryFolder(suite, 'kafka-receiver');
const next = random(77);

describe('Kafka', { skip: missing }, () => {
  const encodings = [
    'otlp_proto',
    'otlp_json',
    'jaeger_proto',
    'jaeger_json',
    'zipkin_proto',
    'zipkin_json',
    'zipkin_thrift',
  ];
  const secured = ['plain', 'scram-256', 'scram-512', 'mutual'];
  let kafka: Kafka;
  let server: ReceivingServer;
  // biome-ignore lint/suspicious/noExplicitAny: of the package's many type parameters none matters here.
  let producer: any;

  before(async () => {
    kafka = await startKafka(suite);
    const broker = kafka.plain;
    const { Admin, Producer } = await import('@platformatic/kafka');
    const admin = new Admin({ clientId: 'test', bootstrapBrokers: [broker] });
    await admin.createTopics({ topics: [...encodings, ...secured], partitions: 2, replicas: 1 });
    await admin.close();
    producer = new Producer({ clientId: 'test', bootstrapBrokers: [broker] });
    const receivers = encodings
      .map(
        (name) =>
          `    kafka/${name}: {brokers: ["${broker}"], initial_offset: earliest, group_id: ${name}, traces: {topic: ${name}, encoding: ${name}}}\n`,
      )
      .join('');
    server = await startReceiving(suite, { directory, multitenancy: true, receivers });
  });
  after(() => producer?.close());

  const send = (topic: string, value: Buffer, tenant = 'one') =>
    producer.send({
      messages: [{ topic, value, headers: new Map([[Buffer.from('X-Scope-OrgID'), Buffer.from(tenant)]]) }],
    });

  const hex = (): string => randomId(next, 16);
  const base64 = (id: string): string => Buffer.from(id, 'hex').toString('base64');
  const records: Record<string, (traceId: string) => Buffer> = {
    otlp_proto: (id) => renamed('otlp', id),
    otlp_json: (id) =>
      Buffer.from(
        JSON.stringify({
          resourceSpans: [{ scopeSpans: [{ spans: [{ traceId: id, spanId: '1'.repeat(16), name: 'op' }] }] }],
        }),
      ),
    jaeger_proto: (id) =>
      Buffer.from(
        protoSpan({
          traceId: BigInt(`0x${id}`),
          spanId: 5n,
          name: 'op',
          start: 1n,
          duration: 1n,
          process: { service: 'svc' },
        }),
      ),
    jaeger_json: (id) =>
      Buffer.from(
        JSON.stringify({
          ...{ traceId: base64(id), spanId: base64('1'.repeat(16)), operationName: 'op' },
          ...{ startTime: '2023-11-14T22:13:20Z', duration: '0.001s', process: { serviceName: 'svc' } },
        }),
      ),
    zipkin_proto: (id) => renamed('zipkin-proto', id),
    zipkin_json: (id) => Buffer.from(JSON.stringify([{ traceId: id, id: '1', name: 'op' }])),
    zipkin_thrift: (id) => {
      const bytes = Buffer.from(vector('zipkin-thrift').bytes);
      for (const [half, text] of [
        ['090a0b0c0d0e0fa7', id.slice(16)],
        ['0102030405060708', id.slice(0, 16)],
      ])
        bytes.set(Buffer.from(text, 'hex'), bytes.indexOf(Buffer.from(half, 'hex')));
      return bytes;
    },
  };

  function renamed(name: string, id: string): Buffer {
    const { bytes, traceId } = VECTORS.get(name)!;
    const copy = Buffer.from(bytes);
    copy.set(Buffer.from(id, 'hex'), copy.indexOf(Buffer.from(traceId, 'hex')));
    return copy;
  }

  for (const encoding of encodings)
    it(`${encoding}: found by id, in the tenant of its header, whatever stands before it`, async () => {
      const [first, second] = [hex(), hex()];
      await send(encoding, Buffer.from([0xff, 0xff, 0xff]));
      await send(encoding, records[encoding](first));
      await send(encoding, records[encoding](second), 'two');
      for (const [id, tenant] of [
        [first, 'one'],
        [second, 'two'],
      ])
        await until(
          `${id} is there`,
          async () => (await traceOf(server, id, tenant))?.length === 1,
          30_000,
          () => server.stderr(),
        );
      assert.equal(await traceOf(server, first, 'two'), undefined);
    });

  it('goes on where it was', async () => {
    assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.stderr());
    const id = hex();
    await send('otlp_proto', records.otlp_proto(id));
    const again = await server.again();
    await until(
      `${id} is there`,
      async () => (await traceOf(again, id, 'one'))?.length === 1,
      30_000,
      () => again.stderr(),
    );
    assert.doesNotMatch(again.stderr(), /passing over/, 'what was read before is not read again');
  });

  it('TLS: by name and password, by certificate; headers become attributes; strangers are told', async (t) => {
    const folder = temporaryFolder(t, 'kafka-tls');
    const { authority, user } = kafka;
    const client = authority.sign('client');
    const stranger = makeAuthority(folder, 'stranger').cert;
    const sasl = (mechanism: string, password = user.password): string =>
      `auth: {sasl: {username: ${user.username}, password: "${password}", mechanism: ${mechanism}}}`;
    const trusted = `ca_file: ${authority.cert}`;
    const receiver = (topic: string, broker: string, tls: string, more: string, name = topic): string =>
      `    kafka/${name}:
      brokers: ["${broker}"]
      initial_offset: earliest
      group_id: ${name}
      traces: {topic: ${topic}}
      header_extraction: {extract_headers: true, headers: [origin, absent]}
      tls: {${tls}}
${more === '' ? '' : `      ${more}\n`}`;
    const other = await startReceiving(t, {
      directory: folder,
      multitenancy: true,
      receivers: [
        receiver('plain', kafka.saslTls, trusted, sasl('PLAIN')),
        receiver('scram-256', kafka.saslTls, `${trusted}, min_version: "1.3"`, sasl('SCRAM-SHA-256')),
        receiver('scram-512', kafka.saslTls, 'insecure_skip_verify: true', sasl('SCRAM-SHA-512')),
        receiver('mutual', kafka.mutualTls, `${trusted}, cert_file: ${client.cert}, key_file: ${client.key}`, ''),
        receiver('plain', kafka.saslTls, trusted, sasl('PLAIN', 'wrong'), 'wrong-password'),
        receiver('plain', kafka.saslTls, `ca_file: ${stranger}`, sasl('PLAIN'), 'wrong-authority'),
      ].join(''),
    });
    for (const topic of secured) {
      const id = hex();
      const headers = new Map([
        [Buffer.from('X-Scope-OrgID'), Buffer.from('one')],
        [Buffer.from('origin'), Buffer.from(`from ${topic}`)],
      ]);
      await producer.send({ messages: [{ topic, value: records.otlp_proto(id), headers }] });
      let spans: Json[] | undefined;
      await until(
        `${id} is there`,
        async () => (spans = await traceOf(other, id, 'one'))?.length === 1,
        30_000,
        () => other.stderr(),
      );
      assert.deepEqual(spans?.[0].resource, { 'service.name': 'svc', 'kafka.header.origin': `from ${topic}` });
    }
    for (const [name, reason] of [
      ['wrong-password', 'authentication failed'],
      ['wrong-authority', '(?:certificate|verify)'],
    ])
      await until(
        `${name} is told`,
        () => new RegExp(`kafka/${name} msg="cannot read from Kafka at .*${reason}`, 'i').test(other.stderr()),
        30_000,
        () => other.stderr(),
      );
  });
});
