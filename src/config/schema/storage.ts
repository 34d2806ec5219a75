/** Blocks, write-ahead log, object stores and caches. */
import { memcached, redis } from './shared.ts';
import {
  active,
  bool,
  duration,
  float,
  int,
  list,
  map,
  secret,
  section,
  tempo2,
  tempo3,
  text,
  texts,
  uint,
} from '../setting.ts';

export const local = section('local.Config', { path: active(text('', 'directory of the blocks')) });

const localBlocks = section('local.Config', {
  ...local.fields,
  max_disk_percent: active(float(0, 'the oldest blocks are deleted while the disk is fuller than this, 0 never')),
});

export const s3 = section('s3.Config', {
  bucket: active(text('', 'bucket')),
  prefix: active(text('', 'path before every object')),
  endpoint: active(text('', 'host:port without scheme')),
  region: active(text('', 'region')),
  access_key: active(text('', 'account')),
  secret_key: active(secret('its secret')),
  session_token: active(secret('session of a temporary account')),
  insecure: active(bool(false, 'speak plain http')),
  forcepathstyle: active(bool(false, 'bucket in the path instead of the host name')),
  enable_dual_stack: active(bool(false, 'use IPv6 too')),
  signature_v2: bool(false, 'sign the old way'),
  bucket_lookup_type: active(int(0, '0 auto, 1 dns, 2 path')),
  part_size: active(uint(0, 'bytes of a part of an upload')),
  list_blocks_concurrency: active(int(3, 'listings at a time')),
  hedge_requests_at: active(duration('0', 'wait before asking a second time, 0 never')),
  hedge_requests_up_to: active(int(2, 'requests for one object')),
  retry_max_attempts: active(tempo3(int(10, 'repeats'))),
  retry_backoff_initial: tempo3(duration('200ms', 'first wait')),
  retry_backoff_max: tempo3(duration('1s', 'longest wait')),
  tags: active(map('tags of every object')),
  metadata: active(map('metadata of every object')),
  storage_class: active(text('', 'storage class of every object')),
  native_aws_auth_enabled: bool(false, 'deprecated'),
  sse: section('s3.SSEConfig', {
    type: active(text('', 'SSE-S3 or SSE-KMS')),
    kms_key_id: active(text('', 'key of SSE-KMS')),
    kms_encryption_context: active(text('', 'context of SSE-KMS, JSON')),
    encryption_key: active(tempo3(secret('SSE-C key'))),
  }),
  tls_cert_path: active(text('', 'certificate of the client')),
  tls_key_path: active(text('', 'key of the client')),
  tls_ca_path: active(text('', 'authority of the server')),
  tls_server_name: active(text('', 'name expected in the certificate')),
  tls_insecure_skip_verify: active(bool(false, 'do not check the certificate')),
  tls_cipher_suites: text('', 'cipher suites, comma list'),
  tls_min_version: active(text('VersionTLS12', 'lowest TLS version')),
});

export const gcs = section('gcs.Config', {
  bucket_name: active(text('', 'bucket')),
  prefix: active(text('', 'path before every object')),
  endpoint: active(text('', 'host:port without scheme')),
  insecure: active(bool(false, 'speak plain http')),
  chunk_buffer_size: active(int(10_485_760, 'bytes of a part of an upload')),
  list_blocks_concurrency: active(int(3, 'listings at a time')),
  max_retries: active(tempo3(int(3, 'repeats'))),
  hedge_requests_at: active(duration('0', 'wait before asking a second time, 0 never')),
  hedge_requests_up_to: active(int(2, 'requests for one object')),
  object_cache_control: active(text('', 'Cache-Control of every object')),
  object_metadata: active(map('metadata of every object')),
});

export const azure = section('azure.Config', {
  container_name: active(text('', 'container')),
  prefix: active(text('', 'path before every object')),
  endpoint_suffix: active(text('blob.core.windows.net', 'end of the host name')),
  storage_account_name: active(text('', 'account')),
  storage_account_key: active(secret('its key')),
  use_managed_identity: active(bool(false, 'log in as the machine')),
  use_federated_token: active(bool(false, 'log in with a federated token')),
  user_assigned_id: active(text('', 'identity to log in as')),
  max_buffers: active(int(4, 'buffers of an upload')),
  buffer_size: active(int(3_145_728, 'size of such a buffer')),
  hedge_requests_at: active(duration('0', 'wait before asking a second time, 0 never')),
  hedge_requests_up_to: active(int(2, 'requests for one object')),
});

export const storage = section('storage.Config', {
  trace: section('tempodb.Config', {
    backend: active(text('', 'local, s3, gcs or azure; local when the file names none')),
    local: localBlocks,
    pool: section('pool.Config', {
      max_workers: int(400, 'blocks looked at at a time'),
      queue_depth: int(20_000, 'blocks waiting to be looked at'),
    }),
    wal: section('wal.Config', {
      path: active(text('/var/tempo/wal', 'directory of the log')),
      ingestion_time_range_slack: duration(
        '2m',
        'spans further from now than this do not widen the time range of a block',
      ),
      v2_encoding: tempo2(text('snappy', 'setting of an old block format')),
      search_encoding: tempo2(text('none', 'compression of search data')),
      version: tempo2(text('', 'block format of the log')),
    }),
    block: section('common.BlockConfig', {
      version: text('vParquet4', 'block format of Tempo'),
      bloom_filter_false_positive: float(0.01, 'share of false answers of a bloom filter'),
      bloom_filter_shard_size_bytes: int(102_400, 'size of one part of a bloom filter'),
      parquet_row_group_size_bytes: int(100_000_000, 'size of a row group'),
      parquet_dedicated_columns: list(
        section('backend.DedicatedColumn', {
          scope: text('', 'resource, span or event'),
          name: text('', 'attribute'),
          type: text('', 'string or int'),
          options: tempo3(text('', 'array, blob')),
        }),
        'attributes with a column of their own',
      ),
      search_encoding: tempo2(text('snappy', 'compression of search data')),
      search_page_size_bytes: tempo2(int(1_048_576, 'page of search data')),
      v2_index_downsample_bytes: tempo2(int(1_048_576, 'setting of an old block format')),
      v2_index_page_size_bytes: tempo2(int(256_000, 'setting of an old block format')),
      v2_encoding: tempo2(text('zstd', 'setting of an old block format')),
    }),
    search: section('tempodb.SearchConfig', {
      chunk_size_bytes: int(1_000_000, 'bytes of a read'),
      prefetch_trace_count: int(1000, 'traces read ahead'),
      read_buffer_count: int(32, 'read buffers'),
      read_buffer_size_bytes: int(1_048_576, 'size of a read buffer'),
      cache_control: section('tempodb.CacheControlConfig', {
        footer: active(bool(false, 'cache footers')),
        column_index: bool(false, 'cache column indexes'),
        offset_index: bool(false, 'cache offset indexes'),
      }),
    }),
    blocklist_poll: active(duration('5m', 'how often the store is listed for blocks of other processes')),
    blocklist_poll_concurrency: active(int(50, 'blocks listed at a time')),
    blocklist_poll_tenant_concurrency: active(int(0, 'tenants listed at a time, 0 is 1')),
    blocklist_poll_jitter_ms: active(int(0, 'random delay of a listing, milliseconds')),
    blocklist_poll_fallback: active(bool(true, 'list blocks when the tenant index is old')),
    blocklist_poll_tenant_index_builders: active(int(2, 'processes that write the tenant index')),
    blocklist_poll_stale_tenant_index: active(duration('0', 'age at which the tenant index is old, 0 never')),
    blocklist_poll_tolerate_consecutive_errors: active(int(1, 'failed listings in a row before giving up')),
    blocklist_poll_tolerate_tenant_failures: active(int(1, 'failed tenants before giving up')),
    empty_tenant_deletion_enabled: bool(false, 'remove empty tenants'),
    empty_tenant_deletion_age: duration('0', 'how old an empty tenant must be'),
    s3,
    gcs,
    azure,
    cache: active(text('', 'deprecated: memcached or redis')),
    background_cache: section('cache.BackgroundConfig', {
      writeback_goroutines: active(int(10, 'writers of the cache')),
      writeback_buffer: active(int(10_000, 'writes waiting; more are dropped')),
    }),
    cache_min_compaction_level: int(0, 'cache bloom filters of blocks merged at least this often'),
    cache_max_block_age: duration('0', 'cache bloom filters of blocks younger than this'),
    memcached,
    redis,
  }),
});
export const cache = section('cache.Config', {
  background: section('cache.BackgroundConfig', {
    writeback_goroutines: active(int(10, 'writers of the cache')),
    writeback_buffer: active(int(10_000, 'writes waiting; more are dropped')),
  }),
  caches: active(
    list(
      section('cache.CacheConfig', {
        roles: active(
          texts(
            [],
            'bloom, trace-id-index, parquet-footer, parquet-column-idx, parquet-offset-idx, parquet-page, frontend-search',
          ),
        ),
        memcached,
        redis,
      }),
      'a cache and what it keeps; each role once',
    ),
  ),
});
