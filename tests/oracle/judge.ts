/** Asks the engine and the evaluator the same, and tells whether they agree. */
import type { Segment } from '../../src/block/segment.ts';
import { beginMetrics } from '../../src/query/metrics.ts';
import type { FoundValue } from '../../src/query/results.ts';
import { searchTraces } from '../../src/query/search.ts';
import { plainStats } from '../../src/query/service-stats.ts';
import type { Joining } from '../../src/query/units.ts';
import { EVER, traceIdOf } from '../../src/query/segments.fixture.ts';
import { parseQuery } from '../../src/traceql/parse.ts';
import type { FieldExpr, Query, Reference, StaticValue } from '../../src/traceql/ast.ts';
import { VivaceError } from '../../src/runtime/errors.ts';
import { search, show } from './evaluate.ts';
import { evaluate } from './field.ts';
import { metricsSeries, shownLabels, valueText, type Window } from './metrics.ts';
import { type ModelSpan, type ModelTrace, nanoAt } from './model.ts';
import { read, spanIdOf, Unspecified } from './reading.ts';

const SEVERAL = 'one of several';

/** What the evaluator finds, a line a spanset; undefined when the language does not say. */
export function expectedLines(text: string, traces: readonly ModelTrace[]): string[] | undefined {
  return specified(() =>
    [...search(parseQuery(text), traces)].flatMap(([trace, sets]) =>
      sets.map(({ spans, attributes }) => {
        const named = [...attributes].map(([key, value]) => `${key}=${show(value)}`);
        const ids = spans.map(({ spec }) => spanIdOf(spec.span));
        const root = `${rootOf(trace)} of ${statsOf(trace)}`;
        return line(traceIdOf(trace.trace), root, trace.startNs, trace.endNs - trace.startNs, ids, named);
      }),
    ),
  );
}

/** Whether some span has no agreed value somewhere in the query: then it may be refused, whether the span counts or not. */
export function mayBeRefused(text: string, traces: readonly ModelTrace[]): boolean {
  const spans = traces.flatMap(({ spans }) => spans);
  return expressionsOf(parseQuery(text)).some((expression) => spans.some((span) => isUnspecified(expression, span)));
}

function isUnspecified(expression: FieldExpr, span: ModelSpan): boolean {
  try {
    evaluate(expression, span);
    return false;
  } catch (error) {
    if (error instanceof Unspecified) return true;
    throw error;
  }
}

/** All field expressions and their parts. */
function expressionsOf(query: Query): FieldExpr[] {
  const found: FieldExpr[] = [];
  const waiting: unknown[] = [query.pipeline, query.metrics];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (typeof next !== 'object' || next === null) continue;
    if ('type' in next && ['binary', 'unary', 'exists'].includes(next.type as string)) found.push(next as FieldExpr);
    waiting.push(...Object.values(next).filter((value) => value !== undefined));
  }
  return found;
}

/** A range that holds most spans, in steps that depend on nothing but the query; the last one is that of an instant. */
function windowOf(text: string): Window {
  const stepNs = [1n, 7n, 30n, 200n, 400n][text.length % 5] * 1_000_000_000n;
  const startNs = nanoAt(0) - stepNs;
  return { startNs, endNs: startNs + stepNs * [40n, 20n, 7n, 2n, 1n][text.length % 5], stepNs };
}

/** What the evaluator computes, a line a series; undefined when the language does not say. */
export function expectedSeries(text: string, traces: readonly ModelTrace[]): string[] | undefined {
  const window = windowOf(text);
  return specified(() =>
    metricsSeries(parseQuery(text), traces, window).map(
      ({ labels, values }) => `${shownLabels(labels)}: ${valueText(values, window)}`,
    ),
  );
}

/** What the engine computes; a text when it refuses. */
export async function foundSeries(text: string, segments: Segment[], joining: Joining): Promise<string[] | string> {
  const window = windowOf(text);
  return refused(async () => {
    const instant = window.endNs - window.startNs === window.stepNs;
    const running = beginMetrics(parseQuery(text), { ...window, instant, exemplars: 0, seriesMax: 0 });
    await running.add(segments, joining, { stop: () => {} });
    return (running.finish().series ?? []).map(({ labels, values }) => {
      const named = labels.map(({ key, value }) => `${key}=${showFound(value)}`).sort();
      const samples = Array.from(values, (value) => (Number.isNaN(value) ? undefined : value));
      return `${named.join(', ')}: ${valueText(samples, window)}`;
    });
  });
}

/** Of several roots in several segments any may name a trace that need not be looked at as a whole: that is not compared. */
function rootOf({ spans, root }: ModelTrace): string {
  return spans.filter(({ isRoot }) => isRoot).length > 1 ? SEVERAL : (root?.spec.name ?? '');
}

function statsOf({ spans }: ModelTrace): string {
  const stats = new Map<string, { spanCount: number; errorCount: number }>();
  for (const span of spans) {
    const [service] = read(SERVICE_NAME, span).scalars;
    const name = service?.type === 'string' ? service.value : '';
    const { spanCount, errorCount } = stats.get(name) ?? { spanCount: 0, errorCount: 0 };
    stats.set(name, { spanCount: spanCount + 1, errorCount: errorCount + (span.spec.status === 2 ? 1 : 0) });
  }
  return shownStats(stats);
}

const SERVICE_NAME: Reference = {
  type: 'attribute',
  scope: 'resource',
  parent: false,
  name: 'service.name',
  offset: 0,
};

function shownStats(stats: ReadonlyMap<string, { spanCount: number; errorCount: number }>): string {
  return [...stats]
    .map(([name, { spanCount, errorCount }]) => `${name} ${spanCount}/${errorCount}`)
    .sort()
    .join();
}

/** What the engine finds; a text when it refuses. */
export async function foundLines(
  text: string,
  segments: Segment[],
  traces: readonly ModelTrace[],
  joining: Joining,
): Promise<string[] | string> {
  const severalRoots = new Set(
    traces.filter((trace) => rootOf(trace) === SEVERAL).map(({ trace }) => traceIdOf(trace)),
  );
  const options = { ...EVER, limit: 1000, spansPerSpanSet: 1000, stop: () => {} };
  return refused(async () => {
    const { traces: found } = await searchTraces(segments, parseQuery(text), options, joining);
    return found.flatMap(({ traceId, rootTraceName = '', startUnixNano, durationMs, serviceStats, spanSets = [] }) =>
      spanSets.map(({ spans, matched, attributes = [] }) => {
        if (matched !== spans.length) throw new Error(`${matched} spans matched, ${spans.length} are listed`);
        const named = attributes.map(({ key, value }) => `${key}=${showFound(value)}`);
        const ids = spans.map(({ spanId }) => spanId);
        const name = severalRoots.has(traceId) ? SEVERAL : rootTraceName;
        const root = `${name} of ${shownStats(plainStats(serviceStats ?? new Map()))}`;
        return line(traceId, root, startUnixNano, BigInt(durationMs) * 1_000_000n, ids, named);
      }),
    );
  });
}

/** The lines in order; undefined when it is nowhere said what is right. */
export function specified(lines: () => string[]): string[] | undefined {
  try {
    return lines().sort();
  } catch (error) {
    if (error instanceof Unspecified) return undefined;
    throw error;
  }
}

async function refused(lines: () => Promise<string[]>): Promise<string[] | string> {
  try {
    return (await lines()).sort();
  } catch (error) {
    if (error instanceof VivaceError && error.code !== 'internal') return `${error.code}: ${error.message}`;
    throw error;
  }
}

function line(trace: string, root: string, startNs: bigint, ns: bigint, spans: string[], attributes: string[]): string {
  const time = `${startNs} +${ns / 1_000_000n}ms`;
  return `${trace} ${JSON.stringify(root)} ${time}: ${spans.sort().join(' ')} [${attributes.sort().join(', ')}]`;
}

function showFound(value: FoundValue): string {
  if (value.type === 'array') return `[${value.values.map(showFound).join(' ')}]`;
  return show(staticOf(value));
}

function staticOf(value: Exclude<FoundValue, { type: 'array' }>): StaticValue {
  return value.type === 'double' ? { type: 'float', value: value.value } : value;
}
