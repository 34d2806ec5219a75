/**
 * `/api/metrics/summary`, as Tempo 2.9 had it (api.md §6.3): of the spans that a filter finds, how many there are by some
 * attributes, how many of them failed, and how long they took. It is put together from three metrics queries.
 */
import type { MetricsLabel, MetricsSeries } from '../query/metrics-results.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import type { Reference } from '../traceql/ast.ts';
import { parseIdentifier } from '../traceql/parse.ts';
import { printReference } from '../traceql/print.ts';
import type { Call } from './api.ts';
import { int64Member, jsonDouble, jsonObject, jsonString } from './json-text.ts';
import { instantParameters } from './metrics-parameters.ts';
import { type Answer, JSON_TYPE } from './respond.ts';

const QUANTILES = { p99: 0.99, p95: 0.95, p90: 0.9, p50: 0.5 } as const;
/** Quantiles take one of the five labels that a query may have. */
const GROUPS_MAX = 4;

export async function metricsSummary(call: Call): Promise<Answer> {
  const parameters = instantParameters(call.url, call.limits, call.nowMs);
  const filter = parameters.query || '{}';
  const groups = groupsOf(call.url.get('groupBy') ?? '');
  const by = groups.length === 0 ? '' : ` by (${groups.map(printReference).join(', ')})`;
  const ask = async (query: string): Promise<MetricsSeries[]> => {
    const request = { tenant: call.tenant, ...parameters, query };
    return (await call.queries.metrics(request, call.signal)).series ?? [];
  };
  const [counts, errors, quantiles] = await Promise.all([
    ask(`${filter} | count_over_time()${by}`),
    ask(`${filter} | { status = error } | count_over_time()${by}`),
    ask(`${filter} | quantile_over_time(duration, ${Object.values(QUANTILES).join(', ')})${by}`),
  ]);
  const errorsOf = new Map(errors.map(({ labels, values }) => [groupKey(labels), values[0]]));
  const quantileOf = new Map(
    quantiles.map(({ labels, values }) => [`${groupKey(labels)} ${quantile(labels)}`, values[0]]),
  );
  const limit = Number(/^\d{1,9}$/.exec(call.url.get('limit') ?? '')?.[0] ?? 0);
  const shown = counts.filter(({ values }) => values[0] > 0).sort((a, b) => b.values[0] - a.values[0]);
  const summaries = (limit > 0 ? shown.slice(0, limit) : shown).map(({ labels, values }) => {
    const key = groupKey(labels);
    const times = Object.entries(QUANTILES).map(([name, at]) =>
      int64Member(name, Math.round((quantileOf.get(`${key} ${at}`) ?? 0) * 1e9)),
    );
    const series = grouped(labels).map((label) => `{"key":${jsonString(label.key)},"value":${typedJson(label)}}`);
    return jsonObject([
      int64Member('spanCount', values[0]),
      int64Member('errorSpanCount', errorsOf.get(key)),
      `"series":[${series.join(',')}]`,
      ...times,
    ]);
  });
  return { status: 200, type: JSON_TYPE, body: `{"summaries":[${summaries.join(',')}]}` };
}

function groupsOf(text: string): Reference[] {
  const names = text.split(',').map((name) => name.trim());
  const groups = names.filter((name) => name !== '').map(referenceOf);
  if (groups.length > GROUPS_MAX)
    throw new VivaceError('invalid', `cannot group by ${groups.length} attributes: at most ${GROUPS_MAX} are possible`);
  return groups;
}

function referenceOf(name: string): Reference {
  try {
    return parseIdentifier(name);
  } catch (cause) {
    throw new VivaceError('invalid', `invalid groupBy: ${messageOf(cause)}`, { cause });
  }
}

function grouped(labels: MetricsLabel[]): MetricsLabel[] {
  return labels.filter(({ key }) => key !== '__name__' && key !== 'p');
}

function groupKey(labels: MetricsLabel[]): string {
  return grouped(labels)
    .map((label) => `${label.key}=${typedJson(label)}`)
    .join();
}

function quantile(labels: MetricsLabel[]): number | undefined {
  const value = labels.at(-1)?.value;
  return value?.type === 'double' ? value.value : undefined;
}

/** A value with the number of its type in TraceQL: 3 int, 4 float, 5 string, 6 bool. */
function typedJson({ value }: MetricsLabel): string {
  switch (value.type) {
    case 'int':
      return `{"type":3,"n":"${value.value}"}`;
    case 'double':
      return `{"type":4,"f":${jsonDouble(value.value)}}`;
    case 'bool':
      return `{"type":6,"b":${value.value}}`;
    default:
      return `{"type":5,"s":${jsonString(value.type === 'string' ? value.value : '')}}`;
  }
}
