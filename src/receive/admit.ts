/** What stands between a receiver and the log: the rate that its tenant may send at (spec/ingestion.md §8.1, §8.4). */
import type { TenantLimits } from '../config/overrides-file.ts';
import { Rates } from '../limits/rate.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { Accept } from './accept.ts';
import { countSpans } from './otlp-scan.ts';

export interface AdmitOptions {
  limitsOf(tenant: string): TenantLimits;
  /** `retry_after_on_resource_exhausted`: when a refused client is asked to come back; 0 tells it nothing. */
  retryAfterMs: number;
  /** Monotonic. */
  nowMs(): number;
  /** Told of spans that were thrown away, with Tempo's word for why. */
  onDiscarded(reason: 'rate_limited', tenant: string, spans: number): void;
}

/** `accept` behind the limits: refuses with 'exhausted' before anything is stored. Requests without spans pass. */
export function admitted(accept: Accept, options: AdmitOptions): Accept {
  const rates = new Rates((tenant) => {
    const { rateLimitBytes, burstSizeBytes } = options.limitsOf(tenant).ingestion;
    return { bytesPerSecond: rateLimitBytes, burstBytes: burstSizeBytes };
  }, options.nowMs);
  return async (tenant, body, from) => {
    if (rates.take(tenant, body.length)) return accept(tenant, body, from);
    const spans = countSpans(body);
    if (spans < 0) throw new VivaceError('undecodable', 'cannot decode ExportTraceServiceRequest: broken protobuf');
    if (spans === 0) return accept(tenant, body, from);
    options.onDiscarded('rate_limited', tenant, spans);
    throw refusal(options, tenant, body.length);
  };
}

function refusal(options: AdmitOptions, tenant: string, bytes: number): VivaceError {
  const { rateLimitBytes, burstSizeBytes, rateStrategy, retryInfoEnabled } = options.limitsOf(tenant).ingestion;
  const limits = `local: ${rateLimitBytes} bytes/s, global: ${rateStrategy === 'global' ? rateLimitBytes : 0} bytes/s, burst: ${burstSizeBytes} bytes`;
  const text =
    bytes > burstSizeBytes
      ? `cannot take ${bytes} bytes of tenant ${tenant} at once (${limits}): send smaller batches, or raise overrides ingestion.burst_size_bytes`
      : `cannot take ${bytes} bytes of tenant ${tenant} now (${limits}): send later or less, or raise overrides ingestion.rate_limit_bytes`;
  const hint = retryInfoEnabled && options.retryAfterMs > 0 ? { retryAfterMs: options.retryAfterMs } : {};
  return new VivaceError('exhausted', `RATE_LIMITED: ${text}`, hint);
}
