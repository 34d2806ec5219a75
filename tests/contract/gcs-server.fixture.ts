/** An emulator of Google Cloud Storage, fake-gcs-server: the best there is to be had; it asks for no credentials. */
import type { GcsSettings } from '../../src/store/gcs.ts';
import { type Cleanup, environment, freePorts, later, until, watch } from '../process/server.fixture.ts';
import { goProgram, type Program } from './program.fixture.ts';

export function gcsProgram(): Promise<Program> {
  return goProgram(
    'buckets on Google Cloud Storage',
    'fake-gcs-server',
    'github.com/fsouza/fake-gcs-server',
    'v1.56.1',
  );
}

/** Starts it on a free port with the bucket `traces`; returns how to reach it. */
export async function startGcsServer(t: Cleanup, file: string): Promise<GcsSettings> {
  const address = `127.0.0.1:${(await freePorts()).api}`;
  const [host, port] = address.split(':');
  const server = watch(
    file,
    [
      '-backend',
      'memory',
      '-scheme',
      'http',
      '-host',
      host,
      '-port',
      port,
      '-external-url',
      `http://${address}`,
      '-public-host',
      address,
    ],
    environment(),
  );
  later(t, async () => {
    server.child.kill('SIGKILL');
    await server.exited;
  });
  await until(
    `fake-gcs-server answers on ${port}`,
    () => {
      if (server.child.exitCode !== null) throw new Error(`it ended\n${server.stderr()}${server.stdout()}`);
      return fetch(`http://${address}/storage/v1/b`).then(
        ({ ok }) => ok,
        () => false,
      );
    },
    30_000,
    () => server.stderr() + server.stdout(),
  );
  const made = await fetch(`http://${address}/storage/v1/b?project=none`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: '{"name":"traces"}',
  });
  if (!made.ok) throw new Error(`cannot make a bucket: ${made.status} ${await made.text()}`);
  return {
    bucketName: 'traces',
    endpoint: address,
    insecure: true,
    chunkBufferSize: 1 << 20,
    maxRetries: 3,
    objectCacheControl: '',
    objectMetadata: {},
  };
}
