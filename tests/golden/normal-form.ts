/**
 * Answers in the form that golden ones are kept in: what a server may order freely is sorted, times are relative to the base
 * (nanoseconds; of samples seconds), floats have 9 significant digits, and what differs from run to run (bytes inspected,
 * jobs) is dropped.
 */
import type { GoldenQuery } from './queries.ts';
import { decode, type Message } from './wire.ts';

/** The normal form of an answer's body, or a text that says why it cannot be read. */
export function normalForm(query: GoldenQuery, status: number, type: string, bytes: Buffer, base: number): unknown {
  const protobuf = type === 'application/protobuf';
  if (status !== 200 || (!protobuf && !/json|llm/.test(type))) return relativeText(bytes.toString().trim(), base);
  const path = query.path.split('?')[0];
  const route = ROUTES.find(({ pattern }) => pattern.test(path));
  const context: Context = { base, compare: query.compare, raw: query.raw };
  let answer: Message;
  try {
    answer = protobuf ? (jsonShape(decode(route!.message!, bytes)) as Message) : JSON.parse(bytes.toString());
  } catch (error) {
    return `cannot parse: ${(error as Error).message}`;
  }
  if (query.compare === 'keys') return Object.keys(answer).sort();
  const known = route !== undefined && (route.accepts?.(answer) ?? true);
  return sortKeys(known ? route.form(answer, context) : generic(answer, base));
}

interface Context {
  base: number;
  compare: GoldenQuery['compare'];
  raw: boolean | undefined;
}

interface Route {
  pattern: RegExp;
  /** Of the protobuf answer. */
  message?: string;
  form: (answer: Message, context: Context) => unknown;
  /** Whether the answer has the shape that the form is for. */
  accepts?: (answer: Message) => boolean;
}

const ROUTES: Route[] = [
  { pattern: /^\/api\/search$/, message: 'SearchResponse', form: search },
  { pattern: /^\/api\/search\/tags$/, message: 'SearchTagsResponse', form: tagNames },
  { pattern: /^\/api\/v2\/search\/tags$/, message: 'SearchTagsV2Response', form: tagScopes },
  { pattern: /^\/api\/search\/tag\/.*\/values$/, message: 'SearchTagValuesResponse', form: tagValues },
  {
    pattern: /^\/api\/v2\/search\/tag\/.*\/values$/,
    message: 'SearchTagValuesV2Response',
    form: typedTagValues,
    accepts: ({ tagValues }) => tagValues === undefined || Array.isArray(tagValues),
  },
  { pattern: /^\/api\/metrics\/query_range$/, form: series },
  { pattern: /^\/api\/metrics\/query$/, form: series },
  { pattern: /^\/api\/traces\//, message: 'Trace', form: traceV1 },
  {
    pattern: /^\/api\/v2\/traces\//,
    message: 'TraceByIDResponse',
    form: traceV2,
    accepts: ({ trace }) => (trace as Message | undefined)?.services === undefined,
  },
];

const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'].map((k) => `SPAN_KIND_${k}`);
const STATUSES = ['UNSET', 'OK', 'ERROR'].map((s) => `STATUS_CODE_${s}`);

// ---- search --------------------------------------------------------------------------------------------------------

interface TraceSummary {
  traceID: string;
  rootServiceName?: string;
  rootTraceName?: string;
  startTimeUnixNano?: string;
  durationMs?: number;
  serviceStats?: { [name: string]: { spanCount?: number; errorCount?: number } };
  spanSet?: SpanSet;
  spanSets?: SpanSet[];
}

interface SpanSet {
  spans?: Message[];
  matched?: number;
  attributes?: KeyValue[];
}

function search({ traces, metrics }: Message, context: Context): unknown {
  const list = (traces as TraceSummary[] | undefined)?.map((trace) => {
    const sets = trace.spanSets && sorted(trace.spanSets.map((set) => spanSet(set, context)));
    const stats = Object.entries(trace.serviceStats ?? {});
    return {
      id: context.raw ? trace.traceID : trace.traceID.replace(/^0+(?=.)/, ''),
      root: [trace.rootServiceName ?? '', trace.rootTraceName ?? ''],
      start: relative(trace.startTimeUnixNano, context.base),
      ms: trace.durationMs ?? 0,
      services:
        trace.serviceStats &&
        Object.fromEntries(stats.map(([name, s]) => [name, [s.spanCount ?? 0, s.errorCount ?? 0]])),
      sets,
      // The deprecated twin of spanSets is one of them, whichever it is.
      set: trace.spanSet && (includes(sets, spanSet(trace.spanSet, context)) ? 'one of sets' : 'not one of sets'),
    };
  });
  if (context.compare === 'count') return { traces: list?.length, metrics: metrics !== undefined };
  return { traces: list?.sort((a, b) => (a.id < b.id ? -1 : 1)), metrics: metrics !== undefined };
}

function spanSet({ spans = [], matched = 0, attributes }: SpanSet, { base, compare }: Context): unknown {
  const set = { matched, attributes: attributesOf(attributes) };
  // Which spans are listed is the server's choice when there are more.
  if (compare === 'matched' || compare === 'count') return set;
  if (matched > spans.length) return { ...set, listed: spans.length };
  const place = (s: Message): Message => ({
    id: s.spanID,
    start: relative(s.startTimeUnixNano, base),
    ns: s.durationNanos ?? '0',
  });
  if (compare === 'spans') return { matched, spans: sorted(spans.map(place)) };
  const full = (s: Message): Message => ({
    ...place(s),
    name: s.name,
    attributes: attributesOf(s.attributes as KeyValue[] | undefined),
  });
  return { ...set, spans: sorted(spans.map(full)) };
}

function includes(list: unknown[] | undefined, one: unknown): boolean {
  return list?.some((each) => byText(each, one) === 0) ?? false;
}

// ---- tags ----------------------------------------------------------------------------------------------------------

/** Tempo lists the names it has columns for, whether or not a filter leaves a span that has them. */
const WELL_KNOWN = new Set(
  (
    'http.method http.url http.status_code http.request.method http.route server.address service.name service.namespace ' +
    'service.version cluster namespace pod container k8s.cluster.name k8s.namespace.name k8s.pod.name k8s.container.name'
  ).split(' '),
);

function tagNames({ tagNames, metrics }: Message): unknown {
  return { tagNames: tagNames && sorted(tagNames as string[]), metrics: metrics !== undefined };
}

function tagScopes({ scopes, metrics }: Message, { compare }: Context): unknown {
  const list = (scopes as { name: string; tags?: string[] }[] | undefined)?.map(({ name, tags = [] }) => {
    const all = compare !== 'specific' || name === 'intrinsic';
    return [name, sorted(tags).filter((tag) => all || !WELL_KNOWN.has(tag))] as const;
  });
  return {
    scopes: list && Object.fromEntries(list.filter(([, tags]) => tags.length > 0)),
    metrics: metrics !== undefined,
  };
}

function tagValues({ tagValues, metrics }: Message): unknown {
  return { tagValues: tagValues && sorted(tagValues as string[]), metrics: metrics !== undefined };
}

function typedTagValues({ tagValues, metrics }: Message): unknown {
  const list = tagValues as { type: string; value?: string }[] | undefined;
  return {
    tagValues: list && sorted(list.map(({ type, value }) => [type, value ?? ''])),
    metrics: metrics !== undefined,
  };
}

// ---- metrics -------------------------------------------------------------------------------------------------------

interface Sample {
  timestampMs: unknown;
  value?: number;
}

interface Series {
  labels?: KeyValue[];
  value?: number;
  samples?: Sample[];
  exemplars?: (Sample & { labels?: KeyValue[] })[];
}

function series({ series, status, message, metrics }: Message, { base, compare }: Context): unknown {
  const at = (ms: unknown): unknown =>
    typeof ms === 'string' ? Number(BigInt(ms) - BigInt(base) * 1000n) / 1000 : `not a string: ${ms}`;
  const labels = (list: KeyValue[] = []): unknown[] => sorted(list.map(attribute));
  const list = (series as Series[] | undefined)?.map((s) => ({
    labels: labels(s.labels),
    value: s.samples ? undefined : round(s.value ?? 0),
    samples: s.samples?.map((p) => [at(p.timestampMs), round(p.value ?? 0)]),
    exemplars:
      compare === 'exemplars'
        ? sorted(
            (s.exemplars ?? []).map((e) => ({
              labels: labels(e.labels),
              value: round(e.value ?? 0),
              at: at(e.timestampMs),
            })),
          )
        : undefined,
  }));
  if (compare !== 'values') return { series: list && sorted(list), status, message, metrics: metrics !== undefined };
  const byTime: { [time: string]: number[] } = {};
  for (const { value, samples = [[0, value]] } of list ?? [])
    for (const [time, v] of samples) (byTime[String(time)] ??= []).push(v as number);
  for (const values of Object.values(byTime)) values.sort((a, b) => a - b);
  return { values: byTime, metrics: metrics !== undefined };
}

// ---- traces --------------------------------------------------------------------------------------------------------

interface ResourceSpans {
  resource?: Message;
  schemaUrl?: string;
  scopeSpans?: { scope?: Message; schemaUrl?: string; spans?: Message[] }[];
}

function traceV1(answer: Message, { base, compare }: Context): unknown {
  if (answer.batches === undefined) return { keys: Object.keys(answer) };
  return { batches: resourceSpans(answer.batches as ResourceSpans[], base, compare) };
}

function traceV2({ trace, metrics, status, message }: Message, { base, compare }: Context): unknown {
  const list = (trace as { resourceSpans?: ResourceSpans[] } | undefined)?.resourceSpans;
  return {
    trace: trace && { resourceSpans: list && resourceSpans(list, base, compare) },
    metrics: metrics !== undefined,
    status: status || undefined,
    message,
  };
}

/** Spans of one resource and one scope belong together, however they are batched. */
function resourceSpans(list: ResourceSpans[], base: number, compare: Context['compare']): unknown {
  const groups = new Map<string, { resource: unknown; scope: unknown; spans: unknown[] }>();
  for (const each of list) {
    for (const scopeSpans of each.scopeSpans ?? []) {
      const resource = {
        attributes: attributesOf(each.resource?.attributes as KeyValue[] | undefined),
        dropped: each.resource?.droppedAttributesCount,
        schemaUrl: each.schemaUrl,
      };
      const scope = {
        name: scopeSpans.scope?.name,
        version: scopeSpans.scope?.version,
        attributes: attributesOf(scopeSpans.scope?.attributes as KeyValue[] | undefined),
        dropped: scopeSpans.scope?.droppedAttributesCount,
        schemaUrl: scopeSpans.schemaUrl,
      };
      const key = JSON.stringify([resource, scope]);
      const group = groups.get(key) ?? { resource, scope, spans: [] };
      groups.set(key, group);
      group.spans.push(...(scopeSpans.spans ?? []).map((span) => spanOf(span, base)));
    }
  }
  const groupsOf = [...groups.values()];
  return sorted(groupsOf.map((g) => ({ ...g, spans: compare === 'count' ? g.spans.length : sorted(g.spans) })));
}

function spanOf(span: Message, base: number): unknown {
  const status = span.status as { code?: string; message?: string } | undefined;
  return {
    trace: hexOf(span.traceId, 16),
    id: hexOf(span.spanId, 8),
    parent: hexOf(span.parentSpanId, 8),
    name: span.name ?? '',
    kind: span.kind ?? KINDS[0],
    start: relative(span.startTimeUnixNano, base),
    end: relative(span.endTimeUnixNano, base),
    state: span.traceState,
    flags: span.flags,
    status: status && [status.code ?? STATUSES[0], status.message ?? ''],
    attributes: attributesOf(span.attributes as KeyValue[] | undefined),
    dropped: [span.droppedAttributesCount ?? 0, span.droppedEventsCount ?? 0, span.droppedLinksCount ?? 0],
    events:
      span.events &&
      sorted(
        (span.events as Message[]).map((event) => ({
          at: relative(event.timeUnixNano, base),
          name: event.name ?? '',
          attributes: attributesOf(event.attributes as KeyValue[] | undefined),
          dropped: event.droppedAttributesCount,
        })),
      ),
    links:
      span.links &&
      sorted(
        (span.links as Message[]).map((link) => ({
          trace: hexOf(link.traceId, 16),
          id: hexOf(link.spanId, 8),
          state: link.traceState,
          attributes: attributesOf(link.attributes as KeyValue[] | undefined),
          dropped: link.droppedAttributesCount,
          flags: link.flags,
        })),
      ),
  };
}

/** Ids are base64 in JSON answers and bytes in protobuf ones; anything else shows up as a difference. */
function hexOf(id: unknown, length: number): string | undefined {
  if (typeof id !== 'string' || id === '') return undefined;
  if (id.startsWith('hex:')) return id.slice(4);
  const raw = Buffer.from(id, 'base64');
  const right = raw.length === length && raw.toString('base64') === id;
  return right ? raw.toString('hex') : `not base64 of ${length} bytes: ${id}`;
}

// ---- values --------------------------------------------------------------------------------------------------------

type AnyValue = { [type: string]: unknown };

interface KeyValue {
  key: string;
  value?: AnyValue;
}

/** [key, type, value], so that the type of a value is compared as well. */
function attribute({ key, value = {} }: KeyValue): unknown[] {
  const [type = 'none'] = Object.keys(value);
  return [key, type.replace('Value', ''), plainValue(value)];
}

function plainValue(value: AnyValue): unknown {
  const [type] = Object.keys(value);
  const plain = value[type];
  switch (type) {
    case undefined:
      return null;
    case 'arrayValue':
      return ((plain as { values?: AnyValue[] }).values ?? []).map((e) => attribute({ key: '', value: e }).slice(1));
    case 'kvlistValue':
      return attributesOf((plain as { values?: KeyValue[] }).values);
    case 'intValue':
      return typeof plain === 'string' ? plain : `not a string: ${plain}`;
    default:
      return round(plain);
  }
}

function attributesOf(list: KeyValue[] | undefined): unknown[] | undefined {
  return list?.length ? sorted(list.map(attribute)) : undefined;
}

function relative(nano: unknown, base: number): string | undefined {
  if (nano === undefined) return undefined;
  return typeof nano === 'string' ? String(BigInt(nano) - BigInt(base) * 1_000_000_000n) : `not a string: ${nano}`;
}

function round(value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(9)) : value;
}

function byText(a: unknown, b: unknown): number {
  const [x, y] = [JSON.stringify(a), JSON.stringify(b)];
  return x < y ? -1 : x > y ? 1 : 0;
}

function sorted<T>(list: readonly T[]): T[] {
  return [...list].sort(byText);
}

/** Instants near the base as {base+N}, without the names of blocks and the addresses of components. */
function relativeText(text: string, base: number): string {
  const show = (seconds: number): string => `{base${seconds < base ? '-' : '+'}${Math.abs(seconds - base)}}`;
  const showDigits = (digits: string): string => {
    const seconds = Number(digits.slice(0, 10));
    return Math.abs(seconds - base) < 2_000_000 ? show(seconds) + digits.slice(10) : digits;
  };
  return text
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '{uuid}')
    .replace(/\b127\.0\.0\.1:\d+/g, '{address}')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (date) => show(Date.parse(date) / 1000))
    .replace(/\d{19}|\d{10}/g, showDigits);
}

// ---- shapes --------------------------------------------------------------------------------------------------------

/** A decoded protobuf answer with the names and shapes of the JSON one. */
function jsonShape(node: unknown, key?: string): unknown {
  if (Array.isArray(node)) {
    if (key !== 'serviceStats') return node.map((each) => jsonShape(each, ''));
    return Object.fromEntries(node.map((entry) => [entry.key ?? '', jsonShape(entry.value ?? {}, '')]));
  }
  if (!isObject(node)) return node;
  const out: Message = {};
  for (const [name, value] of Object.entries(node)) {
    if (name === 'traceId' || name === 'spanId' || name === 'parentSpanId') out[name] = `hex:${value}`;
    else if (name === 'kind') out[name] = KINDS[value as number];
    else if (name === 'code') out[name] = STATUSES[value as number];
    else if (name === 'status' && typeof value === 'number') out[name] = value ? 'PARTIAL' : undefined;
    else out[name] = jsonShape(value, name);
  }
  // A v1 trace has only this field, which its JSON calls batches.
  if (key === undefined && Object.keys(out).join() === 'resourceSpans') return { batches: out.resourceSpans };
  return out;
}

/** Any other JSON: lists sorted, times made relative. */
function generic(node: unknown, base: number): unknown {
  if (Array.isArray(node)) return sorted(node.map((each) => generic(each, base)));
  if (typeof node === 'string') return relativeText(node, base);
  if (!isObject(node)) return round(node);
  return Object.fromEntries(Object.entries(node).map(([k, v]) => [k, k === 'metrics' ? true : generic(v, base)]));
}

function sortKeys(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(sortKeys);
  if (!isObject(node)) return node;
  const keys = Object.keys(node).filter((key) => node[key] !== undefined);
  return Object.fromEntries(keys.sort().map((key) => [key, sortKeys(node[key])]));
}

function isObject(node: unknown): node is Message {
  return node !== null && typeof node === 'object' && !Array.isArray(node);
}
