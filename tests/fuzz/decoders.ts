/** Every decoder of strangers' bytes, with valid requests to begin with: small ones, and large ones that cost it much. */
import { Appender } from '../../src/cut/append.ts';
import { LiveColumns } from '../../src/cut/columns.ts';
import { protoRequest, thriftBatch } from '../../src/receive/jaeger.fixture.ts';
import { jaegerJsonToOtlp } from '../../src/receive/jaeger-json.ts';
import { JaegerProto } from '../../src/receive/jaeger-proto.ts';
import { JaegerThrift } from '../../src/receive/jaeger-thrift.ts';
import { DatagramBatch } from '../../src/receive/jaeger-udp.ts';
import { OpencensusStream } from '../../src/receive/opencensus.ts';
import { opencensusJsonMessages } from '../../src/receive/opencensus-json.ts';
import { otlpJsonToProto } from '../../src/receive/otlp-json.ts';
import { vector } from '../../src/receive/vectors.fixture.ts';
import { zipkinJsonToOtlp } from '../../src/receive/zipkin-json.ts';
import { ZipkinProto } from '../../src/receive/zipkin-proto.ts';
import { zipkinV1JsonToOtlp } from '../../src/receive/zipkin-v1-json.ts';
import { zipkinV1ThriftToOtlp } from '../../src/receive/zipkin-v1-thrift.ts';
import { ProtoWriter } from '../../src/wire/protobuf.ts';
import { struct, thriftBytes, thriftMessage } from '../../src/wire/thrift.fixture.ts';
import { ThriftBinary, ThriftCompact } from '../../src/wire/thrift.ts';

export interface Decoder {
  name: string;
  seeds: readonly Uint8Array[];
  /** Tens of kilobytes: many of everything, keys that are made to collide, values within values. */
  large: readonly Uint8Array[];
  decode(bytes: Uint8Array): Uint8Array;
}

const ids = { traceId: 0x0102030405060708090a0b0c0d0e0f10n, spanId: 0x11n };
const jaeger = {
  ...{ ...ids, name: 'op', start: 1_700_000_000_000_000n, duration: 9n, flags: 1 },
  tags: [
    ['a', 'x'],
    ['error', true],
    ['n', 5n],
    ['d', 1.5],
    ['http.status_code', 404n],
  ] as [string, string][],
  logs: [{ time: 5n, fields: [['event', 'e']] as [string, string][] }],
  references: [{ type: 'follows_from' as const, spanId: 5n }],
};
const batch = thriftBatch({ service: 's', tags: [['hostname', 'h']] }, [jaeger, jaeger]);
const endpoint = { serviceName: 'svc', ipv4: '1.2.3.4', ipv6: '::1', port: 80 };
const zipkin = {
  ...{ traceId: '0a', id: '11', parentId: '1', name: 'op', kind: 'CLIENT', timestamp: 5, duration: 7 },
  ...{ localEndpoint: endpoint, remoteEndpoint: endpoint, annotations: [{ timestamp: 3, value: 'n|{"a":1}|4' }] },
  tags: {
    a: '\u00e4\n',
    n: '12',
    error: 'true',
    'host.name': 'h',
    'otlp.link.0': `${'1'.repeat(32)}|${'2'.repeat(16)}||{"a":1}|0`,
  },
};
const zipkinV1 = {
  ...{ traceId: '000000000000000a', id: '0000000000000011', name: 'op' },
  annotations: [
    { timestamp: 5, value: 'sr', endpoint },
    { timestamp: 6, value: 'x' },
  ],
  binaryAnnotations: [
    { key: 'a', value: 'b', endpoint },
    { key: 'sa', value: true },
  ],
};
const jaegerJson = {
  ...{ traceId: Buffer.alloc(16, 1).toString('base64'), spanId: Buffer.alloc(8, 2).toString('base64') },
  ...{ operationName: 'op', startTime: '2023-11-14T22:13:20Z', duration: '0.5s' },
  tags: [
    { key: 'a', vStr: 'x' },
    { key: 'b', vType: 'INT64', vInt64: '5' },
  ],
  logs: [{ timestamp: '2023-11-14T22:13:20Z', fields: [{ key: 'event', vStr: 'e' }] }],
  process: { serviceName: 's' },
};
const census = {
  node: { serviceInfo: { name: 'svc' }, attributes: { a: 'x' } },
  spans: [
    {
      ...{ traceId: Buffer.alloc(16, 1).toString('base64'), spanId: Buffer.alloc(8, 2).toString('base64') },
      ...{ name: { value: 'op' }, startTime: '2023-11-14T22:13:20Z', status: { code: 5 } },
      attributes: { attributeMap: { s: { stringValue: { value: 'x' } }, i: { intValue: 5 } } },
    },
  ],
};
const otlp = {
  resourceSpans: [
    {
      resource: { attributes: [{ key: 'service.name', value: { stringValue: 'svc' } }] },
      scopeSpans: [
        {
          spans: [
            {
              traceId: 'a'.repeat(32),
              spanId: 'b'.repeat(16),
              name: 'op',
              kind: 2,
              startTimeUnixNano: '5',
              attributes: [{ key: 'l', value: { arrayValue: { values: [{ intValue: 1 }, { doubleValue: 1.5 }] } } }],
            },
          ],
        },
      ],
    },
  ],
};
const text = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

/** Keys that are the same as far as the tables of tags hash them. */
const KEYS = many(1500, (i) => `${'k'.repeat(40)}${String(i).padStart(5, '0')}`);
const crowded = { ...jaeger, tags: KEYS.map((key, i): [string, string] => [key, `v${i}`]) };
const eventful = {
  ...jaeger,
  logs: many(500, () => jaeger.logs[0]),
  references: many(500, () => jaeger.references[0]),
};
const jaegerMany = [crowded, eventful, ...many(200, () => jaeger)];
const thriftMany = thriftBatch({ service: 's', tags: crowded.tags }, jaegerMany);
const deep = `${'['.repeat(9000)}${']'.repeat(9000)}`;
const zipkinMany = [
  { ...zipkin, tags: Object.fromEntries(KEYS.map((key) => [key, '\u00e4"\n'])) },
  { ...zipkin, annotations: many(500, () => zipkin.annotations[0]) },
  ...many(200, (i) => ({ ...zipkin, localEndpoint: { serviceName: `s${i}` } })),
];
const zipkinV1Many = [
  { ...zipkinV1, binaryAnnotations: KEYS.map((key) => ({ key, value: 'x', endpoint })) },
  { ...zipkinV1, annotations: many(500, () => zipkinV1.annotations[1]) },
  ...many(200, () => zipkinV1),
];
const censusMany = {
  ...census,
  spans: [
    {
      ...census.spans[0],
      attributes: { attributeMap: Object.fromEntries(KEYS.map((key) => [key, { intValue: 5 }])) },
    },
    ...many(200, () => census.spans[0]),
  ],
};
const [otlpResource] = otlp.resourceSpans;
const [otlpScope] = otlpResource.scopeSpans;
let nested: unknown = { intValue: 1 };
for (let depth = 0; depth < 200; depth++) nested = { arrayValue: { values: [nested] } };
const otlpSpan = {
  ...otlpScope.spans[0],
  attributes: [{ key: 'nested', value: nested }, ...KEYS.map((key) => ({ key, value: { stringValue: 'x' } }))],
};
const otlpMany = {
  resourceSpans: many(20, () => ({
    ...otlpResource,
    scopeSpans: [{ spans: many(20, () => otlpScope.spans[0]) }],
  })).concat([{ ...otlpResource, scopeSpans: [{ spans: [otlpSpan as (typeof otlpScope.spans)[0]] }] }]),
};
const withDeep = (json: Buffer): Buffer => Buffer.from(json.toString().replace('{', `{"x":${deep},`));
const times = (count: number, bytes: Uint8Array): Buffer => Buffer.concat(many(count, () => bytes));
const plain = { parseStringTags: true };

/** The golden list of one span, with the span repeated. */
function zipkinThrift(count: number): Buffer {
  const { bytes } = vector('zipkin-thrift');
  const head = Buffer.from(bytes.subarray(0, 5));
  head.writeInt32BE(count, 1);
  return Buffer.concat([head, times(count, bytes.subarray(5))]);
}

function fromThrift(reader: ThriftBinary | ThriftCompact): Uint8Array {
  const out = new ProtoWriter();
  jaegerThrift.batch(reader, out);
  return out.finish();
}

/** They keep what they know of earlier requests, broken ones included. */
const jaegerProto = new JaegerProto();
const jaegerThrift = new JaegerThrift();
const zipkinProto = new ZipkinProto(plain);

const columns = new LiveColumns(16 << 20, 1);
const appender = new Appender(columns, { attributeBytesMax: 2048, traceBytesMax: 0 });

export const DECODERS: readonly Decoder[] = [
  {
    name: 'OTLP protobuf',
    seeds: [vector('otlp').bytes, otlpJsonToProto(text(otlp))],
    large: [otlpJsonToProto(text(otlpMany))],
    decode(bytes) {
      try {
        appender.append(bytes);
      } finally {
        columns.reset();
      }
      return new Uint8Array(0);
    },
  },
  { name: 'OTLP JSON', seeds: [text(otlp)], large: [text(otlpMany), withDeep(text(otlp))], decode: otlpJsonToProto },
  {
    name: 'Jaeger Thrift binary',
    seeds: [vector('jaeger-thrift').bytes, thriftBytes('binary', batch)],
    large: [thriftBytes('binary', thriftMany)],
    decode: (b) => fromThrift(new ThriftBinary(b)),
  },
  {
    name: 'Jaeger Thrift compact',
    seeds: [thriftBytes('compact', batch)],
    large: [thriftBytes('compact', thriftMany)],
    decode: (b) => fromThrift(new ThriftCompact(b)),
  },
  ...(['compact', 'binary'] as const).map((protocol): Decoder => {
    const datagrams = new DatagramBatch(protocol, 65_000);
    return {
      name: `Jaeger UDP ${protocol}`,
      seeds: [vector(`jaeger-udp-${protocol}`).bytes],
      large: [thriftMessage(protocol, 'emitBatch', struct([1, thriftBatch({ service: 's' }, [eventful])]))],
      decode(bytes) {
        datagrams.add(bytes);
        return datagrams.take();
      },
    };
  }),
  {
    name: 'Jaeger protobuf',
    seeds: [vector('jaeger-proto').bytes, protoRequest({ service: 's' }, [jaeger])],
    large: [protoRequest({ service: 's', tags: crowded.tags }, jaegerMany)],
    decode: (b) => jaegerProto.request(b),
  },
  {
    name: 'Jaeger JSON',
    seeds: [text(jaegerJson)],
    large: [text({ ...jaegerJson, tags: KEYS.map((key) => ({ key, vStr: 'x' })) }), withDeep(text(jaegerJson))],
    decode: (b) => jaegerJsonToOtlp(b, jaegerProto),
  },
  {
    name: 'Zipkin protobuf',
    seeds: [vector('zipkin-proto').bytes],
    large: [times(500, vector('zipkin-proto').bytes)],
    decode: (b) => zipkinProto.convert(b),
  },
  {
    name: 'Zipkin JSON',
    seeds: [text([zipkin, zipkin])],
    large: [text(zipkinMany), withDeep(text([zipkin]))],
    decode: (b) => zipkinJsonToOtlp(b, plain),
  },
  {
    name: 'Zipkin JSON, first version',
    seeds: [text([zipkinV1])],
    large: [text(zipkinV1Many), withDeep(text([zipkinV1]))],
    decode: (b) => zipkinV1JsonToOtlp(b, plain, 1),
  },
  { name: 'Zipkin Thrift', seeds: [zipkinThrift(1)], large: [zipkinThrift(400)], decode: zipkinV1ThriftToOtlp },
  {
    name: 'OpenCensus',
    seeds: [vector('opencensus').bytes, ...opencensusJsonMessages(text(census))],
    large: opencensusJsonMessages(text(censusMany)),
    decode: (b) => new OpencensusStream().convert(b),
  },
  {
    name: 'OpenCensus JSON',
    seeds: [text(census)],
    large: [text(censusMany), withDeep(text(census))],
    decode: (b) => Buffer.concat(opencensusJsonMessages(b)),
  },
];
