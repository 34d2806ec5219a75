/** Debian's memcached and Redis, for tests. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import {
  type Cleanup,
  environment,
  freePorts,
  later,
  temporaryFolder,
  until,
  watch,
} from '../process/server.fixture.ts';
import type { Program } from './program.fixture.ts';

export interface CacheProcess {
  /** host:port */
  address: string;
  kill(): Promise<void>;
  /** It keeps what it has, and answers nobody, until it is told to go on. */
  pause(): void;
  goOn(): void;
}

export const memcachedProgram = (): Program => installed('memcached', 'memcached');
export const redisProgram = (): Program => installed('redis-server', 'redis-server');

/** The same address brings it back, empty. */
export function startMemcached(t: Cleanup, file: string, address?: string): Promise<CacheProcess> {
  return start(t, address, (port) => [file, '-l', '127.0.0.1', '-p', port, '-U', '0', '-m', '64', '-u', 'nobody']);
}

export function startRedis(t: Cleanup, file: string, address?: string): Promise<CacheProcess> {
  const folder = temporaryFolder(t, 'redis');
  return start(t, address, (port) => [
    ...[file, '--bind', '127.0.0.1', '--port', port, '--dir', folder, '--save', '', '--appendonly', 'no'],
  ]);
}

function installed(name: string, debian: string): Program {
  const file = ['/usr/bin', '/usr/sbin', ...(process.env.PATH ?? '').split(':')]
    .map((folder) => path.join(folder, name))
    .find((each) => fs.existsSync(each));
  if (file !== undefined) return { file };
  const missing = `${name} is not installed (Debian's package ${debian}): not tested with it`;
  console.error(`SKIPPED: ${missing}`);
  return { missing };
}

async function start(
  t: Cleanup,
  again: string | undefined,
  command: (port: string) => string[],
): Promise<CacheProcess> {
  const address = again ?? `127.0.0.1:${(await freePorts()).api}`;
  const port = address.split(':')[1];
  const [file, ...args] = command(port);
  const server = watch(file, args, environment());
  const kill = async (): Promise<void> => {
    server.child.kill('SIGKILL');
    await server.exited;
  };
  later(t, kill);
  await until(
    `${path.basename(file)} answers on ${port}`,
    () => {
      if (server.child.exitCode !== null) throw new Error(`it ended\n${server.stderr()}${server.stdout()}`);
      return new Promise<boolean>((resolve) => {
        const socket = net.connect(Number(port), '127.0.0.1', () => {
          socket.destroy();
          resolve(true);
        });
        socket.on('error', () => resolve(false));
      });
    },
    30_000,
    () => server.stderr() + server.stdout(),
  );
  return { address, kill, pause: () => server.child.kill('SIGSTOP'), goOn: () => server.child.kill('SIGCONT') };
}
