/** `vivace-cli fsck` over what servers of tests have stored. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { ROOT, run, type StartOptions } from './server.fixture.ts';

export interface Fsck {
  code: number | null;
  problems: number;
  left: number;
  findings: { tenant: string; block?: string; text: string; repair?: string; repaired: boolean }[];
  tenants: { where: string; tenant: string; blocks: number; spans: number; compacted: number }[];
  logs: { records: number; damage: number; isLive: boolean }[];
}

/** Where and how: arguments behind `fsck --json`. */
export async function fsck(...args: string[]): Promise<Fsck> {
  const { code, stdout, stderr } = await run(path.join(ROOT, 'bin/vivace-cli'), ['fsck', '--json', ...args]);
  assert.ok(code === 0 || code === 3 || code === 4, `fsck ${args.join(' ')}: ${code} ${stdout}${stderr}`);
  return { code, ...(JSON.parse(stdout) as Omit<Fsck, 'code'>) };
}

/** The storage of a server that is started so, with its log. */
export function storageOf({ directory, flags = [] }: StartOptions): string[] {
  const config = path.join(directory, 'tempo.yaml');
  fs.writeFileSync(config, configOf(directory, flags));
  return ['-c', config];
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
