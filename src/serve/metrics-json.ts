/** `MetricsAnswer` as the JSON of the metrics routes (api.md §6): over a range, and at an instant. */
import type { MetricsLabel, MetricsSeries } from '../query/metrics-results.ts';
import { jsonDouble, jsonString } from './json-text.ts';
import type { MetricsAnswer } from './queries.ts';
import { searchMetricsJson, valueJson } from './search-json.ts';

export function rangeJson(answer: MetricsAnswer, stop: () => void): string {
  // The text of an instant is the same in all series.
  const stamps = Array.from(answer.stampsMs, (ms) => `{"timestampMs":"${ms}"`);
  const series = answer.series?.map((each) => {
    stop();
    return rangeSeriesJson(each, stamps);
  });
  return bodyJson(series && `"series":[${series.join(',')}]`, answer);
}

/** No member may be added here: Grafana refuses answers with a member that it does not know. */
export function instantJson(answer: MetricsAnswer, stop: () => void): string {
  const series = answer.series?.map(({ labels, values }) => {
    stop();
    const value = values[0] === 0 ? '' : `,"value":${jsonDouble(values[0])}`;
    return `{"labels":${labelsJson(labels)}${value}}`;
  });
  return bodyJson(series?.length ? `"series":[${series.join(',')}]` : undefined, answer);
}

function bodyJson(series: string | undefined, { partial, metrics }: MetricsAnswer): string {
  const members = [
    series,
    `"metrics":${searchMetricsJson(metrics)}`,
    partial && `"status":"PARTIAL","message":${jsonString(partial)}`,
  ];
  return `{${members.filter(Boolean).join(',')}}`;
}

function rangeSeriesJson({ labels, values, exemplars }: MetricsSeries, stamps: string[]): string {
  let text = `{"labels":${labelsJson(labels)},"samples":[`;
  let separator = '';
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    // NaN stands for no sample.
    if (Number.isNaN(value)) continue;
    text += value === 0 ? `${separator}${stamps[i]}}` : `${separator}${stamps[i]},"value":${jsonDouble(value)}}`;
    separator = ',';
  }
  text += ']';
  if (exemplars.length > 0) {
    const shown = exemplars.map((exemplar) => {
      const value = exemplar.value === 0 ? '' : `,"value":${jsonDouble(exemplar.value)}`;
      return `{"labels":${labelsJson(exemplar.labels)}${value},"timestampMs":"${exemplar.timestampMs}"}`;
    });
    text += `,"exemplars":[${shown.join(',')}]`;
  }
  return `${text}}`;
}

function labelsJson(labels: MetricsLabel[]): string {
  return `[${labels.map(({ key, value }) => `{"key":${jsonString(key)},"value":${valueJson(value)}}`).join(',')}]`;
}
