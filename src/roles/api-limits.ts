/** Bounds and defaults of one tenant's queries, from the settings of the process and those of the tenant. */
import type { Configuration } from '../config/load.ts';
import type { TenantLimits } from '../config/overrides-file.ts';
import type { ApiLimits } from '../serve/parameters.ts';

export function apiLimits({ queryFrontend }: Configuration, { read, global }: TenantLimits): ApiLimits {
  const { search, metrics } = queryFrontend;
  return {
    defaultResultLimit: search.defaultResultLimit,
    maxResultLimit: search.maxResultLimit,
    maxSearchSeconds: (read.maxSearchDurationMs || search.maxDurationMs) / 1000,
    defaultSpss: search.defaultSpansPerSpanSet,
    maxSpss: search.maxSpansPerSpanSet,
    queryBytesMax: queryFrontend.maxQueryExpressionSizeBytes,
    queryEndCutoffMs: 0,
    leftPadTraceIds: read.leftPadTraceIds,
    tagBytesMax: read.maxBytesPerTagValuesQuery,
    traceBytesMax: global.maxBytesPerTrace,
    metrics: {
      maxSeconds: (read.maxMetricsDurationMs || metrics.maxDurationMs) / 1000,
      exemplarsMax: metrics.maxExemplars,
      seriesMax: metrics.maxResponseSeries,
      intervalsMax: metrics.maxIntervals,
      endCutoffMs: queryFrontend.queryEndCutoffMs,
    },
  };
}
