/** Starts the program for this process. */
import { runCli } from './program.ts';

// Whoever reads may stop early: `vivace-cli … | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});
process.exitCode = await runCli(process.argv.slice(2), {
  program: process.env.VIVACE_CLI_NAME || 'vivace-cli',
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  nowMs: Date.now,
});
