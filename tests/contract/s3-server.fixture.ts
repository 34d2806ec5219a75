/**
 * A real S3 server for tests: Versity's gateway over a folder. It checks signatures, does multipart uploads and conditional
 * puts, and lists in pages. It comes as source by the Go module proxy and is built once a machine (a minute or two on two
 * cores) into the user's cache folder.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
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

const VERSION = 'v1.8.0';
const PACKAGE = `github.com/versity/versitygw/cmd/versitygw@${VERSION}`;
const BUILD_MS_MAX = 15 * 60_000;

export interface S3Server {
  /** host:port */
  endpoint: string;
  accessKey: string;
  secretKey: string;
  /** The folder that holds the buckets' folders. */
  root: string;
  kill(): Promise<void>;
}

/** The program, built if need be; a text says why it cannot be had. In CI that is an error. */
export async function s3Program(): Promise<{ file: string } | { missing: string }> {
  const folder = path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'vivace');
  const file = path.join(folder, `versitygw-${VERSION}`);
  if (fs.existsSync(file)) return { file };
  const go = ['/usr/local/go/bin', ...(process.env.PATH ?? '').split(':')]
    .map((each) => path.join(each, 'go'))
    .find((each) => fs.existsSync(each));
  if (go === undefined) return missing('Go is not installed, which builds it');
  fs.mkdirSync(folder, { recursive: true });
  const build = fs.mkdtempSync(path.join(folder, 'build-'));
  try {
    console.error(`building the S3 server of the tests (${PACKAGE}), once a machine`);
    const env = { ...goEnvironment(), GOBIN: build, GOFLAGS: '-trimpath' };
    const child = spawn(go, ['install', PACKAGE], {
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: BUILD_MS_MAX,
    });
    const code = await new Promise((resolve) => child.on('close', resolve).on('error', () => resolve(-1)));
    if (code !== 0) return missing(`go install ${PACKAGE} failed`);
    fs.renameSync(path.join(build, 'versitygw'), file);
    return { file };
  } finally {
    fs.rmSync(build, { recursive: true, force: true });
  }
}

function missing(reason: string): { missing: string } {
  const text = `NOT TESTED: buckets on S3, because there is no S3 server here: ${reason}`;
  if (process.env.CI === 'true') throw new Error(text);
  console.error(text);
  return { missing: text };
}

/** What Go asks of its environment. */
function goEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(([key]) =>
    /^(?:GO\w*|\w+_proxy|\w+_PROXY|XDG_CACHE_HOME)$/.test(key),
  );
  return { ...environment(), ...Object.fromEntries(kept as [string, string][]) };
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
  const args = ['--quiet', '--keep-alive', '--port', endpoint, '--access', accessKey, '--secret', secretKey];
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
  return { endpoint, accessKey, secretKey, root, kill };
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
