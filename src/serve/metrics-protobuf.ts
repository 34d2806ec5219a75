/** `MetricsAnswer` as `tempopb.QueryRangeResponse` or `QueryInstantResponse` (numbers: api.md §12.3). */
import type { MetricsLabel } from '../query/metrics-results.ts';
import { ProtoWriter, tagOf, WIRE_FIXED64 } from '../wire/protobuf.ts';
import type { MetricsAnswer } from './queries.ts';
import { integer, nested, text, writeAttributes, writeSearchMetrics } from './search-protobuf.ts';

const PARTIAL = 1;

export function rangeProtobuf(answer: MetricsAnswer): Uint8Array {
  const out = new ProtoWriter(1024);
  for (const { labels, values, exemplars } of answer.series ?? [])
    nested(out, 1, () => {
      writeLabels(out, labels);
      for (let i = 0; i < values.length; i++) {
        const value = values[i];
        // NaN stands for no sample.
        if (!Number.isNaN(value)) nested(out, 2, () => writeSample(out, 1, value, answer.stampsMs[i]));
      }
      for (const exemplar of exemplars)
        nested(out, 4, () => {
          writeLabels(out, exemplar.labels);
          writeSample(out, 2, exemplar.value, exemplar.timestampMs);
        });
    });
  writeRest(out, answer);
  return out.finish();
}

export function instantProtobuf(answer: MetricsAnswer): Uint8Array {
  const out = new ProtoWriter(1024);
  for (const { labels, values } of answer.series ?? [])
    nested(out, 1, () => {
      writeLabels(out, labels);
      double(out, 2, values[0]);
    });
  writeRest(out, answer);
  return out.finish();
}

function writeRest(out: ProtoWriter, { metrics, partial }: MetricsAnswer): void {
  nested(out, 2, () => writeSearchMetrics(out, metrics));
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
