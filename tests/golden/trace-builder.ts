/** Traces in the JSON form of OTLP, put together span by span: what the golden data set is written with. */

export const MS = 1_000_000n;
export const UNSPECIFIED = 0;
export const INTERNAL = 1;
export const SERVER = 2;
export const CLIENT = 3;
export const PRODUCER = 4;
export const CONSUMER = 5;
export const UNSET = 0;
export const OK = 1;
export const ERROR = 2;

/** An OTLP/JSON value: `{ stringValue: … }` and so on. */
export type AnyValue = { [type: string]: unknown };

/** A value that the plain notation cannot say. */
export class Special {
  readonly any: AnyValue;

  constructor(any: AnyValue) {
    this.any = any;
  }
}

/** A string, boolean, bigint or whole number (int), fraction (double), array, or one that says more. */
export type Value = string | boolean | bigint | number | Special | Value[];
export type Values = { [key: string]: Value };

export interface KeyValue {
  key: string;
  value: AnyValue;
}

export interface Resource {
  resource: { attributes: KeyValue[]; droppedAttributesCount?: number };
  schemaUrl?: string;
}

export interface Scope {
  scope?: { name?: string; version?: string; attributes?: KeyValue[]; droppedAttributesCount?: number };
}

export interface LinkSpec {
  traceId: string;
  spanId: string;
  traceState?: string;
  flags?: number;
  droppedAttributesCount?: number;
  attrs?: Values;
}

export interface SpanSpec {
  parent?: string;
  resource?: Resource;
  scope?: Scope;
  /** Milliseconds after the start of the trace. */
  at?: number;
  ms?: number;
  kind?: number;
  status?: number;
  message?: string;
  attrs?: Values;
  events?: { at: number; name: string; attrs?: Values; dropped?: number }[];
  links?: LinkSpec[];
  id?: string;
  traceState?: string;
  flags?: number;
  droppedAttributesCount?: number;
  droppedEventsCount?: number;
  droppedLinksCount?: number;
}

export interface Entry {
  span: { [field: string]: unknown };
  resource: Resource;
  scope: Scope;
}

/** A trace under construction. */
export class Trace {
  readonly spans: Entry[] = [];
  readonly id: string;
  readonly start: bigint;
  /** Of the spans that do not name one. */
  resource: Resource = resourceOf({});
  /** The requests that it arrives in, when these are several. */
  fragments: Entry[][] | undefined;

  constructor(base: bigint, id: string, atSeconds: number) {
    this.id = id.padStart(32, '0');
    this.start = base * 1_000_000_000n + BigInt(Math.round(atSeconds * 1000)) * MS;
  }

  /** Returns the span id, to be given as `parent` of others. */
  span(name: string, spec: SpanSpec = {}): string {
    const { parent, resource, scope, at = 0, ms = 10, kind = INTERNAL, status = UNSET, message, ...more } = spec;
    const { attrs, events, links, id, ...rest } = more;
    const spanId = id ?? `${this.id.slice(-4)}${(this.spans.length + 1).toString(16).padStart(12, '0')}`;
    const nano = (t: number): string => String(this.start + BigInt(Math.round(t * 1e6)));
    const span: { [field: string]: unknown } = { traceId: this.id, spanId };
    if (parent) span.parentSpanId = parent;
    Object.assign(span, rest, { name, kind, startTimeUnixNano: nano(at), endTimeUnixNano: nano(at + ms) });
    if (attrs) span.attributes = attributesOf(attrs);
    if (events)
      span.events = events.map((event) => ({
        timeUnixNano: nano(at + event.at),
        name: event.name,
        ...(event.attrs && { attributes: attributesOf(event.attrs) }),
        ...(event.dropped && { droppedAttributesCount: event.dropped }),
      }));
    if (links)
      span.links = links.map(({ attrs: a, ...link }) => ({ ...link, ...(a && { attributes: attributesOf(a) }) }));
    if (status || message) span.status = { ...(message && { message }), ...(status && { code: status }) };
    this.spans.push({ span, resource: resource ?? this.resource, scope: scope ?? PLAIN });
    return spanId;
  }
}

/** Begins the next trace: its number is in its id, and `at` overrides the second that it starts at. */
export type Begin = (number: number, place?: { at?: number; id?: string }) => Trace;

/** Spans grouped as an SDK or a Collector groups them: by resource, then by scope. */
export function requestOf(entries: Entry[]): { [field: string]: unknown } {
  const byResource = new Map<Resource, Map<Scope, unknown[]>>();
  for (const { span, resource, scope } of entries) {
    const byScope = byResource.get(resource) ?? new Map<Scope, unknown[]>();
    byResource.set(resource, byScope);
    const spans = byScope.get(scope) ?? [];
    byScope.set(scope, spans);
    spans.push(span);
  }
  return {
    resourceSpans: [...byResource].map(([{ schemaUrl, ...resource }, byScope]) => ({
      ...resource,
      scopeSpans: [...byScope].map(([scope, spans]) => ({ ...scope, spans })),
      ...(schemaUrl && { schemaUrl }),
    })),
  };
}

export function double(x: number): Special {
  return new Special({ doubleValue: Object.is(x, -0) ? '-0' : Number.isFinite(x) ? x : String(x) });
}

export function bytes(text: string): Special {
  return new Special({ bytesValue: Buffer.from(text).toString('base64') });
}

export function map(object: Values): Special {
  return new Special({ kvlistValue: { values: attributesOf(object) } });
}

export const empty = new Special({});

export function service(name: string, attrs: Values = {}): Resource {
  return resourceOf({ 'service.name': name, ...attrs });
}

export function resourceOf(
  attrs: Values,
  extra: { schemaUrl?: string; resource?: { droppedAttributesCount: number } } = {},
): Resource {
  return {
    resource: { attributes: attributesOf(attrs), ...extra.resource },
    ...(extra.schemaUrl && { schemaUrl: extra.schemaUrl }),
  };
}

export function library(
  name?: string,
  version?: string,
  attrs?: Values,
  extra?: { droppedAttributesCount: number },
): Scope {
  return {
    scope: {
      ...(name && { name }),
      ...(version && { version }),
      ...(attrs && { attributes: attributesOf(attrs) }),
      ...extra,
    },
  };
}

const PLAIN = library('golden', '1.0.0');

function attributesOf(object: Values): KeyValue[] {
  return Object.entries(object).map(([key, value]) => ({ key, value: anyOf(value) }));
}

function anyOf(value: Value): AnyValue {
  if (value instanceof Special) return value.any;
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'bigint' || Number.isInteger(value)) return { intValue: String(value) };
  if (typeof value === 'number') return { doubleValue: value };
  return { arrayValue: { values: value.map(anyOf) } };
}
