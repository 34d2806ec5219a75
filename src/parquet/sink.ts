/**
 * A growing byte buffer as a plain object, so that hot loops write `sink.bytes[position]` themselves after one `reserve`.
 */
export interface Sink {
  bytes: Uint8Array;
  /** Over the same buffer as `bytes`. */
  view: DataView;
  /** Bytes written so far. */
  length: number;
}

export function createSink(capacity = 1024): Sink {
  const bytes = new Uint8Array(capacity);
  return { bytes, view: new DataView(bytes.buffer), length: 0 };
}

/** Makes room for `count` more bytes; `bytes` and `view` may be replaced. */
export function reserve(sink: Sink, count: number): void {
  const wanted = sink.length + count;
  if (wanted <= sink.bytes.length) return;
  const grown = new Uint8Array(Math.max(wanted, sink.bytes.length * 2));
  grown.set(sink.bytes.subarray(0, sink.length));
  sink.bytes = grown;
  sink.view = new DataView(grown.buffer);
}

export function putByte(sink: Sink, value: number): void {
  reserve(sink, 1);
  sink.bytes[sink.length++] = value;
}

export function putBytes(sink: Sink, bytes: Uint8Array): void {
  reserve(sink, bytes.length);
  sink.bytes.set(bytes, sink.length);
  sink.length += bytes.length;
}

export function putUint32(sink: Sink, value: number): void {
  reserve(sink, 4);
  sink.view.setUint32(sink.length, value, true);
  sink.length += 4;
}

/** Unsigned LEB128 of a non-negative integer up to 2^53. */
export function putVarint(sink: Sink, value: number): void {
  reserve(sink, 10);
  let length = sink.length;
  while (value > 0x7fffffff) {
    sink.bytes[length++] = (value % 128) | 0x80;
    value = Math.floor(value / 128);
  }
  while (value > 0x7f) {
    sink.bytes[length++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  sink.bytes[length++] = value;
  sink.length = length;
}

/** The bytes written so far: a view, overwritten by the next use of the sink. */
export function written(sink: Sink): Uint8Array {
  return sink.bytes.subarray(0, sink.length);
}
