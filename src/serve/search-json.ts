/** `SearchAnswer` as the JSON of `/api/search` (api.md §4.5), put together from strings: no tree, no stringify. */
import { int32Member, int64Member, jsonDouble, jsonObject, jsonString } from './json-text.ts';
import type {
  AttributeValue,
  ResultAttribute,
  SearchAnswer,
  SearchMetrics,
  SpanSetResult,
  TraceResult,
} from './queries.ts';

/** What stands for the service of a trace whose root span is unknown. */
export const ROOT_UNKNOWN = '<root span not yet received>';

/** Trace ids lose their leading zeros unless `leftPadTraceIds`. */
export function searchJson(answer: SearchAnswer, leftPadTraceIds: boolean): string {
  let text = '{"traces":[';
  for (let i = 0; i < answer.traces.length; i++) {
    if (i > 0) text += ',';
    text += traceJson(answer.traces[i], leftPadTraceIds);
  }
  return `${text}],"metrics":${searchMetricsJson(answer.metrics)}}`;
}

export function searchMetricsJson(metrics: SearchMetrics): string {
  return jsonObject([
    int32Member('inspectedTraces', metrics.inspectedTraces),
    int64Member('inspectedBytes', metrics.inspectedBytes),
    int32Member('totalBlocks', metrics.totalBlocks),
    int32Member('completedJobs', metrics.completedJobs),
    int32Member('totalJobs', metrics.totalJobs),
    int64Member('totalBlockBytes', metrics.totalBlockBytes),
    int64Member('inspectedSpans', metrics.inspectedSpans),
  ]);
}

/** Hex without the zeros on the left, as searches name traces; an id of zeros alone keeps one. */
export function shownTraceId(traceId: string, leftPadTraceIds: boolean): string {
  return leftPadTraceIds ? traceId.padStart(32, '0') : traceId.replace(/^0+(?=.)/, '');
}

function traceJson(trace: TraceResult, leftPadTraceIds: boolean): string {
  let text = `{"traceID":"${shownTraceId(trace.traceId, leftPadTraceIds)}"`;
  const service = trace.rootServiceName ?? ROOT_UNKNOWN;
  if (service !== '') text += `,"rootServiceName":${jsonString(service)}`;
  if (trace.rootTraceName) text += `,"rootTraceName":${jsonString(trace.rootTraceName)}`;
  if (trace.startUnixNano > 0n) text += `,"startTimeUnixNano":"${trace.startUnixNano}"`;
  const durationMs = Math.trunc(trace.durationMs);
  if (durationMs > 0) text += `,"durationMs":${durationMs}`;
  if (trace.spanSets !== undefined && trace.spanSets.length > 0) {
    const sets = trace.spanSets.map(spanSetJson);
    // Older clients read the first set under its former name.
    text += `,"spanSet":${sets[0]},"spanSets":[${sets.join(',')}]`;
  }
  if (trace.serviceStats !== undefined && trace.serviceStats.size > 0) text += statsJson(trace.serviceStats);
  return text + '}';
}

function statsJson(stats: Map<string, { spanCount: number; errorCount: number }>): string {
  let text = '';
  for (const [service, { spanCount, errorCount }] of stats) {
    text += `${text === '' ? '' : ','}${jsonString(service)}:{`;
    if (spanCount > 0) text += `"spanCount":${spanCount}`;
    if (errorCount > 0) text += `${spanCount > 0 ? ',' : ''}"errorCount":${errorCount}`;
    text += '}';
  }
  return `,"serviceStats":{${text}}`;
}

function spanSetJson(set: SpanSetResult): string {
  let text = '';
  for (const span of set.spans) {
    text += `${text === '' ? '' : ','}{"spanID":"${span.spanId}"`;
    if (span.name) text += `,"name":${jsonString(span.name)}`;
    if (span.startUnixNano > 0n) text += `,"startTimeUnixNano":"${span.startUnixNano}"`;
    if (span.durationNs > 0n) text += `,"durationNanos":"${span.durationNs}"`;
    if (span.attributes.length > 0) text += `,"attributes":${attributesJson(span.attributes)}`;
    text += '}';
  }
  text = `{"spans":[${text}]`;
  if (set.matched > 0) text += `,"matched":${set.matched}`;
  if (set.attributes !== undefined && set.attributes.length > 0)
    text += `,"attributes":${attributesJson(set.attributes)}`;
  return text + '}';
}

function attributesJson(attributes: ResultAttribute[]): string {
  let text = '';
  for (const { key, value } of attributes) {
    text += `${text === '' ? '' : ','}{"key":${jsonString(key)},"value":${valueJson(value)}}`;
  }
  return `[${text}]`;
}

export function valueJson(value: AttributeValue): string {
  switch (value.type) {
    case 'string':
      return `{"stringValue":${jsonString(value.value)}}`;
    case 'int':
      return `{"intValue":"${value.value}"}`;
    case 'double':
      return `{"doubleValue":${jsonDouble(value.value)}}`;
    case 'bool':
      return `{"boolValue":${value.value}}`;
    case 'array':
      return value.values.length === 0
        ? '{"arrayValue":{}}'
        : `{"arrayValue":{"values":[${value.values.map(valueJson).join(',')}]}}`;
  }
}
