/** A metrics answer as the bytes that a client gets; also run by reader threads. */
import { instantJson, rangeJson } from './metrics-json.ts';
import { instantProtobuf, rangeProtobuf } from './metrics-protobuf.ts';
import type { MetricsAnswer, MetricsForm } from './queries.ts';

/** `stop` is called before each series, and throws when nobody waits for them any more. */
export function renderMetrics(
  answer: MetricsAnswer,
  instant: boolean,
  form: MetricsForm,
  stop: () => void = () => {},
): Uint8Array {
  if (form.type === 'protobuf') return instant ? instantProtobuf(answer, stop) : rangeProtobuf(answer, stop);
  return instant ? instantJson(answer, stop) : rangeJson(answer, stop);
}
