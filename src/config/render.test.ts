import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { type Configuration, loadConfiguration } from './load.ts';
import { renderConfiguration } from './render.ts';

const text = `
server: {http_listen_port: 7}
compactor: {compaction: {block_retention: 24h}}
overrides: {per_tenant_override_period: 36h}
memberlist: {join_members: [a, b]}
storage:
  trace:
    backend: local
    local: {path: /b}
    wal: {path: /w}
    s3: {secret_key: hidden1, access_key: shown}
cache: {caches: [{roles: [bloom], redis: {password: hidden2}}]}
ingest: {kafka: {sasl_password: hidden3}}
metrics_generator: {storage: {remote_write: [{url: http://p, basic_auth: {password: hidden4}}]}}
distributor: {receivers: {otlp: {protocols: {grpc: {endpoint: "[::1]:1"}}}, kafka: {auth: {plain_text: {password: hidden5}}}}}
`;

describe('/status/config', () => {
  const config = load(text);

  it('shows everything in force in the syntax of the file', () => {
    const shown = parse(renderConfiguration(config, undefined));
    assert.equal(shown.server.http_listen_port, 7);
    assert.equal(shown.server.grpc_listen_port, 9095);
    assert.equal(shown.server.graceful_shutdown_timeout, '30s');
    assert.equal(shown.server.grpc_server_max_connection_age, '2562047h47m16.854775807s');
    assert.equal(shown.compactor.compaction.block_retention, '24h0m0s');
    assert.equal(shown.backend_worker.compaction.block_retention, '24h0m0s');
    assert.equal(shown.overrides.per_tenant_override_period, '1d12h');
    assert.equal(shown.memberlist.join_members, 'a,b');
    assert.equal(shown.storage.trace.local.path, '/b');
    assert.equal(shown.distributor.receivers.otlp.protocols.grpc.endpoint, '[::1]:1');
  });

  it('hides credentials', () => {
    for (const mode of [undefined, 'diff']) {
      const shown = renderConfiguration(config, mode);
      assert.doesNotMatch(shown, /hidden/);
      assert.equal(parse(shown).storage.trace.s3.secret_key, '<secret>');
      assert.equal(parse(shown).storage.trace.s3.access_key, 'shown');
    }
  });

  it('mode diff shows what was changed only', () => {
    const shown = parse(
      renderConfiguration(load('server: {http_listen_port: 7}\nstorage: {trace: {local: {path: /b}}}'), 'diff'),
    );
    assert.deepEqual(Object.keys(shown).sort(), ['distributor', 'server', 'storage']);
    assert.deepEqual(shown.server, { http_listen_port: 7 });
    assert.deepEqual(shown.storage, { trace: { backend: 'local', local: { path: '/b' } } });
  });

  it('mode defaults shows the defaults', () => {
    assert.equal(parse(renderConfiguration(config, 'defaults')).server.http_listen_port, 3200);
  });

  it('knows no other mode', () => {
    assert.throws(
      () => renderConfiguration(config, 'foo'),
      /^VivaceError: unknown value for mode query parameter: foo$/,
    );
  });

  it('shows a file that loads again to the same', () => {
    const again = load(renderConfiguration(load('server: {http_listen_port: 7}'), undefined));
    assert.equal(
      renderConfiguration(again, undefined),
      renderConfiguration(load('server: {http_listen_port: 7}'), undefined),
    );
  });
});

function load(file: string): Configuration {
  const loaded = loadConfiguration({ argv: ['-config.file=x'], env: {}, readFile: () => file });
  assert.equal(loaded.kind, 'run', JSON.stringify(loaded));
  if (loaded.kind !== 'run') throw new Error('not reached');
  return loaded.config;
}
