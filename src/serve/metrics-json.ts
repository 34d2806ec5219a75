/** `MetricsAnswer` as the JSON of the metrics routes (api.md §6): over a range, and at an instant. */
import type { MetricsLabel, MetricsSeries } from '../query/metrics-results.ts';
import { JsonBytes } from '../wire/json-bytes.ts';
import { jsonDouble, jsonString } from './json-text.ts';
import type { MetricsAnswer } from './queries.ts';
import { searchMetricsJson, valueJson } from './search-json.ts';

/** Written as bytes: an answer of half a million samples is 17 MB, and took three times that in pieces of strings. */
export function rangeJson(answer: MetricsAnswer, stop: () => void): Uint8Array {
  // The text of an instant is the same in all series.
  const stamps = Array.from(answer.stampsMs, (ms) => `{"timestampMs":"${ms}"`);
  return bodyJson(answer, answer.series, stop, (json, each) => putRangeSeries(json, each, stamps));
}

/** No member may be added here: Grafana refuses answers with a member that it does not know. */
export function instantJson(answer: MetricsAnswer, stop: () => void): Uint8Array {
  const series = answer.series?.length ? answer.series : undefined;
  return bodyJson(answer, series, stop, (json, { labels, values }) => {
    const value = values[0] === 0 ? '' : `,"value":${jsonDouble(values[0])}`;
    json.raw(`{"labels":${labelsJson(labels)}${value}}`);
  });
}

function bodyJson(
  { partial, metrics }: MetricsAnswer,
  series: readonly MetricsSeries[] | undefined,
  stop: () => void,
  put: (json: JsonBytes, series: MetricsSeries) => void,
): Uint8Array {
  const json = new JsonBytes(SERIES_BYTES * (series?.length ?? 0) + 1024);
  json.ascii('{');
  if (series !== undefined) {
    json.ascii('"series":[');
    for (let i = 0; i < series.length; i++) {
      stop();
      if (i > 0) json.ascii(',');
      put(json, series[i]);
    }
    json.ascii('],');
  }
  json.raw(`"metrics":${searchMetricsJson(metrics)}`);
  if (partial) json.raw(`,"status":"PARTIAL","message":${jsonString(partial)}`);
  json.ascii('}');
  return json.finish();
}

/** Of a series with its labels and a few samples. */
const SERIES_BYTES = 512;

function putRangeSeries(json: JsonBytes, { labels, values, exemplars }: MetricsSeries, stamps: string[]): void {
  json.raw(`{"labels":${labelsJson(labels)},"samples":[`);
  let isFirst = true;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    // NaN stands for no sample.
    if (Number.isNaN(value)) continue;
    if (!isFirst) json.ascii(',');
    isFirst = false;
    json.ascii(stamps[i]);
    if (value !== 0) {
      json.ascii(',"value":');
      json.double(value);
    }
    json.ascii('}');
  }
  json.ascii(']');
  if (exemplars.length > 0) {
    const shown = exemplars.map((exemplar) => {
      const value = exemplar.value === 0 ? '' : `,"value":${jsonDouble(exemplar.value)}`;
      return `{"labels":${labelsJson(exemplar.labels)}${value},"timestampMs":"${exemplar.timestampMs}"}`;
    });
    json.raw(`,"exemplars":[${shown.join(',')}]`);
  }
  json.ascii('}');
}

function labelsJson(labels: MetricsLabel[]): string {
  return `[${labels.map(({ key, value }) => `{"key":${jsonString(key)},"value":${valueJson(value)}}`).join(',')}]`;
}
