/** A metrics answer as the bytes that a client gets; also run by reader threads. */
import { instantJson, rangeJson } from './metrics-json.ts';
import { instantProtobuf, rangeProtobuf } from './metrics-protobuf.ts';
import type { MetricsAnswer, MetricsForm } from './queries.ts';

export function renderMetrics(answer: MetricsAnswer, instant: boolean, form: MetricsForm): Uint8Array {
  if (form.type === 'protobuf') return instant ? instantProtobuf(answer) : rangeProtobuf(answer);
  return Buffer.from(instant ? instantJson(answer) : rangeJson(answer));
}
