/**
 * A real S3 server for tests: Versity's gateway over a folder. It checks signatures, does multipart uploads and conditional
 * puts, and lists in pages.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { S3Settings } from '../../src/store/s3.ts';
import {
  type Cleanup,
  environment,
  freePorts,
  later,
  temporaryFolder,
  until,
  watch,
} from '../process/server.fixture.ts';
import { goProgram, type Program } from './program.fixture.ts';

export interface S3Server {
  /** host:port */
  endpoint: string;
  accessKey: string;
  secretKey: string;
  /** The folder that holds the buckets' folders. */
  root: string;
  /** From now on these accounts, secrets by name, may do everything, and no others but the server's own. */
  admit(accounts: Record<string, string>): void;
  kill(): Promise<void>;
}

/** The program, built if need be. */
export function s3Program(): Promise<Program> {
  return goProgram('buckets on S3', 'versitygw', 'github.com/versity/versitygw/cmd/versitygw', 'v1.8.0');
}

/** Starts it on a free port, with buckets of these names. The same `root` and port bring back what was there. */
export async function startS3Server(
  t: Cleanup,
  file: string,
  buckets: string[] = ['traces'],
  again?: { root: string; endpoint: string },
): Promise<S3Server> {
  const root = again?.root ?? temporaryFolder(t, 's3');
  for (const bucket of ['', ...buckets]) fs.mkdirSync(path.join(root, 'buckets', bucket), { recursive: true });
  const meta = path.join(root, 'meta');
  fs.mkdirSync(meta, { recursive: true });
  const accessKey = 'vivace-tests';
  const secretKey = 'not a secret, but long enough';
  const endpoint = again?.endpoint ?? `127.0.0.1:${(await freePorts()).api}`;
  const accounts = path.join(root, 'accounts');
  fs.mkdirSync(accounts, { recursive: true });
  const admit = (secrets: Record<string, string>): void => {
    const entries = Object.entries(secrets).map(([access, secret]) => [access, { access, secret, role: 'admin' }]);
    const file = path.join(accounts, 'users.json');
    fs.writeFileSync(`${file}.new`, JSON.stringify({ accessAccounts: Object.fromEntries(entries) }));
    fs.renameSync(`${file}.new`, file);
  };
  const own = ['--port', endpoint, '--access', accessKey, '--secret', secretKey];
  const args = ['--quiet', '--keep-alive', ...own, '--iam-dir', accounts, '--iam-cache-disable'];
  const server = watch(file, [...args, 'posix', '--sidecar', meta, path.join(root, 'buckets')], environment());
  const kill = async (): Promise<void> => {
    server.child.kill('SIGKILL');
    await server.exited;
  };
  later(t, kill);
  await until(
    `the S3 server answers on ${endpoint}`,
    () => {
      if (server.child.exitCode !== null) throw new Error(`the S3 server ended\n${server.stderr()}${server.stdout()}`);
      return fetch(`http://${endpoint}/`).then(
        () => true,
        () => false,
      );
    },
    30_000,
    () => server.stderr() + server.stdout(),
  );
  return { endpoint, accessKey, secretKey, root, admit, kill };
}

/** Of a process whose blocks are in this bucket. */
export function s3Flags(
  server: S3Server,
  bucket: string,
  { endpoint, accessKey, secretKey }: Partial<Pick<S3Server, 'endpoint' | 'accessKey' | 'secretKey'>> = {},
): string[] {
  return [
    '--storage.trace.backend=s3',
    `--storage.trace.s3.bucket=${bucket}`,
    `--storage.trace.s3.endpoint=${endpoint ?? server.endpoint}`,
    `--storage.trace.s3.access-key=${accessKey ?? server.accessKey}`,
    `--storage.trace.s3.secret-key=${secretKey ?? server.secretKey}`,
    '--storage.trace.s3.insecure=true',
  ];
}

export function s3Settings(server: S3Server, more: Partial<S3Settings> = {}): S3Settings {
  return {
    bucket: 'traces',
    endpoint: server.endpoint,
    region: '',
    accessKey: server.accessKey,
    secretKey: server.secretKey,
    sessionToken: '',
    insecure: true,
    forcepathstyle: false,
    enableDualStack: false,
    bucketLookupType: 0,
    partSize: 0,
    retryMaxAttempts: 3,
    tags: {},
    metadata: {},
    storageClass: '',
    sse: { type: '', kmsKeyId: '', kmsEncryptionContext: '', encryptionKey: '' },
    tlsCertPath: '',
    tlsKeyPath: '',
    tlsCaPath: '',
    tlsServerName: '',
    tlsInsecureSkipVerify: false,
    tlsMinVersion: 'VersionTLS12',
    ...more,
  };
}
