/** `MetricsAnswer` as `tempopb.QueryRangeResponse` or `QueryInstantResponse` (numbers: api.md §12.3). */
import type { MetricsLabel, MetricsSeries } from '../query/metrics-results.ts';
import { ProtoWriter, tagOf, WIRE_FIXED64 } from '../wire/protobuf.ts';
import type { MetricsAnswer } from './queries.ts';
import { fieldOf, integer, nested, text, writeAttributes, writeSearchMetrics } from './search-protobuf.ts';

const PARTIAL = 1;

export function rangeProtobuf(answer: MetricsAnswer, stop: () => void): Uint8Array {
  return whole(answer, stop, (out, series) => writeRangeSeries(out, series, answer.stampsMs));
}

export function instantProtobuf(answer: MetricsAnswer, stop: () => void): Uint8Array {
  return whole(answer, stop, writeInstantSeries);
}

/** One series as a field of the message. */
export function seriesField(series: MetricsSeries, stampsMs: Float64Array, instant: boolean): Uint8Array {
  return fieldOf(1, (out) => (instant ? writeInstantSeries(out, series) : writeRangeSeries(out, series, stampsMs)));
}

/** Whether the answer is the whole truth, as fields of the message; nothing when it is. */
export function statusFields({ partial }: MetricsAnswer): Uint8Array {
  const out = new ProtoWriter();
  writeStatus(out, partial);
  return out.finish();
}

function whole(
  answer: MetricsAnswer,
  stop: () => void,
  write: (out: ProtoWriter, series: MetricsSeries) => void,
): Uint8Array {
  const out = new ProtoWriter(1024);
  for (const series of answer.series ?? []) {
    stop();
    nested(out, 1, () => write(out, series));
  }
  nested(out, 2, () => writeSearchMetrics(out, answer.metrics));
  writeStatus(out, answer.partial);
  return out.finish();
}

function writeRangeSeries(
  out: ProtoWriter,
  { labels, values, exemplars }: MetricsSeries,
  stampsMs: Float64Array,
): void {
  writeLabels(out, labels);
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    // NaN stands for no sample.
    if (!Number.isNaN(value)) nested(out, 2, () => writeSample(out, 1, value, stampsMs[i]));
  }
  for (const exemplar of exemplars)
    nested(out, 4, () => {
      writeLabels(out, exemplar.labels);
      writeSample(out, 2, exemplar.value, exemplar.timestampMs);
    });
}

function writeInstantSeries(out: ProtoWriter, { labels, values }: MetricsSeries): void {
  writeLabels(out, labels);
  double(out, 2, values[0]);
}

function writeStatus(out: ProtoWriter, partial: string | undefined): void {
  if (partial === undefined) return;
  integer(out, 3, PARTIAL);
  text(out, 4, partial);
}

function writeLabels(out: ProtoWriter, labels: MetricsLabel[]): void {
  writeAttributes(out, 1, labels);
}

/** A value and, in the field after it, its time in milliseconds. */
function writeSample(out: ProtoWriter, field: number, value: number, timestampMs: number): void {
  double(out, field, value);
  integer(out, field + 1, timestampMs);
}

function double(out: ProtoWriter, field: number, value: number): void {
  if (value === 0) return;
  out.varint(tagOf(field, WIRE_FIXED64));
  out.double(value);
}
