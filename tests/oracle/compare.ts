/**
 * `compare()` as the specification of TraceQL tells it (§9.6): of every attribute and intrinsic how many spans have each value,
 * on either side.
 */
import type { CompareMetrics, Reference, Scope, StaticValue } from '../../src/traceql/ast.ts';
import { printReference } from '../../src/traceql/print.ts';
import type { Attributes } from '../../src/query/segments.fixture.ts';
import { show } from './evaluate.ts';
import { matches } from './field.ts';
import type { Series } from './metrics.ts';
import type { ModelSpan } from './model.ts';
import { read, text, Unspecified } from './reading.ts';

const INTRINSICS = [
  'name',
  'kind',
  'status',
  'statusMessage',
  'rootName',
  'rootServiceName',
  'instrumentation:name',
  'instrumentation:version',
  'event:name',
] as const;

/** Series of the spans, of which each has its interval. */
export function compareSeries(
  metrics: CompareMetrics,
  spans: readonly { span: ModelSpan; interval: number }[],
  intervals: number,
): Series[] {
  const { startNs = 0n, endNs = 0n, topN } = metrics;
  const isSelected = (span: ModelSpan): boolean =>
    matches(metrics.filter.expression, span) &&
    (endNs <= startNs || (span.startNs >= startNs && span.startNs <= endNs));
  const series: Series[] = [];
  for (const [side, selected] of [
    ['baseline', false],
    ['selection', true],
  ] as const) {
    const counts = new Map<string, Counts>();
    for (const { span, interval } of spans) {
      if (isSelected(span) !== selected) continue;
      for (const [key, reference] of referencesOf(span)) {
        const values = valuesOf(reference, span);
        if (values.length === 0) continue;
        const of = counts.get(key) ?? { total: zeros(intervals), values: new Map() };
        counts.set(key, of);
        // Tempo meets it twice, as an attribute and in a column of its own.
        const times = key === 'resource.service.name' ? 2 : 1;
        of.total[interval] += times;
        for (const value of new Map(values.map((each) => [show(each), each])).values()) {
          const known = of.values.get(show(value)) ?? { value, counts: zeros(intervals) };
          of.values.set(show(value), known);
          known.counts[interval] += times;
        }
      }
    }
    for (const [key, { total, values }] of counts) {
      const sorted = [...values.values()].sort((a, b) => sum(b.counts) - sum(a.counts));
      if (sorted.length > topN && sum(sorted[topN - 1].counts) === sum(sorted[topN].counts))
        throw new Unspecified('which of equally frequent values is among the first');
      const add = (type: string, value: StaticValue, of: number[]): void => {
        series.push({ labels: new Map([['__meta_type', text(type)]]).set(key, value), values: of });
      };
      for (const { value, counts: of } of sorted.slice(0, topN)) add(side, value, of);
      add(`${side}_total`, text('nil'), total);
    }
  }
  return series;
}

interface Counts {
  total: number[];
  values: Map<string, { value: StaticValue; counts: number[] }>;
}

function zeros(count: number): number[] {
  return new Array<number>(count).fill(0);
}

function sum(counts: number[]): number {
  return counts.reduce((a, b) => a + b, 0);
}

/** Everything that the span has, by name. */
function referencesOf({ spec }: ModelSpan): Map<string, Reference> {
  const found = new Map<string, Reference>();
  const add = (reference: Reference): void => void found.set(printReference(reference), reference);
  const attributes = (scope: Scope, of: Attributes | undefined): void => {
    for (const name of Array.isArray(of) ? of.map(([key]) => key) : Object.keys(of ?? {}))
      add({ type: 'attribute', scope, parent: false, name, offset: 0 });
  };
  for (const name of INTRINSICS) add({ type: 'intrinsic', name, offset: 0 });
  attributes('span', spec.attributes);
  attributes('resource', { 'service.name': '' });
  attributes('resource', spec.resource);
  attributes('instrumentation', spec.scope?.attributes);
  for (const event of spec.events ?? []) attributes('event', event.attributes);
  for (const link of spec.links ?? []) attributes('link', link.attributes);
  return found;
}

/** None for an array; those of each event or link by itself. */
function valuesOf(reference: Reference, span: ModelSpan): StaticValue[] {
  const { spec } = span;
  if (reference.type === 'attribute' && (reference.scope === 'event' || reference.scope === 'link')) {
    const children: { attributes?: Attributes }[] = (reference.scope === 'event' ? spec.events : spec.links) ?? [];
    return children.flatMap(({ attributes }) => {
      const { scalars, array } = read({ ...reference, scope: 'span' }, { ...span, spec: { ...spec, attributes } });
      return array ? [] : scalars;
    });
  }
  const { scalars, array } = read(reference, span);
  return array ? [] : scalars;
}
