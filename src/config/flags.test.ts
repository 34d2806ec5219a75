import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FlagError, parseFlags, usage } from './flags.ts';

/** Command line, and what is set: paths with `=value`, or `file`, `expand`, `verify`, `help`, `version`, `health`. */
const cases: [string, string][] = [
  ['', ''],
  ['-config.file=a.yaml', 'file=a.yaml'],
  ['--config.file=a.yaml', 'file=a.yaml'],
  ['--config.file a.yaml', 'file=a.yaml'],
  ['-config.file=a -config.file=b', 'file=b'],
  ['-config.expand-env=true', 'expand'],
  ['-config.expand-env=false', ''],
  ['-config.expand-env', 'expand'],
  ['-config.expand-env -config.file=a', 'file=a expand'],
  ['-config.expand-env true -config.file=a', 'file=a expand'],
  ['-config.verify', 'verify'],
  ['-config.verify=true', 'verify'],
  ['-version', 'version'],
  ['-h', 'help'],
  ['-help', 'help'],
  ['-health', 'health'],
  ['-health=true', 'health'],
  ['-target=querier', 'target="querier"'],
  ['-target querier', 'target="querier"'],
  ['--server.http-listen-port=4318', 'server.http_listen_port=4318'],
  ['--server.http-listen-port 4318', 'server.http_listen_port=4318'],
  ['--server.http_listen_port=4318', 'server.http_listen_port=4318'],
  ['--server.http-listen-address=', 'server.http_listen_address=""'],
  ['--server.grpc-listen-address=0.0.0.0', 'server.grpc_listen_address="0.0.0.0"'],
  ['--storage.trace.local.path=x', 'storage.trace.local.path="x"'],
  ['--storage-trace-local-path=x', 'storage.trace.local.path="x"'],
  ['-storage.trace.s3.access_key=k', 'storage.trace.s3.access_key="k"'],
  ['-log.level=debug', 'server.log_level="debug"'],
  ['-multitenancy.enabled', 'multitenancy_enabled=true'],
  ['-auth.enabled=true', 'auth_enabled=true'],
  ['-multitenancy.enabled=false', 'multitenancy_enabled=false'],
  ['-http-api-prefix=/tempo', 'http_api_prefix="/tempo"'],
  ['-shutdown-delay=5s', 'shutdown_delay=5000'],
  ['-memberlist.host-port=a -memberlist.host-port=b', 'memberlist.join_members=["a","b"]'],
  ['-memberlist.bind-port=7947', 'memberlist.bind_port=7947'],
  ['-ingester.max-block-duration=5m', 'ingester.max_block_duration=300000'],
  ['-ingester.max-bytes-per-trace=7', 'overrides.defaults.global.max_bytes_per_trace=7'],
  ['-compactor.compaction.block-retention=24h', 'compactor.compaction.block_retention=86400000'],
  ['-distributor.ingestion-rate-limit-bytes=7', 'overrides.defaults.ingestion.rate_limit_bytes=7'],
  ['-querier.frontend-address=a:1', 'querier.frontend_worker.frontend_address="a:1"'],
  ['-config.per-user-override-config=o.yaml', 'overrides.per_tenant_override_config="o.yaml"'],
  ['-reporting.enabled=false', 'usage_report.reporting_enabled=false'],
  ['-live-store.instance-availability-zone=z', 'live_store.ring.instance_zone="z"'],
  ['-live-storeprefix=p', 'live_store.ring.kvstore.prefix="p"'],
  ['-mem-ballast-size-mbs=1024 -target=all', 'target="all" ignored'],
  ['-mem-ballast-size-mbs 1024 -target=all', 'target="all" ignored'],
  ['-vivace.live-bytes=1e8', 'vivace.live_bytes=100000000'],
  ['-- -target=all', 'ignored'],
  ['run -target=all', 'ignored'],
  ['-target=all - -nonsense', 'target="all" ignored'],
  ['-multitenancy.enabled false -target=all', 'multitenancy_enabled=true ignored'],
  ['-server.http-listen-port=1 -server.http-listen-port=2', 'server.http_listen_port=2'],
];

const failures: [string, string][] = [
  ['-nonsense', 'flag provided but not defined: -nonsense'],
  ['--nonsense=1', 'flag provided but not defined: -nonsense'],
  ['-tagret=all', 'flag provided but not defined: -tagret (did you mean -target?)'],
  ['-constructor=1', 'flag provided but not defined: -constructor'],
  ['-config.file', 'flag needs an argument: -config.file'],
  ['-target', 'flag needs an argument: -target'],
  ['---target=all', 'bad flag syntax: ---target=all'],
  ['-=1', 'bad flag syntax: -=1'],
  ['-server.http-listen-port=abc', 'invalid value "abc" for flag -server.http-listen-port: parse error'],
  ['-server.http-listen-port=', 'invalid value "" for flag -server.http-listen-port: parse error'],
  [
    '-server.http-listen-port=70000',
    'invalid value "70000" for flag -server.http-listen-port: http_listen_port must be at most 65535',
  ],
  ['-shutdown-delay=5', 'invalid value "5" for flag -shutdown-delay: parse error (time: missing unit in duration "5")'],
  ['-multitenancy.enabled=maybe', 'invalid boolean value "maybe" for -multitenancy.enabled: parse error'],
  ['-config.verify=maybe', 'invalid boolean value "maybe" for -config.verify: parse error'],
  [
    '-log.level=loud',
    'invalid value "loud" for flag -log.level: unrecognized log level "loud": one of debug, info, warn, error',
  ],
];

describe('flags', () => {
  for (const [line, expected] of cases) it(line, () => assert.equal(shown(words(line)), expected));

  for (const [line, reason] of failures) {
    it(`refuses ${line}`, () => {
      assert.throws(
        () => parseFlags(words(line)),
        (error) => error instanceof FlagError && error.message === reason,
      );
    });
  }

  it('lists itself', () => assert.match(usage(), /^Usage of tempo:\n {2}-config\.file string\n/));
});

function words(line: string): string[] {
  return line === '' ? [] : line.split(' ');
}

function shown(argv: string[]): string {
  const flags = parseFlags(argv);
  return [
    flags.configFile === undefined ? '' : `file=${flags.configFile}`,
    flags.expandEnv ? 'expand' : '',
    flags.verify ? 'verify' : '',
    flags.help ? 'help' : '',
    flags.version ? 'version' : '',
    flags.health ? 'health' : '',
    ...[...flags.values].map(([path, value]) => `${path}=${JSON.stringify(value)}`),
    flags.ignored.length === 0 ? '' : 'ignored',
  ]
    .filter((part) => part !== '')
    .join(' ');
}
