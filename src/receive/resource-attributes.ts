/** Attributes that a request's way in adds to all of its resources. */
import { ProtoReader, ProtoWriter } from '../wire/protobuf.ts';
import { RESOURCE_ATTRIBUTE, REQUEST_RESOURCE_SPANS, RESOURCE_SPANS_RESOURCE } from './otlp-span.ts';
import { textAttribute } from './attributes.ts';
import { nameOf } from './key-table.ts';

/**
 * An ExportTraceServiceRequest with string attributes behind those of every resource. Throws VivaceError 'undecodable'
 * for broken protobuf.
 */
export function withResourceAttributes(
  request: Uint8Array,
  attributes: readonly [key: string, value: Uint8Array][],
): Uint8Array<ArrayBuffer> {
  const added = new ProtoWriter();
  for (const [key, value] of attributes) textAttribute(added, RESOURCE_ATTRIBUTE, nameOf(key), value);
  const out = new ProtoWriter(request.length + 256);
  const reader = new ProtoReader(request);
  for (;;) {
    const from = reader.pos;
    const tag = reader.tag();
    if (tag === 0) return out.finish();
    if (tag !== REQUEST_RESOURCE_SPANS) {
      reader.skip(tag);
      out.raw(request, from, reader.pos);
      continue;
    }
    const outer = reader.enter();
    const mark = out.begin(REQUEST_RESOURCE_SPANS, 3);
    // A message that comes again adds to the one before: whatever the resource is, this is behind it.
    out.raw(request, reader.pos, reader.end);
    out.bytesField(RESOURCE_SPANS_RESOURCE, added.bytes.subarray(0, added.length));
    out.end(mark, 3);
    reader.leave(outer);
  }
}
