/** Real server processes over buckets of one real S3 server, which every test file has for itself. */
import fs from 'node:fs';
import path from 'node:path';
import { after } from 'node:test';
import { s3Flags, s3Program, type S3Server, startS3Server } from '../contract/s3-server.fixture.ts';
import { type Cleanup, type StartOptions, temporaryFolder } from './server.fixture.ts';

/** Flags that make a test short: polls, looks into folders and leases; a server reaches no others. */
export const PACE = [
  '--storage.trace.blocklist-poll=300ms',
  '--live-store.flush-check-period=100ms',
  '--querier.frontend-worker.frontend-address=127.0.0.1:1',
  '--vivace.compaction-lease=2s',
  // An hour that ends meanwhile must not keep blocks apart.
  '--compactor.compaction.compaction-window=1000000h',
];

export interface TestBuckets {
  /** Why the tests of the file cannot run; undefined: they can. */
  skip: string | undefined;
  readonly server: S3Server;
  /** What is started for this ends after the last test of the file. */
  file: Cleanup;
  /** An empty bucket. */
  make(): string;
  /** Its objects as files. */
  root(bucket: string): string;
  /** Options of a server over the bucket, with a data folder of its own. */
  over(t: Cleanup, bucket: string, flags?: readonly string[], endpoint?: string): StartOptions;
  /** The files of the bucket below `pattern`, as paths. */
  glob(bucket: string, pattern: string): string[];
}

/** To be called once in a test file, which names its buckets. */
export async function testBuckets(name: string): Promise<TestBuckets> {
  const file: Cleanup = { after: (work) => after(work) };
  const program = await s3Program();
  const started = 'file' in program ? await startS3Server(file, program.file, []) : undefined;
  let count = 0;
  const root = (bucket: string): string => path.join(started!.root, 'buckets', bucket);
  return {
    file,
    skip: 'missing' in program ? program.missing : undefined,
    get server() {
      return started!;
    },
    root,
    make() {
      const bucket = `${name}-${++count}`;
      fs.mkdirSync(root(bucket));
      return bucket;
    },
    over(t, bucket, flags = [], endpoint = started!.endpoint) {
      return {
        directory: temporaryFolder(t, name),
        flags: [...s3Flags(started!, bucket, { endpoint }), ...PACE, ...flags],
      };
    },
    glob: (bucket, pattern) => fs.globSync(pattern, { cwd: root(bucket) }).map((name) => path.join(root(bucket), name)),
  };
}
