/**
 * An ExportTraceServiceRequest as lines of text, to compare conversions with what is expected:
 *
 *   resource service.name="svc"
 *   scope lib 1.0
 *   span 0102…0fa1 1112131415161718 <parent "op" client 1700000000000000000+1000000 error "message" state="k=v"
 *     k="v" n=1 d=1.5 b=true bytes=0x00
 *     event 1700000000000000000 "name" k="v"
 *     link trace span k="v"
 */
import { type Attribute, decodeRequest, type Span, type Value } from '../cut/otlp.fixture.ts';

const KINDS = ['', 'internal', 'server', 'client', 'producer', 'consumer'];
const STATUSES = ['', 'ok', 'error'];

export function otlpText(request: Uint8Array): string[] {
  return decodeRequest(request).flatMap(({ resource, scopes }) => [
    `resource ${attributes(resource?.attributes ?? [])}`.trim(),
    ...scopes.flatMap(({ scope, spans }) => [
      ...(scope?.name || scope?.version ? [`scope ${scope.name} ${scope.version}`.trim()] : []),
      ...spans.flatMap(span),
    ]),
  ]);
}

function span(of: Span): string[] {
  return [
    [
      `span ${of.traceId} ${of.spanId}`,
      of.parentId === '' ? '' : `<${of.parentId}`,
      JSON.stringify(of.name),
      KINDS[of.kind],
      `${of.start}+${of.end - of.start}`,
      STATUSES[of.status],
      of.statusMessage === '' ? '' : JSON.stringify(of.statusMessage),
      of.traceState === '' ? '' : `state=${JSON.stringify(of.traceState)}`,
      of.droppedAttributes + of.droppedEvents + of.droppedLinks === 0
        ? ''
        : `dropped=${of.droppedAttributes},${of.droppedEvents},${of.droppedLinks}`,
    ]
      .filter((part) => part !== '')
      .join(' '),
    ...(of.attributes.length === 0 ? [] : [`  ${attributes(of.attributes)}`]),
    ...of.events.map((event) =>
      `  event ${event.time} ${JSON.stringify(event.name)} ${attributes(event.attributes)}${event.dropped ? ` dropped=${event.dropped}` : ''}`.trimEnd(),
    ),
    ...of.links.map((link) =>
      `  link ${link.traceId} ${link.spanId} ${link.traceState ? `state=${JSON.stringify(link.traceState)} ` : ''}${attributes(link.attributes)}${link.dropped ? ` dropped=${link.dropped}` : ''}`.trimEnd(),
    ),
  ];
}

function attributes(list: readonly Attribute[]): string {
  return list.map(({ key, value }) => `${key}=${text(value)}`).join(' ');
}

function text(value: Value): string {
  switch (value.type) {
    case 'string':
      return JSON.stringify(value.value);
    case 'double':
      return `${new Float64Array(BigUint64Array.of(value.bits).buffer)[0]}d`;
    case 'bytes':
      return `0x${value.hex}`;
    case 'int':
    case 'bool':
      return String(value.value);
    default:
      return value.type;
  }
}
