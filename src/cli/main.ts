/** Starts the program for this process. */
import fs from 'node:fs';
import path from 'node:path';
import { runCli } from './program.ts';

const packageJson = fs.readFileSync(path.join(import.meta.dirname, '../../package.json'), 'utf8');
const { version } = JSON.parse(packageJson) as { version: string };

// Whoever reads may stop early: `vivace-cli … | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});
process.exitCode = await runCli(process.argv.slice(2), {
  program: process.env.VIVACE_CLI_NAME || 'vivace-cli',
  version,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  nowMs: Date.now,
});
