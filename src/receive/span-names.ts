/** `metric_received_spans`: what services and names received spans have, to find out who sends so many. */
import { ProtoReader } from '../wire/protobuf.ts';
import { Message, spanPath } from './ottl-span.ts';
import {
  REQUEST_RESOURCE_SPANS,
  RESOURCE_SPANS_RESOURCE,
  RESOURCE_SPANS_SCOPE_SPANS,
  SCOPE_SPANS_SPAN,
} from './otlp-span.ts';

const RESOURCE_ATTRIBUTES = 1;
const nameOf = spanPath(['name'])!;
const parentOf = spanPath(['parent_span_id'])!;

/** Calls `add` for every span of a request, or for those without a parent. What is broken ends it. */
export function countNames(request: Uint8Array, rootOnly: boolean, add: (service: string, name: string) => void): void {
  try {
    for (const resourceSpans of fields(new Message(request), REQUEST_RESOURCE_SPANS)) {
      const [resource] = fields(resourceSpans, RESOURCE_SPANS_RESOURCE);
      const service = String(resource?.attributes(RESOURCE_ATTRIBUTES).get('service.name') ?? '');
      for (const scopeSpans of fields(resourceSpans, RESOURCE_SPANS_SCOPE_SPANS))
        for (const span of fields(scopeSpans, SCOPE_SPANS_SPAN)) {
          const context = { resource: resource ?? span, resourceSchemaUrl: '', scope: scopeSpans, span };
          if (!rootOnly || !hasParent(parentOf(context) as Uint8Array)) add(service, nameOf(context) as string);
        }
    }
  } catch {}
}

function hasParent(id: Uint8Array): boolean {
  return id.some((byte) => byte !== 0);
}

function* fields({ bytes, start, end }: Message, tag: number): Generator<Message> {
  const reader = new ProtoReader(bytes, start, end);
  for (let found = reader.tag(); found !== 0; found = reader.tag()) {
    if (found !== tag) {
      reader.skip(found);
      continue;
    }
    const inner = reader.lengthEnd();
    yield new Message(bytes, reader.pos, inner);
    reader.pos = inner;
  }
}
