/** Joins fragments of one trace that come as OTLP bytes; a span that several of them hold (same id, kind and start) comes once. */
import { eachField } from '../block/any-value.ts';
import { ProtoWriter, tagOf, WIRE_BYTES } from '../wire/protobuf.ts';

/** TracesData of all fragments together. */
export function mergeTraces(fragments: Uint8Array[]): Uint8Array {
  if (fragments.length === 1) return fragments[0];
  const seen = new Set<string>();
  const out = new ProtoWriter(fragments.reduce((sum, fragment) => sum + fragment.length, 64));
  fragments.forEach((fragment, index) => {
    // Spans of one fragment are never each other's copies.
    const own = new Set<string>();
    eachField(fragment, (_field, _wire, _low, _high, resourceSpans) => {
      const mark = out.begin(tagOf(1, WIRE_BYTES), 2);
      eachField(resourceSpans, (field, _w, _l, _h, content) => {
        if (field !== 2) {
          out.bytesField(tagOf(field, WIRE_BYTES), content);
          return;
        }
        const scopeSpans = out.begin(tagOf(2, WIRE_BYTES), 2);
        eachField(content, (inner, _wi, _lo, _hi, span) => {
          if (inner === 2) {
            const identity = identityOf(span);
            if (index > 0 && seen.has(identity)) return;
            own.add(identity);
          }
          out.bytesField(tagOf(inner, WIRE_BYTES), span);
        });
        out.end(scopeSpans, 2);
      });
      out.end(mark, 2);
    });
    for (const identity of own) seen.add(identity);
  });
  return out.finish();
}

function identityOf(span: Uint8Array): string {
  let id = '';
  let kind = 0;
  let start = '';
  eachField(span, (field, _wire, low, high, content) => {
    if (field === 2) id = Buffer.from(content).toString('hex');
    else if (field === 6) kind = low;
    else if (field === 7) start = `${high} ${low}`;
  });
  return `${id} ${kind} ${start}`;
}
