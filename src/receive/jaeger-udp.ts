/**
 * Jaeger's agent protocol: one Thrift message `emitBatch` a datagram. Datagrams are converted as they come and collected
 * into one request, because a request costs the same whether it holds one span or a thousand. What cannot be used is left
 * out and counted, and does not harm its neighbours. Source: spec/ingestion.md §4.5.
 */
import { VivaceError } from '../runtime/errors.ts';
import { ProtoWriter } from '../wire/protobuf.ts';
import { THRIFT_STRUCT, ThriftBinary, ThriftCompact, type ThriftReader } from '../wire/thrift.ts';
import { JaegerThrift } from './jaeger-thrift.ts';

export type DatagramProtocol = 'compact' | 'binary';

/** What datagrams came to. */
export interface DatagramCounts {
  datagrams: number;
  /** Not Thrift, no batch, another method. */
  undecodable: number;
  /** Spans of batches in which one had no trace id or span id. */
  invalidSpans: number;
}

const EMIT_BATCH = Buffer.from('emitBatch');
const FIRST_BYTES = 64 << 10;

export class DatagramBatch {
  spans = 0;
  /** Datagrams in the request so far. */
  datagrams = 0;
  readonly counts: DatagramCounts = { datagrams: 0, undecodable: 0, invalidSpans: 0 };
  readonly #protocol: DatagramProtocol;
  readonly #bytesMax: number;
  readonly #thrift = new JaegerThrift();
  #out = new ProtoWriter(FIRST_BYTES);

  /** `bytesMax`: larger datagrams are not looked at. */
  constructor(protocol: DatagramProtocol, bytesMax: number) {
    this.#protocol = protocol;
    this.#bytesMax = bytesMax;
  }

  /** Bytes of the request so far. */
  get bytes(): number {
    return this.#out.length;
  }

  /** Adds the spans of a datagram. Never throws because of what is in it. */
  add(datagram: Uint8Array): void {
    this.counts.datagrams++;
    const before = this.#out.length;
    try {
      if (datagram.length > this.#bytesMax) throw new VivaceError('undecodable', 'the datagram is too large');
      const reader = this.#protocol === 'compact' ? new ThriftCompact(datagram) : new ThriftBinary(datagram);
      if (this.#read(reader, before)) return;
    } catch (error) {
      if (!(error instanceof VivaceError)) throw error;
    }
    this.#out.length = before;
    this.counts.undecodable++;
  }

  /** False: there is no batch in it. */
  #read(reader: ThriftReader, before: number): boolean {
    reader.message();
    if (Buffer.compare(EMIT_BATCH, reader.bytes.subarray(reader.start, reader.end)) !== 0) return false;
    reader.enter();
    while (reader.field()) {
      if (reader.fieldId !== 1 || reader.fieldType !== THRIFT_STRUCT) {
        reader.skip(reader.fieldType);
        continue;
      }
      const { spans, invalid } = this.#thrift.batch(reader, this.#out);
      if (invalid > 0) {
        this.#out.length = before;
        this.counts.invalidSpans += spans;
        return true;
      }
      this.spans += spans;
      this.datagrams++;
      return true;
    }
    return false;
  }

  /** The request so far, an ExportTraceServiceRequest in a buffer of its own; begins the next. */
  take(): Uint8Array<ArrayBuffer> {
    const request = this.#out.bytes.slice(0, this.#out.length);
    this.#out.length = 0;
    this.spans = 0;
    this.datagrams = 0;
    return request;
  }
}
