/**
 * The command line, by the grammar of Go's `flag` package: one dash or two, `-name=value` or `-name value`, booleans bare
 * or with `=`, the first other word or `--` ends the flags, the last of a repeated flag counts. Every setting has a flag:
 * its dotted key, with dashes or underscores.
 */
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { movedFlags } from './moved.ts';
import { settings } from './schema.ts';
import type { Setting } from './setting.ts';
import { nearest } from './suggest.ts';
import { flagBool, flagValue } from './value.ts';

export interface Flags {
  configFile?: string;
  expandEnv: boolean;
  verify: boolean;
  help: boolean;
  version: boolean;
  /** Ask a running process whether it is ready, and exit. */
  health: boolean;
  healthUrl: string;
  /** Values by dotted path of the setting, in the order given; the last of one path counts. */
  values: Map<string, unknown>;
  /** What was accepted without being of use, for a warning. */
  ignored: string[];
}

/** `exit 2` material: the text that Go would print before the usage. */
export class FlagError extends Error {}

/** Flags with a value that tune Go's run time. */
const ignoredFlags: readonly string[] = ['mem-ballast-size-mbs', 'mutex-profile-fraction', 'block-profile-threshold'];

/** `argv` without the program. Throws `FlagError`. */
export function parseFlags(argv: readonly string[]): Flags {
  const flags: Flags = {
    expandEnv: false,
    verify: false,
    help: false,
    version: false,
    health: false,
    healthUrl: 'http://localhost:3200/ready',
    values: new Map(),
    ignored: [],
  };
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at];
    if (word === '--' || word.length < 2 || word[0] !== '-') {
      const rest = argv.slice(word === '--' ? at + 1 : at);
      if (rest.length > 0) flags.ignored.push(`arguments behind the flags are ignored: ${rest.join(' ')}`);
      break;
    }
    const found = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(word);
    if (!found) throw new FlagError(`bad flag syntax: ${word}`);
    if (takeFlag(flags, found[1], found[2], argv[at + 1])) at++;
    if (flags.help) break;
  }
  return flags;
}

/** Whether the flag took the next word as its value. */
function takeFlag(flags: Flags, name: string, written: string | undefined, next: string | undefined): boolean {
  if (name === 'h' || name === 'help') {
    flags.help = written === undefined || boolOf(name, written);
    return false;
  }
  if (name === 'version' || name === 'config.verify' || name === 'health') {
    const value = written === undefined || boolOf(name, written);
    if (name === 'version') flags.version = value;
    else if (name === 'health') flags.health = value;
    else flags.verify = value;
    return false;
  }
  if (name === 'config.expand-env') return takeExpandEnv(flags, written, next);
  const path =
    name === 'config.file' || name === 'health.url' || ignoredFlags.includes(name) ? undefined : pathOf(name);
  const setting = path === undefined ? undefined : settings.get(path);
  const takesNext = written === undefined && setting?.kind !== 'bool';
  if (takesNext && next === undefined) throw new FlagError(`flag needs an argument: -${name}`);
  const value = written ?? (takesNext ? (next ?? '') : 'true');
  if (name === 'config.file') flags.configFile = value;
  else if (name === 'health.url') flags.healthUrl = value;
  else if (path === undefined || setting === undefined) flags.ignored.push(`-${name} has no effect here`);
  else takeSetting(flags, name, path, setting, value);
  return takesNext;
}

/** Tempo needs `=true` here. Bare it is taken as true, unless the next word is a truth value. */
function takeExpandEnv(flags: Flags, written: string | undefined, next: string | undefined): boolean {
  const followed = written === undefined && /^(?:true|false)$/i.test(next ?? '');
  flags.expandEnv = boolOf('config.expand-env', written ?? (followed ? (next ?? 'true') : 'true'));
  return followed;
}

function takeSetting(flags: Flags, name: string, path: string, setting: Setting, text: string): void {
  try {
    const value = flagValue(setting, path.slice(path.lastIndexOf('.') + 1), text);
    const before = path === 'memberlist.join_members' ? flags.values.get(path) : undefined;
    flags.values.set(path, Array.isArray(before) && Array.isArray(value) ? [...before, ...value] : value);
  } catch (error) {
    if (!(error instanceof VivaceError)) throw error;
    const kind = setting.kind === 'bool' ? `invalid boolean value ${quoted(text)} for -${name}` : undefined;
    throw new FlagError(`${kind ?? `invalid value ${quoted(text)} for flag -${name}`}: ${messageOf(error)}`);
  }
}

function boolOf(name: string, text: string): boolean {
  try {
    return flagBool(text);
  } catch (error) {
    throw new FlagError(`invalid boolean value ${quoted(text)} for -${name}: ${messageOf(error)}`);
  }
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

/** The setting that a flag means. Throws `FlagError` for none. */
function pathOf(name: string): string {
  const moved = movedFlags.get(name);
  if (moved !== undefined) return moved;
  const key = name.replaceAll('-', '_');
  if (settings.has(key)) return key;
  const flat = pathsByLetters.get(lettersOf(key));
  if (flat !== undefined) return flat;
  const near = nearest(key, settings.keys());
  const hint = near === undefined ? '' : ` (did you mean -${near.replaceAll('_', '-')}?)`;
  throw new FlagError(`flag provided but not defined: -${name}${hint}`);
}

/** Paths by their letters alone, for flags that write dashes between sections; undefined where two paths have the same. */
const pathsByLetters: ReadonlyMap<string, string | undefined> = lettersOfPaths();

function lettersOfPaths(): Map<string, string | undefined> {
  const paths = new Map<string, string | undefined>();
  for (const path of settings.keys()) {
    const letters = lettersOf(path);
    paths.set(letters, paths.has(letters) ? undefined : path);
  }
  return paths;
}

function lettersOf(path: string): string {
  return path.replaceAll(/[._]/g, '_');
}

/** What -help prints. */
export function usage(): string {
  return `${usageHead}${[...settings]
    .filter(([, setting]) => setting.effective && setting.kind !== 'custom')
    .map(([path, setting]) => `  -${path.replaceAll('_', '-')}\n    \t${setting.about}\n`)
    .join(
      '',
    )}Every other key of the configuration file is a flag too: -storage.trace.wal.path for storage: trace: wal: path.\n`;
}

const usageHead = `Usage of tempo:
  -config.file string
    \tConfiguration file to load
  -config.expand-env
    \tReplace \${NAME} in the file by the environment variable (write -config.expand-env=true)
  -config.verify
    \tCheck the configuration, print its warnings and exit
  -version
    \tPrint the version and exit
  -health
    \tAsk the process at -health.url (http://localhost:3200/ready) whether it is ready and exit
`;
