/**
 * Changes valid requests at random and gives them to every decoder of strangers' bytes: each must answer with OTLP or an
 * error, soon, and with no more than ten times what it was given.
 *
 *   node tests/fuzz/decoders.ts --inputs 1000000 [--seed N]      (npm run fuzz -- …)
 */
import { parseArgs } from 'node:util';
import { Appender } from '../../src/cut/append.ts';
import { LiveColumns } from '../../src/cut/columns.ts';
import { protoRequest, thriftBatch } from '../../src/receive/jaeger.fixture.ts';
import { jaegerRequestToOtlp } from '../../src/receive/jaeger-proto.ts';
import { JaegerThrift } from '../../src/receive/jaeger-thrift.ts';
import { DatagramBatch } from '../../src/receive/jaeger-udp.ts';
import { OpencensusStream } from '../../src/receive/opencensus.ts';
import { opencensusJsonMessages } from '../../src/receive/opencensus-json.ts';
import { otlpJsonToProto } from '../../src/receive/otlp-json.ts';
import { vector } from '../../src/receive/vectors.fixture.ts';
import { zipkinJsonToOtlp } from '../../src/receive/zipkin-json.ts';
import { zipkinProtoToOtlp } from '../../src/receive/zipkin-proto.ts';
import { zipkinV1JsonToOtlp } from '../../src/receive/zipkin-v1-json.ts';
import { zipkinV1ThriftToOtlp } from '../../src/receive/zipkin-v1-thrift.ts';
import { VivaceError } from '../../src/runtime/errors.ts';
import { ProtoWriter } from '../../src/wire/protobuf.ts';
import { thriftBytes } from '../../src/wire/thrift.fixture.ts';
import { ThriftBinary, ThriftCompact } from '../../src/wire/thrift.ts';

/** Bytes of output that any input may cost, whatever its size. */
const FREE_BYTES = 1000;
const OUTPUT_PER_INPUT_MAX = 10;
const MS_MAX = 50;

interface Decoder {
  name: string;
  seeds: readonly Uint8Array[];
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
const plain = { parseStringTags: true };

function fromThrift(reader: ThriftBinary | ThriftCompact): Uint8Array {
  const out = new ProtoWriter();
  new JaegerThrift().batch(reader, out);
  return out.finish();
}

const columns = new LiveColumns(16 << 20, 1);
const appender = new Appender(columns, { attributeBytesMax: 2048, traceBytesMax: 0 });

export const DECODERS: readonly Decoder[] = [
  {
    name: 'OTLP protobuf',
    seeds: [vector('otlp').bytes, otlpJsonToProto(text(otlp))],
    decode(bytes) {
      try {
        appender.append(bytes);
      } finally {
        columns.reset();
        appender.reset();
      }
      return new Uint8Array(0);
    },
  },
  { name: 'OTLP JSON', seeds: [text(otlp)], decode: otlpJsonToProto },
  {
    name: 'Jaeger Thrift binary',
    seeds: [vector('jaeger-thrift').bytes, thriftBytes('binary', batch)],
    decode: (b) => fromThrift(new ThriftBinary(b)),
  },
  {
    name: 'Jaeger Thrift compact',
    seeds: [thriftBytes('compact', batch)],
    decode: (b) => fromThrift(new ThriftCompact(b)),
  },
  ...(['compact', 'binary'] as const).map((protocol): Decoder => {
    const datagrams = new DatagramBatch(protocol, 65_000);
    return {
      name: `Jaeger UDP ${protocol}`,
      seeds: [vector(`jaeger-udp-${protocol}`).bytes],
      decode(bytes) {
        datagrams.add(bytes);
        return datagrams.take();
      },
    };
  }),
  {
    name: 'Jaeger protobuf',
    seeds: [vector('jaeger-proto').bytes, protoRequest({ service: 's' }, [jaeger])],
    decode: jaegerRequestToOtlp,
  },
  { name: 'Zipkin protobuf', seeds: [vector('zipkin-proto').bytes], decode: (b) => zipkinProtoToOtlp(b, plain) },
  { name: 'Zipkin JSON', seeds: [text([zipkin, zipkin])], decode: (b) => zipkinJsonToOtlp(b, plain) },
  { name: 'Zipkin JSON, first version', seeds: [text([zipkinV1])], decode: (b) => zipkinV1JsonToOtlp(b, plain, 1) },
  { name: 'Zipkin Thrift', seeds: [vector('zipkin-thrift').bytes], decode: zipkinV1ThriftToOtlp },
  {
    name: 'OpenCensus',
    seeds: [vector('opencensus').bytes, ...opencensusJsonMessages(text(census))],
    decode: (b) => new OpencensusStream().convert(b),
  },
  { name: 'OpenCensus JSON', seeds: [text(census)], decode: (b) => Buffer.concat(opencensusJsonMessages(b)) },
];

/** Gives so many inputs to a decoder. Throws where it does anything but answer; returns how many were decoded. */
export function fuzz(decoder: Decoder, inputs: number, seed: number): number {
  const next = mulberry32(seed);
  let decoded = 0;
  for (let i = 0; i < inputs; i++) {
    const bytes = mutate(decoder.seeds[i % decoder.seeds.length], next);
    const began = performance.now();
    try {
      const { length } = decoder.decode(bytes);
      decoded++;
      if (length > OUTPUT_PER_INPUT_MAX * bytes.length + FREE_BYTES)
        throw new Error(`${length} bytes were made of ${bytes.length}`);
    } catch (error) {
      if (!(error instanceof VivaceError))
        throw new Error(`${decoder.name}, input ${i}: ${error}\n${Buffer.from(bytes).toString('hex')}`, {
          cause: error,
        });
    }
    const took = performance.now() - began;
    // A machine that is busy with other things is slow once, a decoder that hangs is slow again.
    if (took > MS_MAX && again(decoder, bytes) > MS_MAX)
      throw new Error(`${decoder.name}, input ${i} took ${took} ms\n${Buffer.from(bytes).toString('hex')}`);
  }
  return decoded;
}

function again(decoder: Decoder, bytes: Uint8Array): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 3; i++) {
    const began = performance.now();
    try {
      decoder.decode(bytes);
    } catch {}
    least = Math.min(least, performance.now() - began);
  }
  return least;
}

/** A copy with one to four changes: bytes flipped, set to extremes, taken out, put in, repeated. */
function mutate(seed: Uint8Array, next: () => number): Uint8Array {
  let bytes = Buffer.from(seed);
  const random = (below: number): number => Math.floor(next() * below);
  for (let changes = 1 + random(4); changes > 0; changes--) {
    const at = random(bytes.length + 1);
    switch (random(6)) {
      case 0:
        if (at < bytes.length) bytes[at] ^= 1 << random(8);
        break;
      case 1:
        if (at < bytes.length) bytes[at] = [0, 0xff, 0x7f, 0x80, 0x22, 0x5b, 0x7b][random(7)];
        break;
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(8))]);
        break;
      case 3:
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          Buffer.from(Array.from({ length: 1 + random(6) }, () => random(256))),
          bytes.subarray(at),
        ]);
        break;
      case 4: {
        const from = random(bytes.length);
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(from, from + random(64)), bytes.subarray(at)]);
        break;
      }
      default:
        bytes = bytes.subarray(0, at);
    }
  }
  return bytes;
}

function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { inputs: { type: 'string', default: '1000000' }, seed: { type: 'string' } },
  });
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  console.log(`seed ${seed}`);
  for (const decoder of DECODERS) {
    const decoded = fuzz(decoder, Number(values.inputs), seed);
    const { rss } = process.memoryUsage();
    console.log(
      `${decoder.name}: ${values.inputs} inputs, ${decoded} of them decoded, ${Math.round(rss / 2 ** 20)} MiB`,
    );
  }
}
