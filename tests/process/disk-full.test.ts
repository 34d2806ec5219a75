import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import path from 'node:path';
import { it } from 'node:test';
import { type Cleanup, later, startServer, temporaryFolder, until } from './server.fixture.ts';
import { assertSpans, type Batch, call, makeBatch, post, random, search, spansOf } from './spans.fixture.ts';

const DISK_BYTES = 16 << 20;
const BALLAST_BYTES = 6 << 20;
const FLAGS = ['--vivace.live-bytes=4194304', '--vivace.log-segment-bytes=1048576'];
/** Mounting takes root; who cannot, says so, so that nobody believes that this was tested. */
const skip =
  process.env.VIVACE_SKIP_TMPFS === '1' ? 'VIVACE_SKIP_TMPFS=1: a full disk is not tested in this run' : false;
if (skip) process.stderr.write(`${skip}\n`);

it('a full disk refuses spans, answers queries, and recovers by itself', { skip }, async (t) => {
  const directory = smallDisk(t);
  const ballast = path.join(directory, 'ballast');
  fs.writeFileSync(ballast, Buffer.alloc(BALLAST_BYTES));
  const server = await startServer(t, { directory, flags: FLAGS });
  const agent = new http.Agent({ keepAlive: true });
  const session = http2.connect(`http://127.0.0.1:${server.ports.grpc}`);
  later(t, () => {
    session.destroy();
    agent.destroy();
  });
  const next = random(7);
  const batch = (): Batch => makeBatch(next, { traces: 2, spansPerTrace: 40, textBytes: 1000 });
  const acknowledged: Batch[] = [];
  const refused: Batch[] = [];
  const bothRefuse = async (): Promise<boolean> => {
    const [overHttp, overGrpc] = [batch(), batch()];
    const answer = await post(server.otlpUrl, overHttp.body, {}, agent);
    const grpc = await call(session, overGrpc.body);
    (answer.status === 200 ? acknowledged : refused).push(overHttp);
    (grpc.status === 0 ? acknowledged : refused).push(overGrpc);
    if (answer.status !== 200) {
      assert.equal(answer.status, 429, answer.body.toString());
      assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/);
      assert.match(answer.body.toString(), /disk is full/);
    }
    if (grpc.status !== 0) {
      assert.equal(grpc.status, 8, grpc.message);
      assert.match(grpc.message, /disk is full/);
      assert.ok(grpc.trailers['grpc-status-details-bin'] !== undefined, 'a hint when to come again');
    }
    return answer.status !== 200 && grpc.status !== 0;
  };
  const allThere = async (url: string): Promise<void> => {
    for (const { traces } of acknowledged) await assertSpans(url, traces);
    for (const { traces } of refused)
      for (const trace of traces.keys()) assert.deepEqual(await spansOf(url, trace), [], 'of a refused request');
  };

  await until('the disk is full', bothRefuse, 120_000);
  assert.ok(acknowledged.length > 20, `${acknowledged.length} requests fitted`);
  // Even when somebody else takes the last byte.
  fillUp(path.join(directory, 'stranger'));
  for (let i = 0; i < 10; i++) assert.ok(await bothRefuse());
  await allThere(server.url);
  assert.equal((await search(server.url, { q: '{ resource.service.name = "shop" }', limit: '5' })).length, 5);
  assert.equal((await fetch(`${server.url}/ready`)).status, 200);

  fs.rmSync(ballast);
  fs.rmSync(path.join(directory, 'stranger'));
  const before = acknowledged.length;
  await until('spans are taken again', async () => {
    await bothRefuse();
    return acknowledged.length >= before + 10;
  });
  await allThere(server.url);
  await server.kill();

  const again = await startServer(t, { directory, flags: FLAGS });
  await allThere(again.url);
  assert.deepEqual(await again.stop(), { code: 0, signal: null }, again.stderr());
  const third = await startServer(t, { directory, flags: FLAGS });
  await allThere(third.url);
});

it('killed on a full disk, it starts there again and loses nothing', { skip }, async (t) => {
  const directory = smallDisk(t);
  const server = await startServer(t, { directory, flags: FLAGS });
  const next = random(8);
  const acknowledged: Batch[] = [];
  await until(
    'the disk is full',
    async () => {
      const one = makeBatch(next, { traces: 2, spansPerTrace: 40, textBytes: 1000 });
      const { status } = await post(server.otlpUrl, one.body);
      if (status === 200) acknowledged.push(one);
      return status === 429;
    },
    120_000,
  );
  await server.kill();
  const again = await startServer(t, { directory, flags: FLAGS });
  for (const { traces } of acknowledged) await assertSpans(again.url, traces);
  assert.deepEqual(await again.stop(), { code: 0, signal: null }, again.stderr());
  const third = await startServer(t, { directory, flags: FLAGS });
  for (const { traces } of acknowledged) await assertSpans(third.url, traces);
});

function smallDisk(t: Cleanup): string {
  const directory = temporaryFolder(t, 'disk');
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', directory], { stdio: 'pipe' });
  } catch (error) {
    throw new Error(
      `cannot mount a small disk for this test: ${(error as { stderr: Buffer }).stderr}; run it as root, or leave it out with VIVACE_SKIP_TMPFS=1`,
      { cause: error },
    );
  }
  later(t, () => void execFileSync('umount', ['-l', directory]));
  return directory;
}

function fillUp(file: string): void {
  const handle = fs.openSync(file, 'w');
  try {
    for (;;) fs.writeSync(handle, Buffer.alloc(4096));
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
  } finally {
    fs.closeSync(handle);
  }
}
