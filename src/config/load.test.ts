import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { listenersOf } from './listeners.ts';
import { type Configuration, loadConfiguration } from './load.ts';

type Environment = Record<string, string>;
type Case = [argv: string, env: Environment, text: string | undefined, expected: Record<string, unknown>];

/** Command line, environment, file (undefined: none), and values by property path. */
const precedence: Case[] = [
  ['', {}, undefined, { 'server.httpListenPort': 3200, target: 'all', 'storage.trace.backend': 'local' }],
  ['', { PORT: '5000' }, undefined, { 'server.httpListenPort': 5000 }],
  ['', { PORT: 'tcp://10.0.0.1:80' }, undefined, { 'server.httpListenPort': 3200 }],
  ['', { PORT: '' }, undefined, { 'server.httpListenPort': 3200 }],
  ['', { PORT: '5000' }, 'server: {http_listen_port: 4000}', { 'server.httpListenPort': 4000 }],
  ['', { PORT: '5000' }, 'server: {grpc_listen_port: 4000}', { 'server.httpListenPort': 5000 }],
  ['', { PORT: '5000' }, 'server:\n  http_listen_port: ${PORT}', { 'server.httpListenPort': 5000 }],
  ['-config.expand-env=true', { PORT: '5000' }, 'server: {http_listen_port: "${PORT}"}', { kind: 'exit' }],
  [
    '-config.expand-env=true',
    { PORT: '5000' },
    'server: {http_listen_port: ${PORT}}',
    { 'server.httpListenPort': 5000 },
  ],
  ['-config.expand-env=true', {}, 'server: {http_listen_port: ${PORT:-4000}}', { 'server.httpListenPort': 4000 }],
  ['', {}, 'server:\n  http_listen_port: ${PORT}', { 'server.httpListenPort': 3200 }],
  ['-server.http-listen-port=7', { PORT: '5000' }, 'server: {http_listen_port: 4000}', { 'server.httpListenPort': 7 }],
  ['', {}, '', { 'server.httpListenPort': 3200 }],
  ['', {}, '# nothing\n---\n', { 'server.httpListenPort': 3200 }],
  ['', {}, 'server:\n', { 'server.httpListenPort': 3200 }],
  ['', {}, 'server: {}\ntarget: ~\n', { target: 'all' }],
  ['-log.level=debug', {}, 'server: {log_level: warn}', { 'server.logLevel': 'debug' }],
  ['', {}, 'multitenancy_enabled: yes', { multitenancyEnabled: true }],
  ['', {}, 'auth_enabled: on', { multitenancyEnabled: true }],
  ['', {}, 'auth_enabled: true\nmultitenancy_enabled: false', { multitenancyEnabled: false }],
  ['-auth.enabled', {}, 'multitenancy_enabled: false', { multitenancyEnabled: true }],
  ['', {}, 'http_api_prefix: tempo/', { httpApiPrefix: '/tempo' }],
];

const values: Case[] = [
  [
    '',
    {},
    'overrides: {defaults: {ingestion: {rate_limit_bytes: 2e+07}}}',
    { 'overrides.defaults.ingestion.rateLimitBytes': 2e7 },
  ],
  ['', {}, 'server: {http_listen_port: 0x10}', { 'server.httpListenPort': 16 }],
  ['', {}, 'server: {http_listen_port: 3_200}', { 'server.httpListenPort': 3200 }],
  ['', {}, 'target: "on"\n', { kind: 'exit' }],
  ['', {}, 'shutdown_delay: "0"', { shutdownDelayMs: 0 }],
  ['', {}, 'shutdown_delay: 0', { shutdownDelayMs: 0 }],
  ['', {}, 'shutdown_delay: 5000000000', { shutdownDelayMs: 5000 }],
  ['', {}, 'shutdown_delay: 1h30m', { shutdownDelayMs: 5_400_000 }],
  ['', {}, 'overrides: {per_tenant_override_period: 1d12h}', { 'overrides.perTenantOverridePeriodMs': 129_600_000 }],
  ['', {}, 'memberlist: {join_members: [a, b]}', { 'memberlist.joinMembers': ['a', 'b'] }],
  ['', {}, 'memberlist: {join_members: "a, b"}', { 'memberlist.joinMembers': ['a', 'b'] }],
  ['', {}, 'storage: {trace: {s3: {secret_key: 0123}}}\n', { kind: 'exit' }],
  ['', {}, 'storage: {trace: {backend: local, local: {path: 0123}}}', { 'storage.trace.local.path': '0123' }],
  ['', {}, 'x-unknown: 1', { kind: 'exit' }],
  ['', {}, 'base: 1', { kind: 'exit' }],
  [
    '',
    {},
    'server: &s {http_listen_port: 7}\ninternal_server: {<<: *s, enable: true}',
    { 'internalServer.httpListenPort': 7 },
  ],
  [
    '',
    {},
    'server: &s {http_listen_port: 7}\ninternal_server: {<<: *s, http_listen_port: 8}',
    { 'internalServer.httpListenPort': 8 },
  ],
  ['', {}, 'target: |\n  all', { kind: 'exit' }],
  ['', {}, 'http_api_prefix: ${PREFIX}', { httpApiPrefix: '/${PREFIX}' }],
  ['', { PREFIX: '/p' }, 'http_api_prefix: ${PREFIX}', { httpApiPrefix: '/p' }],
  ['', { PREFIX: '/p' }, 'http_api_prefix: a${PREFIX}', { httpApiPrefix: '/a${PREFIX}' }],
  ['-config.expand-env=true', { PREFIX: '/p' }, 'http_api_prefix: $${PREFIX}', { httpApiPrefix: '/${PREFIX}' }],
  ['', { WAIT: '5s' }, 'shutdown_delay: ${WAIT}', { shutdownDelayMs: 5000 }],
  ['', { WAIT: 'soon' }, 'shutdown_delay: ${WAIT}', { kind: 'exit' }],
  ['', {}, 'target: >-\n  all', { target: 'all' }],
];

const places: Case[] = [
  ['', {}, undefined, { 'storage.trace.local.path': './data/blocks', 'storage.trace.wal.path': './data/wal' }],
  [
    '',
    { VIVACE_DATA: '/d' },
    undefined,
    { 'storage.trace.local.path': '/d/blocks', 'storage.trace.wal.path': '/d/wal' },
  ],
  ['', {}, 'target: all', { 'storage.trace.local.path': './data/blocks', 'storage.trace.wal.path': './data/wal' }],
  [
    '',
    {},
    'storage: {trace: {backend: local, local: {path: /b}}}',
    { 'storage.trace.local.path': '/b', 'storage.trace.wal.path': '/var/tempo/wal' },
  ],
  [
    '',
    { VIVACE_DATA: '/d' },
    'storage: {trace: {backend: local, local: {path: /b}}}',
    { 'storage.trace.local.path': '/b', 'storage.trace.wal.path': '/d/wal' },
  ],
  [
    '-storage.trace.wal.path=/w',
    {},
    undefined,
    { 'storage.trace.wal.path': '/w', 'storage.trace.local.path': './data/blocks' },
  ],
  ['', { TEMPO_STORAGE_WAL_PATH: '/w' }, undefined, { 'storage.trace.wal.path': '/w' }],
  ['', { TEMPO_GRPC_LISTEN_PORT: '9096' }, undefined, { 'server.grpcListenPort': 9096 }],
  ['', { TEMPO_GRPC_LISTEN_PORT: '9096' }, 'target: all', { 'server.grpcListenPort': 9095 }],
];

const otlp = 'distributor.receivers.otlp';
const receivers: Case[] = [
  ['', {}, undefined, { [`${otlp}.grpc.port`]: 4317, [`${otlp}.http.port`]: 4318, [`${otlp}.http.host`]: '0.0.0.0' }],
  ['', {}, 'distributor: {receivers: }', { [`${otlp}.grpc.port`]: 4317, [`${otlp}.http.port`]: 4318 }],
  ['', {}, 'distributor: {receivers: {}}', { [`${otlp}.grpc.port`]: 4317, [`${otlp}.http.port`]: 4318 }],
  ['', {}, 'distributor: {receivers: {otlp: }}', { [`${otlp}.grpc.port`]: 4317, [`${otlp}.http.port`]: 4318 }],
  [
    '',
    {},
    'distributor: {receivers: {otlp: {protocols: {}}}}',
    { [`${otlp}.grpc`]: undefined, [`${otlp}.http`]: undefined },
  ],
  [
    '',
    {},
    'distributor: {receivers: {otlp: {protocols: {grpc: }}}}',
    {
      [`${otlp}.grpc.host`]: '0.0.0.0',
      [`${otlp}.grpc.maxReceiveMessageBytes`]: 4_194_304,
      [`${otlp}.http`]: undefined,
    },
  ],
  [
    '',
    {},
    'distributor: {receivers: {otlp: {protocols: {http: {endpoint: "[::1]:1", max_request_body_size: 7, cors: {allowed_origins: ["*"], max_age: 3}}}}}}',
    {
      [`${otlp}.http.host`]: '::1',
      [`${otlp}.http.port`]: 1,
      [`${otlp}.http.maxRequestBodySizeBytes`]: 7,
      [`${otlp}.http.cors.allowedOrigins`]: ['*'],
      [`${otlp}.http.cors.maxAgeSeconds`]: 3,
    },
  ],
  [
    '',
    {},
    'distributor: {receivers: {jaeger: {protocols: {grpc: }}}}',
    { [`${otlp}.grpc`]: undefined, [`${otlp}.http`]: undefined },
  ],
  [
    '',
    { TEMPO_HTTP_PORT: '1', TEMPO_GRPC_PORT: '2' },
    undefined,
    { [`${otlp}.http.port`]: 1, [`${otlp}.grpc.port`]: 2 },
  ],
  ['', { TEMPO_HTTP_PORT: 'tcp://10.0.0.1:80' }, undefined, { [`${otlp}.http.port`]: 4318 }],
  [
    '',
    { TEMPO_HTTP_PORT: '1', TEMPO_GRPC_PORT: '2' },
    'distributor: {receivers: {otlp: {protocols: {http: , grpc: {endpoint: "0.0.0.0:4317"}}}}}',
    { [`${otlp}.http.port`]: 1, [`${otlp}.grpc.port`]: 4317 },
  ],
];

const oldKeys: Case[] = [
  [
    '',
    {},
    undefined,
    {
      'live.maxBlockDurationMs': 1_800_000,
      'live.maxBlockBytes': 524_288_000,
      'live.traceIdleMs': 5000,
      'live.traceLiveMs': 30_000,
    },
  ],
  ['', {}, 'ingester: {max_block_duration: 5m}', { 'live.maxBlockDurationMs': 300_000 }],
  [
    '',
    {},
    'ingester: {trace_idle_period: 1s, trace_live_period: 2s}',
    { 'live.traceIdleMs': 1000, 'live.traceLiveMs': 2000 },
  ],
  [
    '',
    {},
    'ingester: {max_block_duration: 5m}\nlive_store: {max_block_duration: 6m}',
    { 'live.maxBlockDurationMs': 360_000 },
  ],
  [
    '-ingester.max-block-duration=7m',
    {},
    'live_store: {max_block_duration: 6m}',
    { 'live.maxBlockDurationMs': 420_000 },
  ],
  [
    '',
    {},
    'compactor: {compaction: {block_retention: 24h}}',
    {
      'backendWorker.compaction.blockRetentionMs': 86_400_000,
      'backendScheduler.provider.compaction.compaction.blockRetentionMs': 86_400_000,
    },
  ],
  [
    '',
    {},
    'compactor: {compaction: {block_retention: 24h}}\nbackend_worker: {compaction: {block_retention: 48h}}',
    { 'backendWorker.compaction.blockRetentionMs': 172_800_000 },
  ],
  ['', {}, 'storage: {wal: {path: /w}}', { 'storage.trace.wal.path': '/w' }],
  ['', {}, 'storage: {wal: {path: /w}, trace: {wal: {path: /t}}}', { 'storage.trace.wal.path': '/t' }],
  ['', {}, 'storage: {trace: {wal: {path: /t}}, wal: {path: /w}}', { 'storage.trace.wal.path': '/t' }],
  ['', {}, 'overrides: {ingestion_rate_limit_bytes: 7}', { 'overrides.defaults.ingestion.rateLimitBytes': 7 }],
  ['', {}, 'overrides: {max_bytes_per_trace: 7}', { 'overrides.defaults.global.maxBytesPerTrace': 7 }],
  [
    '',
    {},
    'overrides: {metrics_generator_processor_span_metrics_dimensions: [a]}',
    { 'overrides.defaults.metricsGenerator.processor.spanMetrics.dimensions': ['a'] },
  ],
];

for (const [name, cases] of Object.entries({ precedence, values, places, receivers, oldKeys })) {
  describe(name, () => {
    for (const [argv, env, text, expected] of cases) {
      it(`${argv} ${JSON.stringify(env)} ${text}`, () => {
        const loaded = loadConfiguration({
          argv: [...(text === undefined ? [] : ['-config.file=x']), ...argv.split(' ').filter((word) => word !== '')],
          env,
          readFile: () => text ?? '',
        });
        if (expected.kind === 'exit') {
          assert.equal(loaded.kind, 'exit');
          return;
        }
        assert.equal(loaded.kind, 'run', JSON.stringify(loaded));
        if (loaded.kind !== 'run') return;
        for (const [path, value] of Object.entries(expected)) assert.deepEqual(at(loaded.config, path), value, path);
      });
    }
  });
}

function at(config: Configuration, path: string): unknown {
  let value: unknown = config;
  for (const key of path.split('.')) value = (value as Record<string, unknown> | undefined)?.[key];
  return value;
}

const tempoYaml = golden('tcp-gateway.yaml');
const everything = '-target=all -config.file=/app/config/tempo.yaml';

/** Start scripts of the runbook behind a TCP gateway, and the sockets that they open. */
const scripts: [name: string, argv: string, env: Environment, sockets: string][] = [
  [
    'start-tempo',
    '--config.file=/app/config/tempo.yaml --config.expand-env=true --target=query-frontend --server.http-listen-address=0.0.0.0 --server.http-listen-port=5000',
    { PORT: '5000' },
    '0.0.0.0:5000 api, :9095 internal-grpc',
  ],
  [
    'start-tempo-http',
    `${everything} --server.http-listen-address=0.0.0.0 --server.http-listen-port=4318 --server.grpc-listen-address=`,
    { PORT: '5000' },
    '0.0.0.0:4318 api+otlp-http, 0.0.0.0:4317 otlp-grpc',
  ],
  [
    'start-tempo-grpc',
    `${everything} --server.grpc-listen-address=0.0.0.0 --server.grpc-listen-port=4317 --server.http-listen-address=`,
    {},
    '0.0.0.0:4317 internal-grpc+otlp-grpc, 0.0.0.0:4318 otlp-http',
  ],
];

describe('the runbook with a TCP gateway', () => {
  for (const [name, argv, env, sockets] of scripts) {
    it(name, () => {
      const loaded = loadConfiguration({ argv: argv.split(' '), env, readFile: () => tempoYaml });
      assert.equal(loaded.kind, 'run', JSON.stringify(loaded));
      if (loaded.kind !== 'run') return;
      const { config, warnings, inactiveKeys } = loaded;
      assert.equal(socketsOf(config), sockets);
      assert.equal(config.storage.trace.local.path, '/tmp/tempo-data/blocks');
      assert.equal(config.storage.trace.wal.path, '/tmp/tempo-data/wal');
      assert.equal(config.compactor.compaction.blockRetentionMs, 86_400_000);
      assert.equal(config.compactor.compaction.compactedBlockRetentionMs, 3_600_000);
      assert.equal(warnings.filter((text) => text.includes('pool_max_idle_streams')).length, 1);
      assert.equal(warnings.filter((text) => text.includes('Tempo 3.0 has no compactor')).length, 1);
      assert.deepEqual(inactiveKeys, []);
    });
  }
});

describe('the single deployment', () => {
  it('shares the port of the internal gRPC server with the receiver', () => {
    const loaded = loadConfiguration({
      argv: ['-config.file=/conf/tempo.yaml'],
      env: {},
      readFile: () => golden('deployment.yaml'),
    });
    assert.equal(loaded.kind, 'run', JSON.stringify(loaded));
    if (loaded.kind !== 'run') return;
    const { config } = loaded;
    assert.equal(socketsOf(config), ':3200 api, :4317 internal-grpc+otlp-grpc, 0.0.0.0:4318 otlp-http');
    assert.equal(config.live.maxBlockDurationMs, 300_000);
    assert.equal(config.storage.trace.local.path, '/var/tempo/traces');
    assert.equal(config.storage.trace.wal.path, '/var/tempo/wal');
    assert.equal(config.backendWorker.compaction.blockRetentionMs, 3_600_000);
  });
});

describe('the buildpack', () => {
  const text = golden('buildpack.yaml');
  const named = [
    'storage.trace.backend',
    'storage.trace.wal.path',
    'storage.trace.s3.bucket',
    'storage.trace.s3.endpoint',
  ];

  it('has keys of its own, each named with the one to write', () => {
    const loaded = loadConfiguration({ argv: ['-config.file=x', '-config.verify'], env: {}, readFile: () => text });
    assert.equal(loaded.kind, 'exit');
    if (loaded.kind !== 'exit') return;
    for (const key of named) assert.match(loaded.stderr, new RegExp(`write ${key.replaceAll('.', '\\.')}"`));
  });

  it('means what they mean', () => {
    const argv = ['-config.file=x', '-storage.trace.backend=local'];
    const loaded = loadConfiguration({ argv, env: { PORT: '7000' }, readFile: () => text });
    assert.equal(loaded.kind, 'run', JSON.stringify(loaded));
    if (loaded.kind !== 'run') return;
    const { s3 } = loaded.config.storage.trace;
    assert.deepEqual(
      [s3.bucket, s3.endpoint, s3.accessKey, s3.secretKey],
      ['my-tempo-bucket', 's3.fr-par.scw.cloud', 'YOUR_S3_ACCESS_KEY', 'YOUR_S3_SECRET_KEY'],
    );
    assert.equal(
      socketsOf(loaded.config),
      ':7000 api, :9095 internal-grpc, 0.0.0.0:4318 otlp-http, 0.0.0.0:4317 otlp-grpc',
    );
  });

  for (const quotes of ["'''", "\\'\\'\\'", '"', '']) {
    it(`may bring the whole text in TEMPO_CONFIG_YAML within ${quotes || 'nothing'}`, () => {
      const TEMPO_CONFIG_YAML = `${quotes}\n${tempoYaml}${quotes}`;
      const loaded = loadConfiguration({ argv: [], env: { TEMPO_CONFIG_YAML, PORT: '7000' }, readFile: () => '' });
      assert.equal(loaded.kind, 'run', JSON.stringify(loaded));
      if (loaded.kind === 'run') assert.equal(loaded.config.storage.trace.wal.path, '/tmp/tempo-data/wal');
    });
  }
});

/** File text, and a part of each warning and notice. */
const warned: [text: string, ...parts: string[]][] = [
  ['target: all'],
  [
    'live_store: {complete_block_timeout: 1m}',
    'live_store.complete_block_timeout (1m0s) is shorter than storage.trace.blocklist_poll (5m0s)',
  ],
  [
    'compactor: {compaction: {block_retention: 1m}}',
    'compaction.block_retention (1m0s) is shorter',
    'Tempo 3.0 has no compactor',
  ],
  ['compactor: {compaction: {retention_concurrency: 0}}', 'retention_concurrency is 0', 'Tempo 3.0 has no compactor'],
  ['storage: {trace: {blocklist_poll_concurrency: 0}}', 'blocklist_poll_concurrency is 0'],
  ['distributor: {log_received_spans: {enabled: true}}', 'log_received_spans is enabled'],
  ['distributor: {log_discarded_spans: {enabled: true}}', 'log_discarded_spans is enabled'],
  ['target: distributor', 'storage.trace.backend is local and target is distributor'],
  ['query_frontend: {mcp_server: {enabled: true}}', 'mcp_server is enabled'],
  ['storage: {trace: {cache: redis}}', 'storage.trace.cache is deprecated'],
  ['query_frontend: {trace_by_id: {concurrent_shards: 60}}', 'concurrent_shards is greater than query_shards'],
  ['backend_scheduler: {work: {prune_age: 10m}}', 'prune_age (10m0s) is not longer than twice'],
  ['query_frontend: {rf1_after: 2026-01-31T00:00:00Z}', 'rf1_after is set and ignored'],
  [
    'storage: {trace: {local: {path: /b}}}\noverrides: {user_configurable_overrides: {enabled: true, client: {backend: local, local: {path: /b}}}}',
    'stored in the same place',
  ],
  ['overrides: {max_bytes_per_trace: 7}', 'overrides.max_bytes_per_trace is no key'],
  ['shutdown_delay: 7', 'shutdown_delay: 7 has no unit and counts as nanoseconds'],
  [
    'ingester: {max_block_duration: 5m}\ningester_client: {remote_timeout: 1s}',
    'Tempo 3.0 has no ingester, ingester_client',
  ],
];

describe('warnings', () => {
  for (const [text, ...parts] of warned) {
    it(text, () => {
      const loaded = loadConfiguration({ argv: ['-config.file=x'], env: {}, readFile: () => text });
      assert.equal(loaded.kind, 'run', JSON.stringify(loaded));
      if (loaded.kind !== 'run') return;
      assert.equal(loaded.warnings.length, parts.length, loaded.warnings.join('\n'));
      for (const part of parts)
        assert.ok(
          loaded.warnings.some((warning) => warning.includes(part)),
          loaded.warnings.join('\n'),
        );
    });
  }
});

describe('keys without effect', () => {
  it('are listed once each, in the order of the file', () => {
    const text =
      'usage_report: {reporting_enabled: false}\nserver: {http_listen_port: 1, log_source_ips_enabled: true}\ndistributor: {receivers: {kafka: {use_leader_epoch: true}, otlp: {protocols: {http: {tls: {ca_file: a}}}}}}';
    const argv = ['-config.file=x', '-querier.frontend-worker.parallelism=3'];
    const loaded = loadConfiguration({ argv, env: {}, readFile: () => text });
    assert.equal(loaded.kind, 'run');
    if (loaded.kind !== 'run') return;
    assert.deepEqual(loaded.inactiveKeys, [
      'usage_report.reporting_enabled',
      'server.log_source_ips_enabled',
      'distributor.receivers.kafka.use_leader_epoch',
      'distributor.receivers.otlp.protocols.http.tls.ca_file',
      'querier.frontend_worker.parallelism',
    ]);
  });
});

function socketsOf(config: Configuration): string {
  return listenersOf(config)
    .map(({ host, port, serves }) => `${host}:${port} ${serves.join('+')}`)
    .join(', ');
}

function golden(name: string): string {
  return readFileSync(new URL(`../../tests/golden/config/${name}`, import.meta.url), 'utf8');
}
