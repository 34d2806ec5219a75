/**
 * Filters of forwarders: spans, and events of spans, for which a condition holds are left out of the copy. What is empty
 * then is left out, too. Source: spec/ingestion.md §8.11;
 * https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/processor/filterprocessor
 */
import { ProtoReader, ProtoWriter } from '../wire/protobuf.ts';
import { compileCondition } from './ottl.ts';
import { eventPath, Message, type SpanContext, spanPath } from './ottl-span.ts';
import {
  REQUEST_RESOURCE_SPANS,
  RESOURCE_SPANS_RESOURCE,
  RESOURCE_SPANS_SCOPE_SPANS,
  SCOPE_SPANS_SCOPE,
  SCOPE_SPANS_SPAN,
  SPAN_EVENT,
  SPAN_LENGTH_BYTES,
} from './otlp-span.ts';

export interface ForwardConditions {
  span: readonly string[];
  spanevent: readonly string[];
}

/** An ExportTraceServiceRequest without what is filtered out; empty if nothing is left. */
export type ForwardFilter = (request: Uint8Array) => Uint8Array;

const RESOURCE_SPANS_SCHEMA_URL = 0x1a;

/** Undefined without conditions. Throws VivaceError 'invalid' for one that cannot be understood. */
export function forwardFilter({ span, spanevent }: ForwardConditions): ForwardFilter | undefined {
  if (span.length + spanevent.length === 0) return undefined;
  const spans = span.map((text) => compileCondition(text, spanPath));
  const events = spanevent.map((text) => compileCondition(text, eventPath));
  const dropsSpan = (context: SpanContext): boolean => spans.some((holds) => holds(context));
  const dropsEvent = (context: SpanContext): boolean => events.some((holds) => holds(context));

  return (request) => {
    const out = new ProtoWriter(request.length);
    nested(new ProtoReader(request), out, REQUEST_RESOURCE_SPANS, 3, resourceSpans);
    return out.finish();
  };

  function resourceSpans(bytes: Uint8Array, out: ProtoWriter): boolean {
    const resource = new Message(first(bytes, RESOURCE_SPANS_RESOURCE));
    const resourceSchemaUrl = Buffer.from(first(bytes, RESOURCE_SPANS_SCHEMA_URL)).toString('utf8');
    return nested(new ProtoReader(bytes), out, RESOURCE_SPANS_SCOPE_SPANS, 3, (scopeSpans, to) => {
      const scope = new Message(first(scopeSpans, SCOPE_SPANS_SCOPE));
      return nested(new ProtoReader(scopeSpans), to, SCOPE_SPANS_SPAN, SPAN_LENGTH_BYTES, (bytes, into) => {
        const context: SpanContext = { resource, resourceSchemaUrl, scope, span: new Message(bytes) };
        if (dropsSpan(context)) return false;
        if (events.length === 0) into.raw(bytes);
        else
          nested(new ProtoReader(bytes), into, SPAN_EVENT, 1, (event, rest) => {
            if (dropsEvent({ ...context, event: new Message(event) })) return false;
            rest.raw(event);
            return true;
          });
        return true;
      });
    });
  }
}

/**
 * Copies a message, its fields `tag` by way of `copy`, which says whether the field stays. Whether one of them stayed, or
 * there was none.
 */
function nested(
  reader: ProtoReader,
  out: ProtoWriter,
  tag: number,
  lengthBytes: number,
  copy: (bytes: Uint8Array, out: ProtoWriter) => boolean,
): boolean {
  let stayed = 0;
  for (;;) {
    const from = reader.pos;
    const found = reader.tag();
    if (found === 0) return stayed > 0;
    if (found !== tag) {
      reader.skip(found);
      out.raw(reader.bytes, from, reader.pos);
      continue;
    }
    const before = out.length;
    const mark = out.begin(tag, lengthBytes);
    if (copy(reader.bytesValue(), out)) {
      out.end(mark, lengthBytes);
      stayed++;
    } else out.length = before;
  }
}

/** The content of the first field with a tag; empty without one. */
function first(bytes: Uint8Array, tag: number): Uint8Array {
  const reader = new ProtoReader(bytes);
  for (let found = reader.tag(); found !== 0; found = reader.tag()) {
    if (found === tag) return reader.bytesValue();
    reader.skip(found);
  }
  return new Uint8Array(0);
}
