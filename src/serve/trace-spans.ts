/** A part of a trace: OTLP `TracesData` bytes without the spans that are not wanted, and without what is empty then. */
import { ProtoReader, ProtoWriter, tagOf, WIRE_BYTES } from '../wire/protobuf.ts';

const RESOURCE_SPANS = tagOf(1, WIRE_BYTES);
const SCOPE_SPANS = tagOf(2, WIRE_BYTES);
const SPAN = tagOf(2, WIRE_BYTES);
const SPAN_ID = tagOf(2, WIRE_BYTES);

/** `ids`: of the spans to keep, 16 lower-case hex digits. */
export function keepSpans(trace: Uint8Array, ids: ReadonlySet<string>): Uint8Array<ArrayBuffer> {
  const out = new ProtoWriter(trace.length);
  rewrite(trace, RESOURCE_SPANS, out, (resourceSpans) => {
    const kept = new ProtoWriter(resourceSpans.length);
    const some = rewrite(resourceSpans, SCOPE_SPANS, kept, (scopeSpans) => {
      const spans = new ProtoWriter(scopeSpans.length);
      const any = rewrite(scopeSpans, SPAN, spans, (span) => (ids.has(spanIdOf(span)) ? span : undefined));
      return any ? spans.finish() : undefined;
    });
    return some ? kept.finish() : undefined;
  });
  return out.finish();
}

/** Copies a message with each member of one field replaced or left out; whether any of them is left. */
function rewrite(
  message: Uint8Array,
  field: number,
  out: ProtoWriter,
  change: (member: Uint8Array) => Uint8Array | undefined,
): boolean {
  const reader = new ProtoReader(message);
  let some = false;
  for (let from = reader.pos, tag = reader.tag(); tag !== 0; from = reader.pos, tag = reader.tag()) {
    if (tag !== field) {
      reader.skip(tag);
      out.raw(message, from, reader.pos);
      continue;
    }
    const changed = change(reader.bytesValue());
    if (changed === undefined) continue;
    out.bytesField(field, changed);
    some = true;
  }
  return some;
}

function spanIdOf(span: Uint8Array): string {
  const reader = new ProtoReader(span);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === SPAN_ID) return Buffer.from(reader.bytesValue()).toString('hex');
    reader.skip(tag);
  }
  return '';
}
