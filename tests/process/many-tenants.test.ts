import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { it } from 'node:test';
import { later, type Server, startServer, temporaryFolder } from './server.fixture.ts';
import { ask, assertSpans, makeBatch, post, random } from './spans.fixture.ts';

const TENANTS = 120;
const ROUNDS = 3;

it('tenants for whose columns there is no memory find their spans, after a kill and in blocks, and nobody else does', async (t) => {
  const directory = temporaryFolder(t, 'many-tenants');
  fs.writeFileSync(
    path.join(directory, 'vivace.yaml'),
    'multitenancy_enabled: true\nvivace: {live_bytes: 1048576, log_bytes: 536870912}\n',
  );
  const start = { directory, flags: ['-config.file=vivace.yaml'] };
  let server = await startServer(t, start);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 20 });
  later(t, () => agent.destroy());
  const next = random(3);
  const sent = new Map<string, Map<string, string[]>>();
  const all = Array.from({ length: TENANTS }, (_, i) => `tenant-${i}`);
  for (let round = 0; round < ROUNDS; round++)
    await Promise.all(
      all.map(async (tenant) => {
        const { traces, body } = makeBatch(next, { traces: 2, spansPerTrace: 3, textBytes: 200, service: tenant });
        const { status } = await post(server.otlpUrl, body, { 'X-Scope-OrgID': tenant }, agent);
        assert.equal(status, 200);
        sent.set(tenant, new Map([...(sent.get(tenant) ?? []), ...traces]));
      }),
    );
  await assertFound(server, sent, agent);
  await server.kill();
  server = await startServer(t, start);
  await assertFound(server, sent, agent);
  assert.equal((await server.stop()).code, 0);
  server = await startServer(t, start);
  await assertFound(server, sent, agent);
});

async function assertFound(server: Server, sent: Map<string, Map<string, string[]>>, agent: http.Agent): Promise<void> {
  for (const [tenant, traces] of sent) {
    await assertSpans(server.url, traces, { tenant, agent });
    const headers = { 'X-Scope-OrgID': tenant };
    const url = `${server.url}/api/v2/search/tag/resource.service.name/values`;
    const { body } = await ask(url, { agent, headers });
    const { tagValues } = JSON.parse(body.toString()) as { tagValues: { value: string }[] };
    assert.deepEqual(
      tagValues.map(({ value }) => value),
      [tenant],
    );
  }
}
