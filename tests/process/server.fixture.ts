/**
 * A real server process for a test: started on free loopback ports over a data folder of its own, waited for until it is
 * ready, and gone when the test is.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { LOCK_FILE } from '../../src/compact/folder-lock.ts';

/** `TestContext` is one. */
export interface Cleanup {
  after(work: () => void | Promise<void>): void;
}

export interface StartOptions {
  /** Folder of `data`; made when missing. */
  directory: string;
  /** Name in `bin/`; default vivace. */
  program?: 'vivace' | 'tempo';
  /** After those that set the ports. */
  flags?: readonly string[];
  env?: Record<string, string>;
  /** Opens no receivers of spans. */
  target?: string;
  ports?: Ports;
  /** false: do not wait for /ready. */
  wait?: boolean;
}

export interface Ports {
  api: number;
  http: number;
  grpc: number;
  internalGrpc: number;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Server {
  readonly pid: number;
  readonly ports: Ports;
  /** Of the API, without a slash at the end. */
  readonly url: string;
  /** Of OTLP/HTTP: .../v1/traces. */
  readonly otlpUrl: string;
  /** Where it keeps its log and blocks. */
  readonly dataDirectory: string;
  /** What the process has written so far. */
  stdout(): string;
  stderr(): string;
  readonly exited: Promise<Exit>;
  /** Sends a signal (default SIGTERM) and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<Exit>;
  /** kill -9, and waits until the process is gone. */
  kill(): Promise<void>;
}

export const ROOT = path.resolve(import.meta.dirname, '../..');
const START_MS_MAX = 60_000;

const works = new WeakMap<Cleanup, (() => void | Promise<void>)[]>();

/** Does the work after the test, what came last first: processes end before the folder goes that they write to. */
export function later(t: Cleanup, work: () => void | Promise<void>): void {
  const known = works.get(t);
  if (known !== undefined) {
    known.push(work);
    return;
  }
  const list = [work];
  works.set(t, list);
  t.after(async () => {
    for (let last = list.pop(); last !== undefined; last = list.pop()) await last();
  });
}

/** A folder under the system's temporary one, removed after the test. */
export function temporaryFolder(t: Cleanup, name = 'process'): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `vivace-${name}-`));
  later(t, () => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts the server and waits until it is ready; starts again on other ports when somebody else took one meanwhile. */
export async function startServer(t: Cleanup, options: StartOptions): Promise<Server> {
  for (let attempt = 0; ; attempt++) {
    const server = launch(t, options, options.ports ?? (await freePorts()));
    if (options.wait === false) return server;
    try {
      await becomesReady(server);
      return server;
    } catch (error) {
      await server.kill();
      if (options.ports !== undefined || attempt === 3 || !server.stderr().includes('address is in use')) throw error;
    }
  }
}

export async function becomesReady(server: Server): Promise<void> {
  let exit: Exit | undefined;
  server.exited.then((seen) => {
    exit = seen;
  });
  await until(
    `${server.url}/ready answers 200`,
    async () => {
      if (exit !== undefined)
        throw new Error(`the server ended before it was ready: ${JSON.stringify(exit)}\n${server.stderr()}`);
      return fetch(`${server.url}/ready`).then(
        (answer) => answer.status === 200,
        () => false,
      );
    },
    START_MS_MAX,
    () => server.stderr(),
  );
}

/** As if a minute had passed since the process was killed: the lock of the blocks' folder, if it held that, may be taken by others then. */
export function lockLapses(killed: Server): void {
  const lock = path.join(killed.dataDirectory, 'blocks', LOCK_FILE);
  if (fs.existsSync(lock)) fs.utimesSync(lock, 1, 1);
}

/** Runs a program to its end. */
export async function run(
  file: string,
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string } = {},
): Promise<Exit & { stdout: string; stderr: string }> {
  const started = watch(file, args, { ...environment(), ...options.env }, options.cwd);
  return { ...(await started.exited), stdout: started.stdout(), stderr: started.stderr() };
}

/** Asks again and again until the answer is true. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  msMax = 30_000,
  explain: () => string = () => '',
): Promise<void> {
  const deadline = Date.now() + msMax;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited ${msMax} ms in vain: ${what}\n${explain()}`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

/** Ports below those that the system gives to clients, so that nobody's connection sits on one. */
export async function freePorts(): Promise<Ports> {
  const ports: number[] = [];
  while (ports.length < 4) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (!ports.includes(port) && (await isFree(port))) ports.push(port);
  }
  return { api: ports[0], http: ports[1], grpc: ports[2], internalGrpc: ports[3] };
}

/** Whether nobody listens on the port, on whatever address. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, () => probe.close(() => resolve(true)));
  });
}

/** Every process that a test file started and that still runs; none outlives the file. */
const running = new Set<ChildProcess>();
process.on('exit', () => void killAll());
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
  process.once(signal, () => {
    void killAll();
    process.exit(1);
  });

/** Ends what still runs, after a test that failed. */
export async function killAll(): Promise<void> {
  const ends = [...running].map((child) => new Promise((resolve) => child.once('close', resolve)));
  for (const child of running) child.kill('SIGKILL');
  await Promise.all(ends);
}

export interface Watched {
  readonly child: ChildProcess;
  stdout(): string;
  stderr(): string;
  readonly exited: Promise<Exit>;
}

/** Starts a program and keeps what it writes. */
export function watch(file: string, args: readonly string[], env: Record<string, string>, cwd?: string): Watched {
  const child = spawn(file, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const exited = new Promise<Exit>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
  return { child, stdout: () => stdout, stderr: () => stderr, exited };
}

/** What a program needs of this process's environment: nothing that would configure it. */
export function environment(): Record<string, string> {
  const { PATH = '/usr/bin:/bin', HOME = '/', TMPDIR } = process.env;
  return { PATH, HOME, ...(TMPDIR !== undefined && { TMPDIR }) };
}

function launch(t: Cleanup, options: StartOptions, ports: Ports): Server {
  const { directory, program = 'vivace', flags = [], env = {}, target } = options;
  fs.mkdirSync(directory, { recursive: true });
  const args = [
    '--server.http-listen-address=127.0.0.1',
    `--server.http-listen-port=${ports.api}`,
    '--server.grpc-listen-address=127.0.0.1',
    `--server.grpc-listen-port=${ports.internalGrpc}`,
    ...(target === undefined ? [] : [`--target=${target}`]),
    ...flags,
  ];
  const started = watch(
    path.join(ROOT, 'bin', program),
    args,
    {
      ...environment(),
      VIVACE_DATA: path.join(directory, 'data'),
      TEMPO_HTTP_PORT: String(ports.http),
      TEMPO_GRPC_PORT: String(ports.grpc),
      ...env,
    },
    directory,
  );
  const { child, exited } = started;
  later(t, async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return {
    pid: child.pid!,
    ports,
    url: `http://127.0.0.1:${ports.api}`,
    otlpUrl: `http://127.0.0.1:${ports.http}/v1/traces`,
    dataDirectory: path.join(directory, 'data'),
    stdout: started.stdout,
    stderr: started.stderr,
    exited,
    stop(signal = 'SIGTERM') {
      child.kill(signal);
      return exited;
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
