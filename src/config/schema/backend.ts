/** Compaction and retention: one compactor in Tempo 2.9, a scheduler and workers in Tempo 3.0. */
import { active, bool, duration, int, section, tempo3, text, texts, uint } from '../setting.ts';
import { kvstore } from './shared.ts';

const compaction = section('tempodb.CompactorConfig', {
  v2_in_buffer_bytes: int(5_242_880, 'setting of an old block format'),
  v2_out_buffer_bytes: int(20_971_520, 'setting of an old block format'),
  v2_prefetch_traces_count: int(1000, 'setting of an old block format'),
  compaction_window: active(duration('1h', 'span of time whose blocks are merged')),
  max_compaction_objects: active(int(6_000_000, 'traces of a merged block')),
  max_block_bytes: active(uint(107_374_182_400, 'size of a merged block')),
  block_retention: active(duration('336h', 'older blocks are deleted, 0 never')),
  compacted_block_retention: active(
    duration('1h', 'how long the files of a block stay after it was merged into another or became too old'),
  ),
  retention_concurrency: active(uint(10, 'blocks of a bucket that are deleted at a time')),
  max_time_per_tenant: active(duration('5m', 'time given to a tenant before the next, in a bucket')),
  compaction_cycle: active(duration('30s', 'pause between rounds')),
});

export const compactor = section('compactor.Config', {
  disabled: active(bool(false, 'no compaction nor retention')),
  ring: ring('compactor.RingConfig'),
  compaction,
  override_ring_key: text('compactor', 'name of the ring'),
});

export const backend_scheduler = section('backendscheduler.Config', {
  work: section('work.Config', {
    prune_age: duration('1h', 'finished work is forgotten after this'),
    dead_job_timeout: duration('24h', 'a job without news for this long is given up'),
  }),
  maintenance_interval: duration('1m', 'how often work is tidied'),
  backend_flush_interval: duration('1m', 'how often the state is saved to the store'),
  job_timeout: duration('15s', 'how long a worker waits for a job'),
  local_work_path: text('/var/tempo', 'directory of the state'),
  provider: section('provider.Config', {
    retention: section('provider.RetentionConfig', {
      interval: active(duration('1h', 'longest time between two looks for blocks that are too old')),
    }),
    compaction: section('provider.CompactionConfig', {
      measure_interval: duration('1m', 'how often blocks are counted'),
      max_jobs_per_tenant: int(1000, 'jobs of a tenant at a time'),
      min_input_blocks: active(int(2, 'fewest blocks merged at once')),
      max_input_blocks: active(int(16, 'most blocks merged at once')),
      max_compaction_level: active(int(0, 'blocks merged this often are left, 0 none')),
      min_cycle_interval: duration('30s', 'pause between looks at a tenant'),
      compaction,
    }),
    redaction: section('provider.RedactionConfig', {
      poll_interval: tempo3(duration('2s', 'how often redactions are looked for')),
      rescan_delay: tempo3(duration('5m', 'wait before looking again')),
      max_rescan_generations: tempo3(int(5, 'how often to look again')),
    }),
  }),
});

export const backend_worker = section('backendworker.Config', {
  backend_scheduler_addr: text('', 'host:port; empty allowed only for target all'),
  backoff: section('backoff.Config', {
    min_period: duration('100ms', 'first wait'),
    max_period: duration('1m', 'longest wait'),
    max_retries: int(0, 'repeats, 0 unlimited'),
  }),
  ring: ring('backendworker.RingConfig'),
  override_ring_key: text('backend-worker', 'name of the ring'),
  compaction,
  finish_on_shutdown_timeout: duration('30s', 'finish running job'),
});

function ring(goType: string) {
  return section(goType, {
    kvstore: kvstore(''),
    heartbeat_period: duration('5s', 'how often a member says that it lives'),
    heartbeat_timeout: duration('1m', 'silence after which a member counts as dead'),
    wait_stability_min_duration: duration('1m', 'least time without change before starting'),
    wait_stability_max_duration: duration('5m', 'longest wait for a time without change'),
    wait_active_instance_timeout: duration('10m', 'limit of becoming a member'),
    instance_id: text('', 'name of this member; empty is the host name'),
    instance_interface_names: texts(['eth0', 'en0'], 'network interfaces whose address is announced'),
    instance_port: int(0, 'port announced'),
    instance_addr: text('', 'address announced'),
    enable_inet6: bool(false, 'announce an IPv6 address'),
  });
}
