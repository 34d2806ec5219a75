/** Everything about one span: fields, attributes, events and links. */
import { type AnyValue, type Attribute, attributesOf, bytesField, stringField } from '../block/any-value.ts';
import { ProtoReader, tagOf, WIRE_BYTES } from '../wire/protobuf.ts';
import { pairLines } from './table.ts';
import type { Terminal } from './terminal.ts';
import { clean } from './text.ts';
import { hex, type Trace, type TraceSpan } from './trace-spans.ts';
import { durationText, timeText } from './units.ts';

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];
const STATUSES = ['unset', 'ok', 'error'];

/** Undefined when no span of the trace has the id; the beginning of an id is enough where it is the only one. */
export function spanDetailLines(trace: Trace, id: string, { paint }: Pick<Terminal, 'paint'>): string[] | undefined {
  const exact = trace.spans.find((span) => span.id === id);
  const beginning = id === '' ? [] : trace.spans.filter((span) => span.id.startsWith(id));
  const span = exact ?? (beginning.length === 1 ? beginning[0] : undefined);
  if (span === undefined) return undefined;
  const dim = (text: string): string => paint.style('dim', text);
  const lines = [
    paint.style('bold', `${clean(span.service)}  ${clean(span.name)}`),
    ...pairLines(fieldsOf(trace, span), dim),
  ];
  const section = (title: string, attributes: readonly Attribute[], always = false): void => {
    if (attributes.length === 0 && !always) return;
    lines.push('', paint.style('bold', title));
    if (attributes.length === 0) return;
    lines.push(
      ...pairLines(
        attributes.map(({ key, value }) => [clean(key), clean(valueText(value))] as const),
        dim,
      ),
    );
  };
  section('attributes', attributesOf(span.bytes, 9));
  section('resource', attributesOf(span.resource, 1));
  section('scope', attributesOf(span.scope, 3));
  for (const event of repeated(span.bytes, 11)) {
    const offset = Number(timeOf(event) - trace.startUnixNano) - span.startNs;
    const title = `event ${clean(stringField(event, 2))} ${offset < 0 ? '' : '+'}${durationText(offset)}`;
    section(title, attributesOf(event, 3), true);
  }
  for (const link of repeated(span.bytes, 13))
    section(
      `link to span ${hex(bytesField(link, 2))} of trace ${hex(bytesField(link, 1))}`,
      attributesOf(link, 4),
      true,
    );
  return lines;
}

function fieldsOf(trace: Trace, span: TraceSpan): [string, string][] {
  const start = trace.startUnixNano + BigInt(Math.round(span.startNs));
  const scope = [stringField(span.scope, 1), stringField(span.scope, 2)].filter((part) => part !== '').join(' ');
  return [
    ['trace', trace.id],
    ['span', span.id],
    ...(span.parentId === '' ? [] : ([['parent', span.parentId]] as [string, string][])),
    ['kind', KINDS[span.kind] ?? String(span.kind)],
    [
      'status',
      `${STATUSES[span.status] ?? span.status}${span.statusMessage === '' ? '' : `: ${clean(span.statusMessage)}`}`,
    ],
    ['start', `${timeText(Number(start / 1_000_000n))} UTC, ${durationText(span.startNs)} into the trace`],
    ['duration', durationText(span.endNs - span.startNs)],
    ...(scope === '' ? [] : ([['library', clean(scope)]] as [string, string][])),
  ];
}

function repeated(bytes: Uint8Array, field: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new ProtoReader(bytes);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag())
    if (tag === tagOf(field, WIRE_BYTES)) found.push(reader.bytesValue());
    else reader.skip(tag);
  return found;
}

/** Field 1, fixed64. */
function timeOf(event: Uint8Array): bigint {
  const reader = new ProtoReader(event);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const at = reader.pos;
    reader.skip(tag);
    if (tag === tagOf(1, 1)) return new DataView(event.buffer, event.byteOffset + at, 8).getBigUint64(0, true);
  }
  return 0n;
}

export function valueText(value: AnyValue): string {
  switch (value.type) {
    case 'empty':
      return '';
    case 'array':
      return `[${value.values.map(valueText).join(', ')}]`;
    case 'kvlist':
      return `{${value.values.map((each) => `${each.key}: ${valueText(each.value)}`).join(', ')}}`;
    case 'bytes':
      return `0x${hex(value.value)}`;
    default:
      return String(value.value);
  }
}
