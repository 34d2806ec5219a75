/** Small protobuf messages put together from parts, off the hot path. */

/** `0a <length> message` and, when there is a schema URL, `1a <length> url`: a ResourceSpans or ScopeSpans without spans. */
export function wrapMessage(message: Uint8Array, schemaUrl: Uint8Array): Uint8Array {
  const head = lengthDelimited(0x0a, message);
  return schemaUrl.length === 0 ? head : concat([head, lengthDelimited(0x1a, schemaUrl)]);
}

/** The message KeyValue{key, value}, and where key and value stand in it. */
export function keyValueBytes(
  key: Uint8Array,
  value: Uint8Array,
): { bytes: Uint8Array; keyAt: number; valueAt: number } {
  const head = lengthDelimited(0x0a, key);
  const tail = lengthDelimited(0x12, value);
  return {
    bytes: concat([head, tail]),
    keyAt: head.length - key.length,
    valueAt: head.length + tail.length - value.length,
  };
}

/** A message with its tag and length before it. */
export function lengthDelimited(tag: number, content: Uint8Array): Uint8Array {
  const head: number[] = [];
  varint(head, tag);
  varint(head, content.length);
  return concat([Uint8Array.from(head), content]);
}

/** The parts one after the other, in memory of their own. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function varint(into: number[], value: number): void {
  let rest = value;
  for (; rest > 127; rest >>>= 7) into.push((rest & 127) | 128);
  into.push(rest);
}
