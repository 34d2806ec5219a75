/**
 * Runs after `npm ci`: starts the server and the command line client once, so that the compiled sources are kept beside the
 * packages and the first real start is as quick and as small as every later one. A failure here is no failure of the
 * installation.
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-warm-'));
const server = spawn(
  path.join(import.meta.dirname, 'vivace'),
  ['--server.http-listen-port=0', '--server.grpc-listen-port=0'],
  {
    env: { ...process.env, VIVACE_DATA: folder, TEMPO_HTTP_PORT: '0', TEMPO_GRPC_PORT: '0', PORT: '0' },
    stdio: ['ignore', 'pipe', 'ignore'],
  },
);
const timer = setTimeout(() => server.kill('SIGKILL'), 20_000);
server.stdout.on('data', (text: Buffer) => {
  if (text.includes('ready')) server.kill('SIGTERM');
});
server.on('error', () => finish());
server.on('exit', () => finish());

function finish(): void {
  spawnSync(path.join(import.meta.dirname, 'vivace-cli'), ['--version'], { timeout: 20_000 });
  clearTimeout(timer);
  fs.rmSync(folder, { recursive: true, force: true });
}
