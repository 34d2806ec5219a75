/** Queries: the front end that splits them and the querier that runs them. */
import {
  active,
  bool,
  csv,
  duration,
  float,
  int,
  section,
  tempo2,
  tempo3,
  text,
  texts,
  time,
  uint,
} from '../setting.ts';
import { grpcClient } from './shared.ts';

export const query_frontend = section('frontend.Config', {
  max_outstanding_per_tenant: active(int(2000, 'queries waiting of a tenant; more are answered 429')),
  max_batch_size: int(7, 'jobs per querier pull'),
  log_query_request_headers: csv([], 'headers added to query logs'),
  max_retries: int(2, 'repeats of a failed job'),
  search: section('frontend.SearchConfig', {
    timeout: active(duration('0', 'limit of a search, waiting and all, 0 none; later is 504')),
    concurrent_jobs: int(1000, 'jobs of a query at a time'),
    target_bytes_per_job: int(104_857_600, 'bytes of a job'),
    default_result_limit: active(uint(20, 'traces of an answer when the request names no limit')),
    max_result_limit: active(uint(262_144, 'greatest limit a request may name, 0 none')),
    max_duration: active(duration('168h', 'greatest range between start and end, 0 none')),
    query_backend_after: duration('15m', 'younger than this: recent data only'),
    query_ingesters_until: tempo2(duration('30m', 'older than this: backend only')),
    ingester_shards: int(3, 'recent-data time shards'),
    most_recent_shards: int(200, 'backend ordering shards'),
    default_spans_per_span_set: active(uint(3, 'spans listed of a span set when the request names no spss')),
    max_spans_per_span_set: active(uint(100, 'greatest spss a request may name, 0 none')),
    duration_slo: duration('0', 'requests faster than this meet the objective'),
    throughput_bytes_slo: float(0, 'requests with more bytes a second than this meet the objective'),
    metadata_slo: section('frontend.SLOConfig', {
      duration_slo: duration('0', 'requests faster than this meet the objective'),
      throughput_bytes_slo: float(0, 'requests with more bytes a second than this meet the objective'),
    }),
  }),
  trace_by_id: section('frontend.TraceByIDConfig', {
    query_shards: int(50, 'parts of a trace look-up'),
    concurrent_shards: int(0, 'parts looked up at a time, 0 all'),
    duration_slo: duration('0', 'requests faster than this meet the objective'),
    throughput_bytes_slo: float(0, 'requests with more bytes a second than this meet the objective'),
    external_enabled: tempo3(bool(false, 'also ask external endpoint')),
  }),
  metrics: section('frontend.MetricsConfig', {
    concurrent_jobs: int(1000, 'jobs of a query at a time'),
    target_bytes_per_job: int(104_857_600, 'bytes of a job'),
    max_duration: active(duration('24h', 'greatest range of a metrics query, 0 none')),
    query_backend_after: duration('15m', 'younger than this: recent data only'),
    interval: duration('5m', 'span of time of one job'),
    max_exemplars: active(int(100, 'exemplars of an answer')),
    max_response_series: active(int(0, 'series of an answer, 0 as many as fit into memory')),
    max_intervals: active(int(10_000, 'points of a series, 0 as many as fit into memory')),
    streaming_shards: tempo3(int(200, 'partial result granularity')),
    duration_slo: duration('0', 'requests faster than this meet the objective'),
    throughput_bytes_slo: float(0, 'requests with more bytes a second than this meet the objective'),
  }),
  trace: section('frontend.TraceConfig', {
    pool_max_idle_streams: active(int(100, 'no key of Tempo; some runbooks have it. Accepted, no effect')),
  }),
  multi_tenant_queries_enabled: active(bool(true, 'allow several tenant ids joined by a vertical bar')),
  response_consumers: int(10, 'answers put together at a time'),
  weights: section('pipeline.WeightsConfig', {
    request_with_weights: bool(true, 'weigh queries in the queue'),
    retry_with_weights: bool(true, 'weigh repeated queries too'),
    max_traceql_conditions: int(4, 'conditions beyond which a query weighs more'),
    max_regex_conditions: int(1, 'regular expressions beyond which a query weighs more'),
  }),
  mcp_server: section('frontend.MCPServerConfig', { enabled: bool(false, 'serve /api/mcp') }),
  api_timeout: active(duration('0', 'limit of a request, 0 none')),
  url_deny_list: active(texts([], 'regexes; a query whose path and parameters match one is answered 400')),
  max_query_expression_size_bytes: active(uint(131_072, 'longest TraceQL text, bytes')),
  max_grpc_streaming_packet_size: active(
    tempo3(int(2_097_152, 'bytes beyond which a message of a stream is split, 0 none')),
  ),
  allowed_headers: texts([], 'headers forwarded to queriers'),
  rf1_after: time('instant after which RF1 blocks are used'),
  query_end_cutoff: tempo3(
    active(
      duration(
        '30s',
        'a metrics query ends this long before now at the latest, so that a series does not end in a dip',
      ),
    ),
  ),
  skip_ast_transformations: tempo3(texts([], 'optimiser passes to skip')),
});
export const querier = section('querier.Config', {
  search: section('querier.SearchConfig', {
    query_timeout: active(
      duration('30s', 'limit of the time that a query computes; waiting for others does not count'),
    ),
  }),
  trace_by_id: section('querier.TraceByIDConfig', {
    query_timeout: active(duration('10s', 'limit of the time that a look-up computes')),
    external: section('querier.ExternalConfig', {
      endpoint: tempo3(text('', 'external trace source')),
      timeout: tempo3(duration('10s', 'limit of a call')),
    }),
  }),
  metrics: section('querier.MetricsConfig', {
    concurrent_blocks: int(2, 'blocks read at a time'),
    time_overlap_cutoff: float(0.2, 'share of overlap below which times are compared'),
  }),
  partition_ring: section('querier.PartitionRingConfig', {
    minimize_requests: bool(true, 'ask no more live stores than needed'),
    hedging_delay: duration('3s', 'wait before asking another live store'),
    preferred_zone: text('', 'zone asked first'),
  }),
  extra_query_delay: duration('0', 'wait before each job, for tests'),
  max_concurrent_queries: active(int(20, 'queries at a time; others wait')),
  frontend_worker: section('worker.Config', {
    frontend_address: text('', 'frontend gRPC host:port; required unless target all'),
    dns_lookup_duration: duration('10s', 'how often the address is looked up'),
    parallelism: int(2, 'streams of a front end'),
    match_max_concurrent: bool(true, 'make the streams sum up to max_concurrent_queries'),
    id: text('', 'name of this worker'),
    grpc_client_config: grpcClient({ maxSendBytes: 16_777_216, backoffMax: '1s', backoffRetries: 5, windowBytes: 0 }),
  }),
  shuffle_sharding_ingesters_enabled: bool(false, 'ask only the ingesters of a tenant'),
  shuffle_sharding_ingesters_lookback_period: duration('1h', 'how far back they are remembered'),
  query_relevant_ingesters: bool(false, 'ask only ingesters that can have the trace'),
  secondary_ingester_ring: text('', 'second ring to ask'),
});
