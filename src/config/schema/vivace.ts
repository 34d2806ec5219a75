/** What only Vivace has. */
import { active, choice, duration, section, text, texts, uint } from '../setting.ts';

export const vivace = section('vivace.Config', {
  live_bytes: active(uint(67_108_864, 'memory for spans that are not yet in a block, of the whole process')),
  cache_bytes: active(uint(16_777_216, 'memory of each reader thread for dictionaries and trace lists of blocks')),
  bucket_cache_bytes: active(
    uint(
      268_435_456,
      'disk for parts of blocks that were read from a bucket, in a file without a name beside the log; 0 keeps none',
    ),
  ),
  bucket_timeout: active(
    duration(
      '15s',
      'a bucket that says nothing for so long is asked again, as after an error, and then taken for away',
    ),
  ),
  bucket_filter_bytes: active(
    uint(16_777_216, 'memory for filters of the trace ids of blocks in a bucket, of the whole process'),
  ),
  reader_threads: active(uint(0, 'threads that search blocks; 0 is one less than the cores, at least one')),
  fsync: active(
    choice(
      'always',
      ['always', 'never'],
      'always: a span is answered for when it is on disk; never: when it is written',
    ),
  ),
  query_bytes_max: active(uint(0, 'bytes that one query may read from blocks, 0 unlimited; more is answered 400')),
  query_spans_max: active(uint(0, 'spans that one query may look at, 0 unlimited; more is answered 400')),
  progress_interval: active(duration('500ms', 'least time between two messages of a streamed answer')),
  auth_file: active(text('', 'file of credentials; switches authentication on for every port')),
  auth_reload_period: active(duration('10s', 'how often it is read again')),
  retention_rules: active(
    texts(
      [],
      'how long traces are kept that match a query: `30d { status = error }`, `3d 5% { }`; the first rule that applies',
    ),
  ),
  delete_traces: active(
    choice(
      'authenticated',
      ['authenticated', 'always', 'never'],
      'who may delete traces over the API: administrators, where vivace.auth_file is set; whoever reaches the port; nobody',
    ),
  ),
  deleted_traces_kept: active(
    duration('24h', 'how long a deleted trace of which nothing is left stays hidden, in case spans of it still come'),
  ),
  compaction_lease: active(
    duration(
      '1m',
      'with a bucket: who writes blocks of a tenant again and is silent for so long (at least 1s) is taken for dead; the same in all processes',
    ),
  ),
  log_bytes: active(
    uint(
      8_589_934_592,
      'disk for the log: tenants are cut to blocks so that it stays below three quarters of this, and at this length senders wait',
    ),
  ),
  log_segment_bytes: active(uint(67_108_864, 'size at which a file of the log is closed')),
});
