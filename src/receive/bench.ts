/**
 * What it costs to turn a span of each protocol into OTLP: nanoseconds of CPU a span, and a hash of what was made.
 * `node src/receive/bench.ts` is tiny; `node src/receive/bench.ts 300000 [protocol]` is for people.
 */
import { crc32 } from 'node:zlib';
import { makeProtocolBatches, PROTOCOLS, type Protocol } from '../../bench/protocol-bodies.ts';
import { JaegerProto } from './jaeger-proto.ts';
import { JaegerThrift } from './jaeger-thrift.ts';
import { DatagramBatch } from './jaeger-udp.ts';
import { OpencensusStream } from './opencensus.ts';
import { otlpJsonToProto } from './otlp-json.ts';
import { countSpans } from './otlp-scan.ts';
import { zipkinJsonToOtlp } from './zipkin-json.ts';
import { ZipkinProto } from './zipkin-proto.ts';
import { ProtoWriter } from '../wire/protobuf.ts';
import { ThriftBinary } from '../wire/thrift.ts';

const count = Number(process.argv[2] ?? 1000);
const wanted = process.argv[3];
const NOW_MS = 1_700_000_000_000;
const plain = { parseStringTags: false };

const jaeger = new JaegerProto();
const thrift = new JaegerThrift();
const zipkin = new ZipkinProto(plain);
const out = new ProtoWriter();
const udp = (protocol: 'compact' | 'binary') => {
  const batch = new DatagramBatch(protocol, 65_000);
  return (bytes: Uint8Array): Uint8Array => {
    batch.add(bytes);
    return batch.take();
  };
};

const DECODERS: Record<Protocol, (bytes: Uint8Array) => Uint8Array> = {
  otlp(bytes) {
    countSpans(bytes);
    return bytes;
  },
  'otlp-json': otlpJsonToProto,
  'jaeger-grpc': (bytes) => jaeger.request(bytes),
  'jaeger-thrift'(bytes) {
    out.reset(1 << 20);
    thrift.batch(new ThriftBinary(bytes), out);
    return out.copy();
  },
  'jaeger-compact': udp('compact'),
  'jaeger-binary': udp('binary'),
  'zipkin-proto': (bytes) => zipkin.convert(bytes),
  'zipkin-json': (bytes) => zipkinJsonToOtlp(bytes, plain),
  opencensus: (bytes) => new OpencensusStream().convert(bytes),
};

for (const protocol of PROTOCOLS) if (wanted === undefined || wanted === protocol) measure(protocol);

function measure(protocol: Protocol): void {
  const batches = makeProtocolBatches(protocol, { seed: 1, nowMs: NOW_MS, ...(count <= 10_000 && { count: 1 }) });
  const bodies = batches.flatMap((batch) => batch.bodies);
  const decode = DECODERS[protocol];
  let hash = 0;
  let spans = 0;
  for (const body of bodies) {
    hash = crc32(decode(body.bytes), hash);
    if ((spans += body.spans) >= count) break;
  }
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < (count > 10_000 ? 6 : 1); round++) {
    const began = process.threadCpuUsage();
    let done = 0;
    for (let i = 0; done < count; i++) {
      const body = bodies[i % bodies.length];
      decode(body.bytes);
      done += body.spans;
    }
    const { user, system } = process.threadCpuUsage(began);
    best = Math.min(best, ((user + system) * 1000) / done);
  }
  console.log(`${protocol.padEnd(28)} ${best.toFixed(2).padStart(8)} ns  ${hash.toString(16).padStart(8, '0')}`);
}
