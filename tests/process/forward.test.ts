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
  fs.writeFileSync(overrides, 'overrides:\n  mirrored: {forwarders: [mirror]}\n  filtered: {forwarders: [some]}\n');
  const server = await startServer(t, {
    directory: here,
    flags: [
      file(
        here,
        `distributor:
  ${receivers}
  forwarders:
    - {name: mirror, backend: otlpgrpc, otlpgrpc: {endpoints: ["127.0.0.1:${other.ports.grpc}"], tls: {insecure: true}}}
    - name: some
      backend: otlpgrpc
      otlpgrpc: {endpoints: ["127.0.0.1:${other.ports.grpc}"], tls: {insecure: true}}
      filter:
        traces:
          span: ['name == "db.query" and resource.attributes["service.name"] == "shop"', 'attributes["absent"] != nil']
overrides: {per_tenant_override_config: ${overrides}}
`,
      ),
    ],
  });
  const [mirrored, plain, late, filtered] = [0, 1, 2, 3].map(() => makeBatch(next, { traces: 1, spansPerTrace: 3 }));
  const send = (batch: typeof plain, tenant: string) =>
    post(server.otlpUrl, Buffer.from(batch.body), { 'X-Scope-OrgID': tenant });
  const [id] = mirrored.traces.keys();
  assert.equal((await send(plain, 'plain')).status, 200);
  assert.equal((await send(mirrored, 'mirrored')).status, 200);
  assert.equal((await traceOf(server, id, 'mirrored'))?.length, 3);
  await until('the copy is there', async () => (await traceOf(other, id, 'mirrored'))?.length === 3);
  assert.equal(await traceOf(other, [...plain.traces.keys()][0], 'plain'), undefined);
  // Of the three spans two are queries.
  const [filteredId] = filtered.traces.keys();
  assert.equal((await send(filtered, 'filtered')).status, 200);
  await until('what is left is there', async () => (await traceOf(other, filteredId, 'filtered'))?.length === 1);
  assert.equal((await traceOf(other, filteredId, 'filtered'))?.[0].name, 'GET /checkout');
  assert.equal((await traceOf(server, filteredId, 'filtered'))?.length, 3);
  await other.kill();
  assert.equal((await send(late, 'mirrored')).status, 200);
  await until(
    'the failure is counted',
    async () =>
      (await metricOf(server, 'tempo_distributor_forwarder_pushes_failures_total', 'tenant="mirrored"')) === 1,
  );
  assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.stderr());
});

it('a filter that cannot be understood ends the start, with its place', async (t) => {
  const directory = temporaryFolder(t, 'filters');
  const config = path.join(directory, 'config.yaml');
  fs.writeFileSync(
    config,
    `distributor:
  forwarders:
    - name: some
      backend: otlpgrpc
      otlpgrpc: {endpoints: ["127.0.0.1:1"], tls: {insecure: true}}
      filter: {traces: {span: ['Split(name, "/") == nil']}}
`,
  );
  const server = await startServer(t, { directory, flags: [`--config.file=${config}`], wait: false });
  assert.equal((await server.exited).code, 1);
  assert.match(server.stderr(), /forwarders \\"some\\": filter\.traces: .*function Split is not supported/);
});
