import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { metricOf, traceOf } from './receivers.fixture.ts';
import { startServer, temporaryFolder, until } from './server.fixture.ts';
import { makeBatch, post, random } from './spans.fixture.ts';

it('forwards what a tenant sent to another backend, and goes on when that is gone', async (t) => {
  const next = random(5);
  const [here, there] = [temporaryFolder(t, 'forwards'), temporaryFolder(t, 'receives')];
  const file = (folder: string, text: string): string => {
    const name = path.join(folder, 'config.yaml');
    fs.writeFileSync(name, `multitenancy_enabled: true\n${text}`);
    return `--config.file=${name}`;
  };
  const receivers = 'receivers: {otlp: {protocols: {grpc: , http: }}}';
  const other = await startServer(t, { directory: there, flags: [file(there, `distributor: {${receivers}}`)] });
  const overrides = path.join(here, 'overrides.yaml');
  fs.writeFileSync(overrides, 'overrides:\n  mirrored: {forwarders: [mirror]}\n');
  const server = await startServer(t, {
    directory: here,
    flags: [
      file(
        here,
        `distributor:
  ${receivers}
  forwarders:
    - {name: mirror, backend: otlpgrpc, otlpgrpc: {endpoints: ["127.0.0.1:${other.ports.grpc}"], tls: {insecure: true}}}
overrides: {per_tenant_override_config: ${overrides}}
`,
      ),
    ],
  });
  const [mirrored, plain, late] = [0, 1, 2].map(() => makeBatch(next, { traces: 1, spansPerTrace: 3 }));
  const send = (batch: typeof plain, tenant: string) =>
    post(server.otlpUrl, Buffer.from(batch.body), { 'X-Scope-OrgID': tenant });
  const [id] = mirrored.traces.keys();
  assert.equal((await send(plain, 'plain')).status, 200);
  assert.equal((await send(mirrored, 'mirrored')).status, 200);
  assert.equal((await traceOf(server, id, 'mirrored'))?.length, 3);
  await until('the copy is there', async () => (await traceOf(other, id, 'mirrored'))?.length === 3);
  assert.equal(await traceOf(other, [...plain.traces.keys()][0], 'plain'), undefined);
  await other.kill();
  assert.equal((await send(late, 'mirrored')).status, 200);
  await until(
    'the failure is counted',
    async () =>
      (await metricOf(server, 'tempo_distributor_forwarder_pushes_failures_total', 'tenant="mirrored"')) === 1,
  );
  assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.stderr());
});
