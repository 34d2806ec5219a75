/**
 * Servers that tests speak to, of other projects: got from their language's registry once a machine (a minute or two on two
 * cores) and kept in the user's cache folder, so that the project need not depend on them. `.ci/run` gets them before the
 * tests (programs.ts).
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { environment } from '../process/server.fixture.ts';

/** The program; a text says why it cannot be had. */
export type Program = { file: string } | { missing: string };

const GET_MS_MAX = 15 * 60_000;

/** Built from source by the Go module proxy. */
export function goProgram(what: string, name: string, module: string, version: string): Promise<Program> {
  return got(what, `${name}-${version}`, name, (folder) =>
    runGo(['install', `${module}@${version}`], { GOBIN: folder }),
  );
}

/**
 * Built from a Go module of ours, whose go.mod and go.sum name all that it needs: the program of the module itself and,
 * in the same folder, those of the packages given, which share its modules.
 */
export function goProgramHere(what: string, module: string, packages: readonly string[]): Promise<Program> {
  const name = path.basename(module);
  const sources = ['go.mod', 'go.sum', 'main.go'].map((file) => fs.readFileSync(path.join(module, file)));
  const hash = createHash('sha256').update(Buffer.concat(sources)).digest('hex').slice(0, 12);
  return got(what, `${name}-${hash}`, name, (folder) =>
    runGo(['build', '-buildvcs=false', '-ldflags=-s -w', '-o', `${folder}/`, '.', ...packages], {}, module),
  );
}

function runGo(args: string[], env: Record<string, string>, cwd?: string): Promise<string | undefined> {
  const go = ['/usr/local/go/bin', ...(process.env.PATH ?? '').split(':')]
    .map((each) => path.join(each, 'go'))
    .find((each) => fs.existsSync(each));
  if (go === undefined) return Promise.resolve('Go is not installed, which builds it');
  const kept = Object.entries(process.env).filter(([key]) =>
    /^(?:GO\w*|\w+_proxy|\w+_PROXY|XDG_CACHE_HOME)$/.test(key),
  );
  return run(go, args, { ...Object.fromEntries(kept), GOFLAGS: '-trimpath', ...env }, cwd);
}

/** Installed by npm, apart from the project's packages. */
export function npmProgram(what: string, name: string, bin: string, version: string): Promise<Program> {
  return got(what, `${name}-${version}`, `node_modules/.bin/${bin}`, async (folder) => {
    fs.writeFileSync(path.join(folder, 'package.json'), '{"private":true}');
    const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', `${name}@${version}`];
    return run('npm', args, process.env, folder);
  });
}

async function got(
  what: string,
  folderName: string,
  file: string,
  get: (folder: string) => Promise<string | undefined>,
): Promise<Program> {
  const cache = path.join(process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache'), 'vivace');
  const folder = path.join(cache, folderName);
  if (fs.existsSync(path.join(folder, file))) return { file: path.join(folder, file) };
  fs.mkdirSync(cache, { recursive: true });
  const temporary = fs.mkdtempSync(path.join(cache, 'getting-'));
  try {
    console.error(`getting ${folderName} for the tests, once a machine`);
    const problem = await get(temporary);
    if (problem !== undefined) {
      const text = `NOT TESTED: ${what}: ${problem}`;
      if (process.env.CI === 'true') throw new Error(text);
      console.error(text);
      return { missing: text };
    }
    try {
      fs.renameSync(temporary, folder);
    } catch (error) {
      // Another test got it at the same time.
      if (!fs.existsSync(path.join(folder, file))) throw error;
    }
    return { file: path.join(folder, file) };
  } finally {
    fs.rmSync(temporary, { recursive: true, force: true });
  }
}

async function run(file: string, args: string[], env: NodeJS.ProcessEnv, cwd?: string): Promise<string | undefined> {
  const stdio = ['ignore', 'ignore', 'inherit'] as ['ignore', 'ignore', 'inherit'];
  const child = spawn(file, args, { env: { ...environment(), ...env }, cwd, stdio, timeout: GET_MS_MAX });
  const code = await new Promise((resolve) => child.on('close', resolve).on('error', () => resolve(-1)));
  return code === 0 ? undefined : `${path.basename(file)} ${args.join(' ')} failed`;
}
