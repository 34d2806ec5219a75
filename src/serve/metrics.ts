/** `/api/metrics/query_range` and `/api/metrics/query` (api.md §6). */
import { accepted } from './accept.ts';
import type { Call } from './api.ts';
import { instantParameters, rangeParameters } from './metrics-parameters.ts';
import type { MetricsRequest } from './queries.ts';
import { type Answer, JSON_TYPE, PROTOBUF } from './respond.ts';

/** Answers JSON; a client that asks for protobuf gets the message that gRPC would carry. */
export async function metrics(call: Call, kind: 'range' | 'instant'): Promise<Answer> {
  const request = metricsRequest(call, kind);
  const type = accepted(call.accept) === 'protobuf' ? 'protobuf' : 'json';
  const body = await call.queries.metricsBody(request, { type }, call.signal);
  return { status: 200, type: type === 'protobuf' ? PROTOBUF : JSON_TYPE, body };
}

/** What the parameters ask. */
export function metricsRequest(call: Call, kind: 'range' | 'instant'): MetricsRequest {
  const parameters = kind === 'range' ? rangeParameters : instantParameters;
  return { tenant: call.tenant, ...parameters(call.url, call.limits, call.nowMs) };
}
