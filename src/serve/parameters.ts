/**
 * Parameters of the query API: everything a client may write into a URL, checked, with the defaults filled in. Texts of
 * errors are part of the contract (Grafana and scripts show them), so they keep the words of the original, down to the
 * names of Go's number parsers.
 */
import { formatGoDuration, parseGoDuration, parseSince } from '../config/duration.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { parseLogfmt } from './logfmt.ts';
import type { MetricsLimits } from './metrics-parameters.ts';
import type { TagScope, TraceRequest } from './queries.ts';

/** Bounds and defaults of one tenant's requests. */
export interface ApiLimits {
  /** Traces of a search without `limit`. */
  defaultResultLimit: number;
  /** Greatest `limit`; 0 for no bound. */
  maxResultLimit: number;
  /** Longest range of a search; 0 for no bound. */
  maxSearchSeconds: number;
  /** Spans listed of each span set without `spss`. */
  defaultSpss: number;
  /** Greatest `spss`; 0 for no bound. */
  maxSpss: number;
  /** Longest TraceQL text; 0 for no bound. */
  queryBytesMax: number;
  /** Searches end so long before now, so that an answer does not change when asked again. 0 shows what is newest. */
  queryEndCutoffMs: number;
  /** Whether searches answer trace ids with all 32 digits instead of without their leading zeros. */
  leftPadTraceIds: boolean;
  /** Bytes of names or values that one tag request may answer; 0 for no bound. */
  tagBytesMax: number;
  /** Bytes of a trace by id; 0 for no bound. */
  traceBytesMax: number;
  metrics: MetricsLimits;
}

/** Whole seconds, both inclusive. `given` is false when the client named no range. */
export interface TimeRange {
  startSeconds: number;
  endSeconds: number;
  given: boolean;
}

export interface SearchParameters extends TimeRange {
  query: string;
  /** Undefined for a TraceQL search. */
  tags: Map<string, string> | undefined;
  minDurationNs: bigint | undefined;
  maxDurationNs: bigint | undefined;
  limit: number;
  spansPerSpanSet: number;
}

export interface TagParameters extends TimeRange {
  scope: TagScope;
  query: string | undefined;
  limit: number;
  maxStaleValues: number;
}

const DEFAULT_RANGE_SECONDS = 15 * 60;
const UINT32_MAX = 0xffffffff;
const TRACE_ID_DIGITS = 32;

/** Of `/api/search`. Throws `invalid` with the text for the client; `nowMs` places ranges that are relative. */
export function searchParameters(url: URLSearchParams, limits: ApiLimits, nowMs: number): SearchParameters {
  const query = url.get('q') ?? '';
  checkQuerySize(query, limits);
  const tagsText = url.get('tags') ?? '';
  if (query !== '' && tagsText !== '') fail("invalid request: can't specify tags and q in the same query");
  const start = named('start', () => uint32(url.get('start')));
  const end = named('end', () => uint32(url.get('end')));
  const minDurationNs = named('minDuration', () => goDurationNs(url.get('minDuration')));
  const maxDurationNs = named('maxDuration', () => goDurationNs(url.get('maxDuration')));
  if (maxDurationNs !== undefined && maxDurationNs > 0n && maxDurationNs <= (minDurationNs ?? 0n)) {
    fail('invalid maxDuration: must be greater than minDuration');
  }
  return {
    query,
    tags: query === '' ? named('tags', () => parseLogfmt(tagsText)) : undefined,
    minDurationNs,
    maxDurationNs: maxDurationNs === 0n ? undefined : maxDurationNs,
    limit: searchLimit(url, limits),
    spansPerSpanSet: spansPerSpanSet(url, limits),
    ...searchRange(start, end, url.get('since'), limits, nowMs),
  };
}

/** Of the four tag routes. A malformed `limit` or `maxStaleValues` counts as absent, as in the original. */
export function tagParameters(url: URLSearchParams, limits: ApiLimits, nowMs: number): TagParameters {
  const query = url.get('q') ?? '';
  checkQuerySize(query, limits);
  const start = inRange('start', () => int32(url.get('start')));
  const end = inRange('end', () => int32(url.get('end')));
  if ((start === undefined) !== (end === undefined)) oneSided();
  return {
    scope: tagScope(url.get('scope') ?? ''),
    query: query.trim() === '' ? undefined : query,
    limit: lenientCount(url.get('limit')),
    maxStaleValues: lenientCount(url.get('maxStaleValues')),
    ...searchRange(start, end, url.get('since'), limits, nowMs),
  };
}

/** Of `/api/traces/{id}` and its v2. */
export function traceParameters(url: URLSearchParams): Pick<TraceRequest, 'mode' | 'startSeconds' | 'endSeconds'> {
  const mode = traceMode(url.get('mode') ?? '');
  checkUuid('blockstart', url.get('blockStart') ?? '');
  checkUuid('blockend', url.get('blockEnd') ?? '');
  const startSeconds = named('start', () => int64(url.get('start')));
  const endSeconds = named('end', () => int64(url.get('end')));
  if (startSeconds && endSeconds && startSeconds > endSeconds) mustBeBefore(startSeconds, endSeconds);
  // Zero is how a client says "no bound", as if the parameter were absent.
  return { mode, startSeconds: startSeconds || undefined, endSeconds: endSeconds || undefined };
}

/** 1 to 32 hex digits of either case to 16 bytes, padded on the left. */
export function parseTraceId(text: string): Uint8Array {
  const bad = /[^0-9a-fA-F]/u.exec(text);
  if (bad)
    fail(`trace IDs can only contain hex characters: invalid character '${bad[0]}' at position ${bad.index + 1}`);
  if (text.length > TRACE_ID_DIGITS) fail("trace IDs can't be larger than 128 bits");
  return new Uint8Array(Buffer.from(text.padStart(TRACE_ID_DIGITS, '0'), 'hex'));
}

/**
 * `start` and `end` alone are refused, neither is the last quarter of an hour. With a cut-off the range ends so long
 * before now; without one it is open, so that a span whose clock runs ahead is found as soon as it is stored.
 */
function searchRange(
  start: number | undefined,
  end: number | undefined,
  since: string | null,
  limits: ApiLimits,
  nowMs: number,
): TimeRange {
  const cutoffSeconds = Math.floor((nowMs - limits.queryEndCutoffMs) / 1000);
  const clamp = (seconds: number) => (limits.queryEndCutoffMs > 0 ? Math.min(seconds, cutoffSeconds) : seconds);
  if (since) {
    const sinceMs = inRange('since', () => parseSince(since));
    const endSeconds = end || cutoffSeconds;
    return checkedRange(start || Math.max(0, Math.floor(endSeconds - sinceMs / 1000)), clamp(endSeconds), true, limits);
  }
  if (!start && !end) {
    const openSeconds = limits.queryEndCutoffMs > 0 ? cutoffSeconds : UINT32_MAX;
    return { startSeconds: Math.max(0, cutoffSeconds - DEFAULT_RANGE_SECONDS), endSeconds: openSeconds, given: false };
  }
  if (!end) mustBeBefore(start ?? 0, 0);
  if (!start) oneSided();
  if (start >= end) mustBeBefore(start, end);
  // A range that lies wholly after the cut-off becomes empty; it is not the client's mistake.
  return checkedRange(start, Math.max(start, clamp(end)), true, limits);
}

function checkedRange(startSeconds: number, endSeconds: number, given: boolean, limits: ApiLimits): TimeRange {
  if (limits.maxSearchSeconds > 0 && endSeconds - startSeconds > limits.maxSearchSeconds) {
    const longest = formatGoDuration(limits.maxSearchSeconds * 1000);
    fail(`range specified by start and end exceeds ${longest}. received start=${startSeconds} end=${endSeconds}`);
  }
  return { startSeconds, endSeconds, given };
}

function mustBeBefore(start: number, end: number): never {
  fail(`http parameter start must be before end. received start=${start} end=${end}`);
}

function oneSided(): never {
  fail('error parsing date range: only one of start and end provided: must provide both or neither');
}

function searchLimit(url: URLSearchParams, limits: ApiLimits): number {
  const limit = named('limit', () => uint32(url.get('limit')));
  if (limit === 0) fail('invalid limit: must be a positive number');
  const bound = limits.maxResultLimit || Number.POSITIVE_INFINITY;
  if (limit === undefined) return Math.min(limits.defaultResultLimit, bound);
  if (limit > bound) fail(`limit ${limit} exceeds max limit ${limits.maxResultLimit}`);
  return limit;
}

function spansPerSpanSet(url: URLSearchParams, limits: ApiLimits): number {
  const spss = named('spss', () => uint32(url.get('spss')));
  if (limits.maxSpss > 0 && spss !== undefined && spss > limits.maxSpss) {
    fail(`spans per span set exceeds ${limits.maxSpss}. received ${spss}`);
  }
  return spss || limits.defaultSpss;
}

/** Counted in bytes of UTF-8. */
export function checkQuerySize(query: string, limits: ApiLimits): void {
  if (limits.queryBytesMax > 0 && Buffer.byteLength(query) > limits.queryBytesMax) {
    fail(
      `TraceQL expression exceeds the configured maximum size of ${limits.queryBytesMax} bytes, ` +
        'reduce the query expression size or contact your system administrator',
    );
  }
}

const TAG_SCOPES: readonly string[] = [
  '',
  'none',
  'span',
  'resource',
  'intrinsic',
  'event',
  'link',
  'instrumentation',
  'trace',
] satisfies TagScope[];

function tagScope(text: string): TagScope {
  if (!TAG_SCOPES.includes(text)) fail(`invalid scope: ${text}`);
  return text as TagScope;
}

function traceMode(text: string): TraceRequest['mode'] {
  switch (text) {
    case '':
    case 'all':
    // There is no external store to ask, so everything is asked.
    case 'external':
      return 'all';
    case 'ingesters':
      return 'recent';
    case 'blocks':
      return 'blocks';
    default:
      return fail(`invalid value for mode ${text}`);
  }
}

/** The shard bounds of internal requests have no effect here, but a client that garbles them is told. */
function checkUuid(name: string, text: string): void {
  if (text === '') return;
  if (text.length !== 36) fail(`invalid value for ${name}: invalid UUID length: ${text.length}`);
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) {
    fail(`invalid value for ${name}: invalid UUID format`);
  }
}

function uint32(text: string | null): number | undefined {
  return wholeNumber(text, 'ParseUint', /^\d+$/, 0n, 0xffffffffn);
}

function int32(text: string | null): number | undefined {
  return wholeNumber(text, 'ParseInt', /^[-+]?\d+$/, -0x80000000n, 0x7fffffffn);
}

function int64(text: string | null): number | undefined {
  return wholeNumber(text, 'ParseInt', /^[-+]?\d+$/, -(2n ** 63n), 2n ** 63n - 1n);
}

/** Undefined for an absent or empty parameter. */
function wholeNumber(
  text: string | null,
  parser: string,
  syntax: RegExp,
  min: bigint,
  max: bigint,
): number | undefined {
  if (text === null || text === '') return undefined;
  const refuse = (why: string) => fail(`strconv.${parser}: parsing ${JSON.stringify(text)}: ${why}`);
  if (!syntax.test(text)) refuse('invalid syntax');
  // Turning digits into a number takes time that grows with their square; no number in range is this long.
  if (text.replace(/^[-+]?0*/, '').length > 20) refuse('value out of range');
  const value = BigInt(text.replace(/^\+/, ''));
  if (value < min || value > max) refuse('value out of range');
  return Number(value);
}

function lenientCount(text: string | null): number {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : 0;
}

function goDurationNs(text: string | null): bigint | undefined {
  return text ? BigInt(Math.round(parseGoDuration(text) * 1e6)) : undefined;
}

/** Puts the parameter's name in front of what `parse` complains about. */
function named<T>(name: string, parse: () => T): T {
  return prefixed(`invalid ${name}`, parse);
}

function inRange<T>(name: string, parse: () => T): T {
  return prefixed(`error parsing date range: could not parse '${name}' parameter`, parse);
}

function prefixed<T>(prefix: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    return fail(`${prefix}: ${messageOf(error)}`);
  }
}

function fail(message: string): never {
  throw new VivaceError('invalid', message);
}
