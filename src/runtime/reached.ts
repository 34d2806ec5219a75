/**
 * Named moments of work that must survive the end of the process. Tests end it there, with `VIVACE_KILL_AT=<name>`, as
 * `kill -9` would; without the variable nothing happens.
 */
export function reached(name: string, env: NodeJS.ProcessEnv = process.env): void {
  if (env.VIVACE_KILL_AT === name) process.kill(process.pid, 'SIGKILL');
}
