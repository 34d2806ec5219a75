/** Microsoft's emulator of Azure Blob Storage, Azurite. It checks the shared key. */
import type { AzureSettings } from '../../src/store/azure.ts';
import {
  type Cleanup,
  environment,
  freePorts,
  later,
  temporaryFolder,
  until,
  watch,
} from '../process/server.fixture.ts';
import { npmProgram, type Program } from './program.fixture.ts';

/** Later versions need a package that the registry does not have. */
const VERSION = '3.35.0';
const ACCOUNT = 'vivacetests';
const KEY = Buffer.from('not a secret, but 32 bytes long!').toString('base64');

export function azureProgram(): Promise<Program> {
  return npmProgram('buckets on Azure', 'azurite', 'azurite-blob', VERSION);
}

/** Starts it on a free port with the container `traces`; returns how to reach it. */
export async function startAzureServer(t: Cleanup, file: string): Promise<AzureSettings> {
  const host = '127.0.0.1';
  const port = (await freePorts()).api;
  const server = watch(
    process.execPath,
    [
      ...[file, '--blobHost', host, '--blobPort', String(port), '--location', temporaryFolder(t, 'azure')],
      ...['--silent', '--skipApiVersionCheck', '--disableTelemetry'],
    ],
    { ...environment(), AZURITE_ACCOUNTS: `${ACCOUNT}:${KEY}` },
  );
  later(t, async () => {
    server.child.kill('SIGKILL');
    await server.exited;
  });
  await until(
    `Azurite answers on ${port}`,
    () => {
      if (server.child.exitCode !== null) throw new Error(`Azurite ended\n${server.stderr()}${server.stdout()}`);
      return fetch(`http://${host}:${port}/`).then(
        () => true,
        () => false,
      );
    },
    60_000,
    () => server.stderr() + server.stdout(),
  );
  const { ContainerClient, StorageSharedKeyCredential } = await import('@azure/storage-blob');
  const credential = new StorageSharedKeyCredential(ACCOUNT, KEY);
  await new ContainerClient(`http://${host}:${port}/${ACCOUNT}/traces`, credential).create();
  return {
    containerName: 'traces',
    endpointSuffix: `${host}:${port}`,
    storageAccountName: ACCOUNT,
    storageAccountKey: KEY,
    useManagedIdentity: false,
    useFederatedToken: false,
    userAssignedId: '',
    maxBuffers: 4,
    bufferSize: 3_145_728,
  };
}
