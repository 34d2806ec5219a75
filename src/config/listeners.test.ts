import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { listenersOf } from './listeners.ts';
import { loadConfiguration } from './load.ts';

const both = '{grpc: {endpoint: "0.0.0.0:4317"}, http: {endpoint: "0.0.0.0:4318"}}';

/** Flags, the protocols of the OTLP receiver, and the sockets as `host:port serves+serves`. */
const cases: [flags: string, protocols: string, sockets: string][] = [
  ['', both, ':3200 api, :9095 internal-grpc, 0.0.0.0:4318 otlp-http, 0.0.0.0:4317 otlp-grpc'],
  ['-target=query-frontend', both, ':3200 api, :9095 internal-grpc'],
  ['-target=distributor', both, ':3200 api, :9095 internal-grpc, 0.0.0.0:4318 otlp-http, 0.0.0.0:4317 otlp-grpc'],
  ['-server.grpc-listen-port=4317', both, ':3200 api, :4317 internal-grpc+otlp-grpc, 0.0.0.0:4318 otlp-http'],
  [
    '-server.http-listen-address=0.0.0.0 -server.http-listen-port=4318 -server.grpc-listen-address=',
    both,
    '0.0.0.0:4318 api+otlp-http, 0.0.0.0:4317 otlp-grpc',
  ],
  [
    '-server.grpc-listen-address=0.0.0.0 -server.grpc-listen-port=4317 -server.http-listen-address=',
    both,
    '0.0.0.0:4317 internal-grpc+otlp-grpc, 0.0.0.0:4318 otlp-http',
  ],
  ['-server.grpc-listen-address=', '{grpc: {endpoint: "127.0.0.1:4317"}}', ':3200 api, 127.0.0.1:4317 otlp-grpc'],
  ['-server.grpc-listen-address=', '{grpc: {endpoint: "127.0.0.1:3200"}}', ':3200 api+otlp-grpc'],
  ['-server.grpc-listen-address=', '{grpc: {endpoint: ":3200"}}', ':3200 api+otlp-grpc'],
  [
    '-server.grpc-listen-address= -server.http-listen-address=localhost',
    '{http: {endpoint: "127.0.0.1:3200"}}',
    'localhost:3200 api+otlp-http',
  ],
  [
    '-server.grpc-listen-address= -server.http-listen-address=127.0.0.1',
    '{http: {endpoint: "127.0.0.2:3200"}}',
    '127.0.0.1:3200 api, 127.0.0.2:3200 otlp-http',
  ],
  [
    '-server.grpc-listen-port=3200 -server.grpc-listen-address=127.0.0.2 -server.http-listen-address=127.0.0.1',
    '{http: {endpoint: "0.0.0.0:3200"}}',
    '0.0.0.0:3200 api+internal-grpc+otlp-http',
  ],
  [
    '-server.grpc-listen-address= -server.http-listen-address=::1',
    '{http: {endpoint: "0.0.0.0:3200"}}',
    ':3200 api+otlp-http',
  ],
  ['-server.grpc-listen-port=0 -server.http-listen-port=0', '{}', ':0 api, :0 internal-grpc'],
  ['-server.grpc-listen-address= -server.http-listen-address=', both, '0.0.0.0:4318 otlp-http, 0.0.0.0:4317 otlp-grpc'],
  [
    '-server.grpc-listen-address= -server.http-listen-address=',
    '{grpc: {endpoint: "0.0.0.0:4000"}, http: {endpoint: "0.0.0.0:4000"}}',
    '0.0.0.0:4000 otlp-http+otlp-grpc',
  ],
];

describe('listeners', () => {
  for (const [flags, protocols, sockets] of cases) {
    it(`${flags} ${protocols}`, () => {
      const text = `distributor: {receivers: {otlp: {protocols: ${protocols}}}}`;
      const argv = ['-config.file=x', ...flags.split(' ').filter((flag) => flag !== '')];
      const loaded = loadConfiguration({ argv, env: {}, readFile: () => text });
      assert.equal(loaded.kind, 'run');
      if (loaded.kind !== 'run') return;
      const shown = listenersOf(loaded.config).map(({ host, port, serves }) => `${host}:${port} ${serves.join('+')}`);
      assert.equal(shown.join(', '), sockets);
    });
  }
});
