/** `vivace-cli fsck` over what a server of a test has left, with the server's flags. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { ROOT, run, type StartOptions } from '../process/server.fixture.ts';

export interface Fsck {
  code: number | null;
  findings: unknown[];
  tenants: { where: string; tenant: string; blocks: number; spans: number }[];
}

export async function fsck({ directory, flags = [] }: StartOptions, args: string[]): Promise<Fsck> {
  const config = path.join(directory, 'tempo.yaml');
  fs.writeFileSync(config, configOf(directory, flags));
  const ended = await run(path.join(ROOT, 'bin/vivace-cli'), ['fsck', '--json', '-c', config, ...args]);
  // Before the next start an upload may be unfinished, which is not for others to finish.
  const codes = args.includes('--repair') && !args.includes('--remove-uploads') ? [0, 3, 4] : [0, 3];
  assert.ok(codes.includes(ended.code ?? 1), `fsck ${args.join(' ')}: ${ended.code} ${ended.stdout}${ended.stderr}`);
  return { code: ended.code, ...(JSON.parse(ended.stdout) as Omit<Fsck, 'code'>) };
}

function configOf(directory: string, flags: readonly string[]): string {
  const of = (name: string): string | undefined =>
    flags.find((flag) => flag.startsWith(`--storage.trace.${name}=`))?.slice(`--storage.trace.${name}=`.length);
  const data = path.join(directory, 'data');
  const trace = {
    backend: of('backend') ?? 'local',
    wal: { path: path.join(data, 'wal') },
    local: { path: path.join(data, 'blocks') },
    ...(of('backend') === 's3' && {
      s3: {
        bucket: of('s3.bucket'),
        endpoint: of('s3.endpoint'),
        access_key: of('s3.access-key'),
        secret_key: of('s3.secret-key'),
        insecure: true,
      },
    }),
  };
  return JSON.stringify({ storage: { trace } });
}
