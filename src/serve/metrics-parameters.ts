/**
 * Parameters of `/api/metrics/query_range` and `/api/metrics/query` (api.md §1.8, §6): times in four notations, steps, and
 * how a range is laid onto whole steps. Texts of errors are part of the contract.
 */
import { formatGoDuration, parseGoDuration, parseSince } from '../config/duration.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { type ApiLimits, checkQuerySize } from './parameters.ts';
import type { MetricsRequest } from './queries.ts';

/** Bounds of one tenant's metrics queries. */
export interface MetricsLimits {
  /** Longest range; 0 for no bound. */
  maxSeconds: number;
  /** Exemplars of an answer at most. */
  exemplarsMax: number;
  /** Series of an answer; 0 for no bound. */
  seriesMax: number;
  /** Intervals of a series; 0 for no bound but memory's. */
  intervalsMax: number;
  /** Ranges end so long before now, so that a series does not end in a dip. */
  endCutoffMs: number;
}

export type MetricsParameters = Omit<MetricsRequest, 'tenant'>;

/** A range as a client asked for it; without a step, one that suits it. */
export interface AskedRange {
  startNs: bigint;
  endNs: bigint;
  stepNs?: bigint;
}

const NS = 1_000_000_000n;
const MS = 1_000_000n;
const DEFAULT_SINCE_MS = 3_600_000;
const EXEMPLARS = 100;
/** Points that a series has at most when the client names no step. */
const AUTOMATIC_POINTS = 240n;

/** Of a query over a range. Throws `invalid` with the text for the client. */
export function rangeParameters(url: URLSearchParams, limits: ApiLimits, nowMs: number): MetricsParameters {
  const stepNs = desc(() => stepOf(url.get('step')));
  const asked = { ...askedRange(url, nowMs), ...(stepNs !== undefined && { stepNs }) };
  return {
    query: queryOf(url, limits),
    ...alignedRange(asked, limits.metrics, nowMs),
    instant: false,
    exemplars: exemplarsOf(url.get('exemplars'), limits.metrics.exemplarsMax),
    seriesMax: seriesOf(url.get('maxSeries'), limits.metrics.seriesMax),
  };
}

/** Of a query at an instant. */
export function instantParameters(url: URLSearchParams, limits: ApiLimits, nowMs: number): MetricsParameters {
  return {
    query: queryOf(url, limits),
    ...instantRange(askedRange(url, nowMs), limits.metrics, nowMs),
    instant: true,
    exemplars: 0,
    seriesMax: seriesOf(url.get('maxSeries'), limits.metrics.seriesMax),
  };
}

/**
 * Start down and end up to a whole step, then one step more at the start: the first sample is that of the start itself.
 * An end later than the cut-off before now becomes the last whole step before that.
 */
export function alignedRange(
  { startNs, endNs, stepNs: wanted }: AskedRange,
  limits: MetricsLimits,
  nowMs: number,
): { startNs: bigint; endNs: bigint; stepNs: bigint } {
  if (endNs < startNs) fail('end must be greater than start');
  checkLength(endNs - startNs, limits);
  if (wanted !== undefined && wanted < 0n) fail('start required');
  const stepNs = wanted || automaticStep(endNs - startNs);
  if (limits.intervalsMax > 0 && (endNs - startNs) / stepNs > BigInt(limits.intervalsMax)) {
    const least = Number((endNs - startNs) / BigInt(limits.intervalsMax)) / 1e6;
    fail(
      `step of ${formatGoDuration(Number(stepNs) / 1e6)} is too small, minimum step for given range is ${formatGoDuration(least)}`,
    );
  }
  const start = (startNs / stepNs) * stepNs - stepNs;
  const latest = BigInt(nowMs - limits.endCutoffMs) * MS;
  const isCut = limits.endCutoffMs > 0 && endNs > latest;
  const end = isCut ? (latest / stepNs) * stepNs : ((endNs + stepNs - 1n) / stepNs) * stepNs;
  return { startNs: start < 0n ? 0n : start, endNs: end, stepNs };
}

/** The range as it is, one step long. */
export function instantRange(
  { startNs, endNs }: AskedRange,
  limits: MetricsLimits,
  nowMs: number,
): { startNs: bigint; endNs: bigint; stepNs: bigint } {
  if (endNs <= startNs) fail('end must be greater than start');
  checkLength(endNs - startNs, limits);
  const latest = BigInt(nowMs - limits.endCutoffMs) * MS;
  const end = limits.endCutoffMs > 0 && endNs > latest ? latest : endNs;
  return { startNs, endNs: end, stepNs: end > startNs ? end - startNs : 1n };
}

/** A 240th of the range on a scale of round numbers. */
export function automaticStep(rangeNs: bigint): bigint {
  const exact = rangeNs / AUTOMATIC_POINTS;
  if (rangeNs < 60n * NS) {
    const grain = 50n * MS;
    const step = (exact / grain) * grain;
    return step > grain ? step : grain;
  }
  for (const seconds of [3600n, 300n, 60n, 15n, 5n, 1n]) {
    const grain = seconds * NS;
    if (exact > grain) return (exact / grain) * grain;
  }
  return NS;
}

function checkLength(rangeNs: bigint, limits: MetricsLimits): void {
  if (limits.maxSeconds > 0 && rangeNs > BigInt(Math.round(limits.maxSeconds * 1e9)))
    fail(
      `metrics query time range exceeds the maximum allowed duration of ${formatGoDuration(limits.maxSeconds * 1000)}`,
    );
}

/** `start` and `end`, of which either may be missing, and how long before the end `since` reaches back. */
function askedRange(url: URLSearchParams, nowMs: number): AskedRange {
  const nowNs = BigInt(Math.floor(nowMs)) * MS;
  const since = url.get('since');
  const sinceMs = since ? desc(() => named('since', () => parseSince(since))) : DEFAULT_SINCE_MS;
  const endNs = desc(() => named('end', () => timeOf(url.get('end')))) ?? nowNs;
  const before = endNs > nowNs ? nowNs : endNs;
  const startNs =
    desc(() => named('start', () => timeOf(url.get('start')))) ?? before - BigInt(Math.round(sinceMs * 1e6));
  return { startNs: startNs < 0n ? 0n : startNs, endNs };
}

/** Nanoseconds: of up to ten digits as seconds, of more as nanoseconds, of a fraction as seconds, of RFC 3339. */
function timeOf(text: string | null): bigint | undefined {
  if (text === null || text === '') return undefined;
  if (/^\d{1,10}$/.test(text)) return BigInt(text) * NS;
  if (/^\d{11,19}$/.test(text)) return BigInt(text);
  const fraction = /^(\d{1,10})\.(\d{1,30})$/.exec(text);
  if (fraction) return BigInt(fraction[1]) * NS + BigInt(fraction[2].slice(0, 9).padEnd(9, '0'));
  const rfc = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$/.exec(text);
  const ms = rfc ? Date.parse(rfc[1] + rfc[3]) : Number.NaN;
  if (!Number.isFinite(ms) || ms < 0)
    throw new VivaceError('invalid', `cannot read ${JSON.stringify(text.slice(0, 100))} as a time`);
  return BigInt(ms) * MS + BigInt((rfc![2] ?? '').padEnd(9, '0'));
}

/** A duration as in Go, or seconds. */
function stepOf(text: string | null): bigint | undefined {
  if (text === null || text === '') return undefined;
  const ms = /^[-+]?(?:\d{1,15}\.?\d{0,15}|\.\d{1,15})$/.test(text) ? Number(text) * 1000 : goDurationMs(text);
  if (ms === undefined || Math.abs(ms) > 1e15) return fail(`cannot parse ${JSON.stringify(text)} to a valid duration`);
  return BigInt(Math.round(ms * 1e6));
}

function goDurationMs(text: string): number | undefined {
  try {
    return parseGoDuration(text);
  } catch {
    return undefined;
  }
}

function queryOf(url: URLSearchParams, limits: ApiLimits): string {
  const query = url.get('q') || url.get('query') || '';
  checkQuerySize(query, limits);
  return query;
}

/** What is no number counts as absent, and 0 asks for the default. */
function exemplarsOf(text: string | null, max: number): number {
  const asked = text !== null && /^\d{1,9}$/.test(text) ? Number(text) : 0;
  return Math.min(asked || EXEMPLARS, max);
}

function seriesOf(text: string | null, max: number): number {
  const asked = text !== null && /^\d{1,9}$/.test(text) ? Number(text) : 0;
  return max > 0 && asked > 0 ? Math.min(asked, max) : asked || max;
}

function named<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    return fail(`could not parse '${name}' parameter: ${messageOf(error)}`);
  }
}

/** Puts before a message what stands before those of these parameters. */
function desc<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    return fail(`rpc error: code = Code(400) desc = ${messageOf(error)}`);
  }
}

function fail(message: string): never {
  throw new VivaceError('invalid', message);
}
