/** Blocks of keys that several sections have in common. */
import { active, bool, bytes, duration, float, int, secret, section, text, texts } from '../setting.ts';

const tls = {
  tls_enabled: bool(false, 'speak TLS'),
  tls_cert_path: text('', 'certificate of the client'),
  tls_key_path: text('', 'key of the client'),
  tls_ca_path: text('', 'authority of the server'),
  tls_server_name: text('', 'name expected in the certificate'),
  tls_insecure_skip_verify: bool(false, 'do not check the certificate'),
  tls_cipher_suites: text('', 'cipher suites, comma list'),
  tls_min_version: text('', 'VersionTLS10 to VersionTLS13'),
};

/** Where they have an effect; the cipher suites are Node's. */
const activeTls = {
  ...tls,
  tls_enabled: active(tls.tls_enabled),
  tls_cert_path: active(tls.tls_cert_path),
  tls_key_path: active(tls.tls_key_path),
  tls_ca_path: active(tls.tls_ca_path),
  tls_server_name: active(tls.tls_server_name),
  tls_insecure_skip_verify: active(tls.tls_insecure_skip_verify),
  tls_min_version: active(tls.tls_min_version),
};

/** Where ring members are kept. Vivace has no rings. */
export function kvstore(store: string) {
  return section('kv.Config', {
    store: text(store, 'memberlist, inmemory, consul, etcd or multi'),
    prefix: text('collectors/', 'prefix of keys'),
    consul: section('consul.Config', {
      host: text('localhost:8500', 'address'),
      acl_token: secret('token'),
      http_client_timeout: duration('20s', 'limit of a request'),
      consistent_reads: bool(false, 'read from the leader'),
      watch_rate_limit: float(1, 'watches a second'),
      watch_burst_size: int(1, 'watches at once'),
      cas_retry_delay: duration('1s', 'wait before writing again'),
    }),
    etcd: section('etcd.Config', {
      endpoints: texts([], 'addresses'),
      dial_timeout: duration('10s', 'limit of a connection'),
      max_retries: int(10, 'retries'),
      username: text('', 'user'),
      password: secret('password'),
      ...tls,
    }),
    multi: section('kv.MultiConfig', {
      primary: text('', 'store that is read'),
      secondary: text('', 'store that is written too'),
      mirror_enabled: bool(false, 'write to both'),
      mirror_timeout: duration('2s', 'limit of the second write'),
    }),
  });
}

/** How one process of a cluster calls another by gRPC. */
export function grpcClient(
  differences: { maxSendBytes?: number; backoffMax?: string; backoffRetries?: number; windowBytes?: number } = {},
) {
  const windowBytes = differences.windowBytes ?? 65_535;
  return section('grpcclient.Config', {
    max_recv_msg_size: int(104_857_600, 'greatest message received, bytes'),
    max_send_msg_size: int(differences.maxSendBytes ?? 104_857_600, 'greatest message sent, bytes'),
    grpc_compression: text('snappy', 'empty, gzip or snappy'),
    rate_limit: float(0, 'calls a second, 0 unlimited'),
    rate_limit_burst: int(0, 'calls at once'),
    backoff_on_ratelimits: bool(false, 'wait and call again when told to slow down'),
    backoff_config: section('backoff.Config', {
      min_period: duration('100ms', 'first wait'),
      max_period: duration(differences.backoffMax ?? '10s', 'longest wait'),
      max_retries: int(differences.backoffRetries ?? 10, 'calls before giving up'),
    }),
    initial_stream_window_size: bytes(windowBytes, 'HTTP/2 window of a stream'),
    initial_connection_window_size: bytes(windowBytes, 'HTTP/2 window of a connection'),
    ...tls,
    connect_timeout: duration('5s', 'limit of a connection'),
    connect_backoff_base_delay: duration('1s', 'first wait before connecting again'),
    connect_backoff_max_delay: duration('5s', 'longest wait before connecting again'),
    cluster_validation: section('clusterutil.ClusterValidationConfig', {
      label: text('', 'label sent along'),
    }),
  });
}

/** A pool of clients of one kind of process. */
export function clientPool(goType: string) {
  return section(goType, {
    pool_config: section('client.PoolConfig', {
      checkinterval: duration('15s', 'how often members are checked'),
      healthcheckenabled: bool(true, 'check members'),
      healthchecktimeout: duration('1s', 'limit of a check'),
      healthcheckgraceperiod: duration('0', 'failures tolerated for this long'),
      maxconcurrenthealthchecks: int(0, 'checks at once'),
    }),
    remote_timeout: duration('5s', 'limit of a call'),
    grpc_client_config: grpcClient(),
  });
}

export const ingester_client = clientPool('ingester_client.Config');
export const metrics_generator_client = clientPool('generator_client.Config');
export const live_store_client = clientPool('livestore_client.Config');
export const backend_scheduler_client = section('backendscheduler_client.Config', { grpc_client_config: grpcClient() });

export const memcached = section('cache.MemcachedConfig', {
  host: active(text('', 'name whose SRV record lists the servers')),
  service: active(text('', 'service of the SRV record')),
  addresses: active(text('', 'addresses, comma list')),
  timeout: active(duration('100ms', 'limit of a call')),
  max_idle_conns: int(16, 'connections kept'),
  update_interval: active(duration('1m', 'how often addresses are looked up')),
  max_item_size: active(int(0, 'larger items are not cached, 0 caches all')),
  ttl: active(duration('0', 'life of an item, 0 unlimited')),
  consistent_hash: bool(false, 'spread keys so that a lost server moves few'),
  circuit_breaker_consecutive_failures: active(int(0, 'failures after which a server is left alone, 0 is 4')),
  circuit_breaker_timeout: active(duration('0', 'for how long, 0 is 2s')),
  circuit_breaker_interval: duration('0', 'window in which failures count'),
  ...activeTls,
});

export const redis = section('cache.RedisConfig', {
  endpoint: active(text('', 'addresses, comma list for a cluster')),
  master_name: active(text('', 'name of the master known to the sentinels')),
  db: active(int(0, 'database number')),
  pool_size: int(0, 'connections'),
  timeout: active(duration('0', 'limit of a call, 0 is 100ms')),
  expiration: active(duration('0', 'life of an item')),
  ttl: active(duration('0', 'life of an item')),
  idle_timeout: duration('0', 'idle connections are closed after this'),
  max_connection_age: duration('0', 'connections are closed after this'),
  username: active(text('', 'user')),
  password: active(secret('password')),
  sentinel_username: active(text('', 'user of the sentinels')),
  sentinel_password: active(secret('password of the sentinels')),
  tls_enabled: active(bool(false, 'speak TLS')),
  tls_insecure_skip_verify: active(bool(false, 'do not check the certificate')),
});
