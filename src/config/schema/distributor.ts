/** Where spans come in: receivers, forwarders, usage tracking. */
import { noReceivers, type Receivers } from '../receivers.ts';
import { active, bool, custom, duration, int, list, section, tempo2, text, texts, tree, uint } from '../setting.ts';
import { kvstore } from './shared.ts';

export const distributor = section('distributor.Config', {
  receivers: active(custom<Receivers>('receivers', noReceivers, 'receivers by type, as in a Collector; see below')),
  ring: section('distributor.RingConfig', {
    kvstore: kvstore('memberlist'),
    heartbeat_period: duration('5s', 'how often a member says that it lives'),
    heartbeat_timeout: duration('5m', 'silence after which a member counts as dead'),
    instance_id: text('', 'name of this member; empty is the host name'),
    instance_interface_names: texts(['eth0', 'en0'], 'network interfaces whose address is announced'),
    instance_port: int(0, 'port announced'),
    instance_addr: text('', 'address announced'),
    enable_inet6: bool(false, 'announce an IPv6 address'),
  }),
  override_ring_key: text('distributor', 'name of the ring'),
  log_received_spans: section('distributor.LogSpansConfig', {
    enabled: active(bool(false, 'log each accepted span')),
    include_all_attributes: active(bool(false, 'with its attributes')),
    filter_by_status_error: active(bool(false, 'only spans whose status is an error')),
  }),
  log_discarded_spans: section('distributor.LogSpansConfig', {
    enabled: active(bool(false, 'log each span of a request that was refused')),
    include_all_attributes: active(bool(false, 'with its attributes')),
    filter_by_status_error: active(bool(false, 'only spans whose status is an error')),
  }),
  metric_received_spans: section('distributor.MetricReceivedSpansConfig', {
    enabled: active(bool(false, 'count spans per name/service in debug metric')),
    root_only: active(bool(false, 'only spans without a parent')),
  }),
  forwarders: active(
    list(
      section('forwarder.Config', {
        name: active(text('', 'unique name')),
        backend: active(text('', 'must be otlpgrpc')),
        otlpgrpc: section('otlpgrpc.Config', {
          endpoints: active(texts([], 'host:port list; a request goes to all of them')),
          tls: section('otlpgrpc.TLSConfig', {
            insecure: active(bool(false, 'no TLS')),
            cert_file: active(text('', 'PEM file of the authority')),
          }),
        }),
        filter: section('forwarder.FilterConfig', {
          traces: section('forwarder.TraceFiltersConfig', {
            span: active(texts([], 'OTTL conditions: spans for which one holds are left out')),
            spanevent: active(texts([], 'the same for events')),
          }),
        }),
      }),
      'async copies of traces to other OTLP gRPC endpoints',
    ),
  ),
  usage: section('usage.Config', {
    cost_attribution: section('usage.PerTrackerConfig', {
      enabled: bool(false, 'usage tracker, served on /usage_metrics'),
      max_cardinality: uint(10_000, 'most series of a tenant'),
      stale_duration: duration('15m', 'unused series are dropped after this'),
    }),
  }),
  ingester_write_path_enabled: tempo2(bool(true, 'push to ingesters')),
  kafka_write_path_enabled: tempo2(bool(false, 'push to Kafka')),
  kafka_config: tree('copied from ingest.kafka; do not set here'),
  extend_writes: tempo2(bool(true, 'write to extra ingester when one is unhealthy')),
  retry_after_on_resource_exhausted: active(duration('5s', 'retry hint sent with rate-limit errors, 0 sends none')),
  max_attribute_bytes: active(int(2048, 'attribute keys and text values beyond this are cut, 0 cuts none')),
  artificial_delay: duration('0', 'minimum request latency, for tests'),
});
