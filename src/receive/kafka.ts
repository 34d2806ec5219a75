/**
 * The Kafka receiver: reads requests, spans or lists of spans from topics. Records are converted as they come and
 * gathered into one request a tenant; offsets are committed when its spans are on disk, so that a crash loses nothing
 * and repeats at most what was not committed. What cannot be decoded is told, counted and passed over; while spans
 * cannot be taken the topic waits. Source: spec/ingestion.md §7.
 */
import type { ConnectionOptions } from 'node:tls';
import type { Message } from '@platformatic/kafka';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { type HandOverOptions, handOver } from './hand-over.ts';
import { jaegerJsonToOtlp } from './jaeger-json.ts';
import { JaegerProto } from './jaeger-proto.ts';
import { otlpJsonToProto } from './otlp-json.ts';
import { countSpans } from './otlp-scan.ts';
import { withResourceAttributes } from './resource-attributes.ts';
import { TENANT_HEADER } from './tenant.ts';
import { zipkinJsonToOtlp } from './zipkin-json.ts';
import { ZipkinProto } from './zipkin-proto.ts';
import { zipkinV1ThriftToOtlp } from './zipkin-v1-thrift.ts';

const PLAIN = { parseStringTags: false };

/** Turns a record's value into an ExportTraceServiceRequest. */
type Decode = (value: Uint8Array) => Uint8Array;

/** Encodings by the name in the configuration; each call makes a decoder that remembers the keys of tags. */
const ENCODINGS: Readonly<Record<string, () => Decode>> = {
  otlp_proto: () => whole,
  otlp_json: () => otlpJsonToProto,
  jaeger_proto() {
    const jaeger = new JaegerProto();
    return (value) => jaeger.span(value);
  },
  jaeger_json() {
    const jaeger = new JaegerProto();
    return (value) => jaegerJsonToOtlp(value, jaeger);
  },
  zipkin_proto() {
    const zipkin = new ZipkinProto(PLAIN);
    return (value) => zipkin.convert(value);
  },
  zipkin_json: () => (value) => zipkinJsonToOtlp(value, PLAIN),
  zipkin_thrift: () => zipkinV1ThriftToOtlp,
};

/** A record that is cut short must not swallow the one behind it. */
function whole(value: Uint8Array): Uint8Array {
  if (countSpans(value) < 0) throw new VivaceError('undecodable', 'cannot decode ExportTraceServiceRequest');
  return value;
}

export interface KafkaOptions extends HandOverOptions {
  brokers: readonly string[];
  topics: readonly string[];
  encoding: string;
  groupId: string;
  clientId: string;
  /** Where to begin without a committed offset. */
  initialOffset: 'latest' | 'earliest';
  sasl?: { mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'; username: string; password: string };
  /** Asked before the brokers are; undefined speaks in plain text. */
  tls?: { options(): ConnectionOptions; serverName: string };
  /** Headers of a record that become attributes `kafka.header.<name>` of its resources. */
  extractedHeaders?: readonly string[];
  /** The receiver's name in metrics; default `kafka/kafka_receiver`. */
  receiver?: string;
  onProblem(message: string): void;
}

export interface KafkaReceiver {
  /** Takes what was read, commits, and leaves the group. */
  close(): Promise<void>;
}

/** A request is handed over when it is so large, or when records have waited so long. */
const REQUEST_BYTES = 512 << 10;
const WAIT_MS = 100;
const RETRY_MS = 1000;

interface Pending {
  bytes: number;
  pieces: Uint8Array[];
  tenant: readonly string[];
}

/** Starts reading; resolves at once. Brokers that cannot be reached are tried again. */
export function kafkaReceiver(options: KafkaOptions): KafkaReceiver {
  const from = { receiver: options.receiver ?? 'kafka/kafka_receiver', transport: 'kafka' };
  const decode = ENCODINGS[options.encoding]();
  const pending = new Map<string, Pending>();
  const last = new Map<string, Message>();
  let bytes = 0;
  let closing = false;
  let work: Promise<void> = Promise.resolve();
  let current: { close(): Promise<void> } | undefined;
  const closed = new AbortController();
  const timer = setInterval(() => {
    if (pending.size > 0) flushLater().catch(() => {});
  }, WAIT_MS);
  const running = run();

  return {
    async close() {
      closing = true;
      clearInterval(timer);
      closed.abort();
      await flushLater().catch(() => {});
      await current?.close().catch(() => {});
      await running;
    },
  };

  async function run(): Promise<void> {
    while (!closing) {
      try {
        await consume();
      } catch (error) {
        if (!closing) options.onProblem(`cannot read from Kafka at ${options.brokers.join(', ')}: ${reasonOf(error)}`);
      }
      await current?.close().catch(() => {});
      current = undefined;
      if (!closing) await rest();
    }
  }

  async function consume(): Promise<void> {
    // A package of some size, which only those load who use it.
    const { Consumer } = await import('@platformatic/kafka');
    const consumer = new Consumer({
      groupId: options.groupId,
      clientId: options.clientId,
      bootstrapBrokers: [...options.brokers],
      autocommit: false,
      ...(options.sasl && { sasl: options.sasl }),
      ...(options.tls && {
        tls: options.tls.options(),
        ...(options.tls.serverName !== '' && { tlsServerName: options.tls.serverName }),
      }),
    });
    current = { close: () => consumer.close(true) as Promise<void> };
    const stream = await consumer.consume({
      topics: [...options.topics],
      mode: 'committed',
      fallbackMode: options.initialOffset,
      autocommit: false,
    });
    for await (const message of stream) {
      if (closing) return;
      take(message as unknown as Message);
      if (bytes >= REQUEST_BYTES) await flushLater();
    }
  }

  function take(message: Message): void {
    last.set(`${message.topic}\n${message.partition}`, message);
    let piece: Uint8Array;
    try {
      piece = decode(message.value ?? new Uint8Array(0));
      const headers = extracted(message);
      if (headers.length > 0) piece = withResourceAttributes(piece, headers);
    } catch (error) {
      passOver(message, error);
      return;
    }
    const tenants = message.headerEntries.filter(([name]) => String(name).toLowerCase() === TENANT_HEADER);
    const tenant = tenants.flatMap(([, value]) => [TENANT_HEADER, String(value)]);
    const key = tenant.join('\n');
    let batch = pending.get(key);
    if (batch === undefined) pending.set(key, (batch = { bytes: 0, pieces: [], tenant }));
    batch.pieces.push(piece);
    batch.bytes += piece.length;
    bytes += piece.length;
  }

  /** The first value of each header that is wanted. */
  function extracted({ headerEntries }: Message): [string, Uint8Array][] {
    const found: [string, Uint8Array][] = [];
    for (const name of options.extractedHeaders ?? []) {
      const entry = headerEntries.find(([key]) => String(key) === name);
      if (entry !== undefined) found.push([`kafka.header.${name}`, entry[1] as Buffer]);
    }
    return found;
  }

  function passOver(message: Pick<Message, 'topic' | 'partition' | 'offset'>, error: unknown): void {
    const where = `offset ${message.offset} of ${message.topic}/${message.partition}`;
    options.onProblem(`cannot take the record at ${where}, passing over it: ${messageOf(error)}`);
  }

  /** One flush at a time. */
  function flushLater(): Promise<void> {
    work = work.catch(() => {}).then(flush);
    return work;
  }

  async function flush(): Promise<void> {
    const batches = [...pending.values()];
    const marks = [...last.values()];
    pending.clear();
    last.clear();
    bytes = 0;
    for (const batch of batches) await handOverAll(batch);
    for (const mark of marks) {
      try {
        await mark.commit();
      } catch (error) {
        options.onProblem(`cannot commit offsets to Kafka: ${messageOf(error)}`);
      }
    }
  }

  /** Requests one behind the other are one request. When it is refused for what is in it, each is tried by itself. */
  async function handOverAll({ pieces, tenant }: Pending): Promise<void> {
    for (;;) {
      const request = concat(pieces);
      try {
        return await handOver(options, from, request, tenant);
      } catch (error) {
        const code = error instanceof VivaceError ? error.code : 'internal';
        if (code === 'exhausted' || code === 'unavailable') {
          if (closing) throw error;
          await rest();
        } else if (pieces.length > 1) {
          for (const piece of pieces) await handOverAll({ pieces: [piece], tenant, bytes: piece.length });
          return;
        } else {
          options.onProblem(`cannot take a record from Kafka, passing over it: ${messageOf(error)}`);
          return;
        }
      }
    }
  }

  function rest(): Promise<void> {
    return new Promise((resolve) => {
      const timeout = setTimeout(resolve, RETRY_MS);
      closed.signal.addEventListener('abort', () => {
        clearTimeout(timeout);
        resolve();
      });
    });
  }
}

/** What lies at the bottom of errors about errors, with what it was about. */
function reasonOf(error: unknown): string {
  let inner: unknown = error;
  for (let depth = 0; depth < 20; depth++) {
    const { errors, cause } = inner as { errors?: unknown[]; cause?: unknown };
    const next = errors?.at(-1) ?? cause;
    if (!(next instanceof Error)) break;
    inner = next;
  }
  const [whole, reason] = [messageOf(error), messageOf(inner)];
  return whole.includes(reason) ? whole : `${reason} (${whole.split('. ')[0]})`;
}

function concat(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
