/**
 * From command line, environment and file to one checked configuration.
 *
 *   defaults < environment (PORT, …) < file < flags
 *
 * A file that names a port keeps it whatever PORT says; one that writes `${PORT}` or leaves the port out takes PORT. At
 * one level a key of today beats its older name. Nothing here touches disk, network or process: the file comes through
 * `readFile`, and what must be printed and the exit code are part of the answer.
 */
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { checkConfiguration, configurationWarnings } from './check.ts';
import { type Decoding, decodeSection, defaultsOf } from './decode.ts';
import { expand } from './expand.ts';
import { FlagError, type Flags, parseFlags, usage } from './flags.ts';
import { listenersOf } from './listeners.ts';
import { fedKeys, foreignKeys, movedKeys, oldSections } from './moved.ts';
import type { TenantLimits } from './overrides-file.ts';
import { decodeReceivers, defaultReceivers, type OtlpReceiver } from './receivers.ts';
import { schema, settings } from './schema.ts';
import { propertyName, type Resolved, type Setting } from './setting.ts';
import { flagValue } from './value.ts';
import { parseYaml } from './yaml.ts';

/** Every section under its YAML name in camel case, and what was worked out from several keys. */
export type Configuration = Resolved<typeof schema> & {
  server: {
    /** `--server.http-listen-address=` with nothing behind it: this process opens no API port. */
    httpListenDisabled: boolean;
    grpcListenDisabled: boolean;
  };
  live: LiveSettings;
  /** `overrides.defaults` as they hold: where all data has one owner, a limit that nobody wrote limits nothing. */
  defaultLimits: TenantLimits;
  /** Placeholders of files that are read while running are filled in, too. */
  expandsEnvironment: boolean;
};

/** When traces are cut and blocks finished, whichever release's keys said so. */
export interface LiveSettings {
  /** A trace is cut when no span of it came for this long. */
  traceIdleMs: number;
  /** A trace is cut at this age even if spans keep coming. */
  traceLiveMs: number;
  maxBlockDurationMs: number;
  maxBlockBytes: number;
  completeBlockTimeoutMs: number;
  flushCheckMs: number;
}

export type Loaded =
  | { kind: 'run'; config: Configuration; warnings: string[]; inactiveKeys: string[] }
  /** Print, then exit with the code. */
  | { kind: 'exit'; code: number; stdout: string; stderr: string }
  /** `-health`: GET the URL, exit 0 when it answers 200, else 1. */
  | { kind: 'health'; url: string };

export interface LoadInputs {
  /** Without the program. */
  argv: readonly string[];
  env: Record<string, string | undefined>;
  /** Throws what `node:fs` throws. */
  readFile: (path: string) => string;
  version?: string;
}

export function loadConfiguration(inputs: LoadInputs): Loaded {
  try {
    const flags = parseFlags(inputs.argv);
    if (flags.help) return { kind: 'exit', code: 0, stdout: '', stderr: usage() };
    if (flags.version) return { kind: 'exit', code: 0, stdout: versionText(inputs.version ?? 'unknown'), stderr: '' };
    if (flags.health) return { kind: 'health', url: flags.healthUrl };
    return load(inputs, flags);
  } catch (error) {
    if (error instanceof FlagError)
      return { kind: 'exit', code: 2, stdout: '', stderr: `${error.message}\n${usage()}` };
    if (error instanceof VivaceError) return { kind: 'exit', code: 1, stdout: '', stderr: `${error.message}\n` };
    throw error;
  }
}

function versionText(version: string): string {
  return `tempo, version ${version} (branch: main, revision: vivace)\n`;
}

/** How strongly a value was said; the stronger stays. */
const rank = { byDefault: 0, environment: 1, movedKey: 2, file: 3, flag: 4 } as const;

interface Draft {
  config: Configuration;
  /** Rank of every setting that something said, by dotted path. */
  said: Map<string, number>;
  /** Said without effect, in the order said. */
  inactive: Set<string>;
  /** Like Tempo's own: -config.verify fails on them. */
  warnings: string[];
  notices: string[];
}

function load(inputs: LoadInputs, flags: Flags): Loaded {
  const draft: Draft = {
    config: defaultConfiguration(),
    said: new Map(),
    inactive: new Set(),
    warnings: [],
    notices: [...flags.ignored],
  };
  const source = sourceOf(inputs, flags);
  if (source !== undefined) takeText(draft, source, inputs, flags);
  takeEnvironment(draft, inputs.env, source !== undefined);
  takeFlags(draft, flags);
  feedNewKeys(draft);
  settle(draft, inputs.env, source !== undefined);
  draft.config.expandsEnvironment = flags.expandEnv;
  checkConfiguration(draft.config, (path) => draft.said.has(path));
  const warnings = [...draft.warnings, ...configurationWarnings(draft.config)];
  if (flags.verify) {
    listenersOf(draft.config);
    return verified(warnings);
  }
  return {
    kind: 'run',
    config: draft.config,
    warnings: [...warnings, ...draft.notices],
    inactiveKeys: [...draft.inactive],
  };
}

/** The configuration with nothing said, before directories and receivers are worked out. */
export function defaultConfiguration(): Configuration {
  const config = defaultsOf(schema) as Configuration;
  config.server.httpListenDisabled = false;
  config.server.grpcListenDisabled = false;
  config.live = liveSettings(config);
  config.expandsEnvironment = false;
  config.defaultLimits = defaultLimits(config, () => false);
  return config;
}

interface Source {
  /** As error texts name it. */
  name: string;
  text: string;
}

/** The file, or the text that a platform put into TEMPO_CONFIG_YAML. */
function sourceOf(inputs: LoadInputs, flags: Flags): Source | undefined {
  const path = flags.configFile;
  if (path === undefined || path === '') {
    const text = inputs.env.TEMPO_CONFIG_YAML;
    return text === undefined || text.trim() === '' ? undefined : { name: 'TEMPO_CONFIG_YAML', text: unquoted(text) };
  }
  try {
    return { name: path, text: inputs.readFile(path) };
  } catch (error) {
    throw new VivaceError(
      'invalid',
      `failed parsing config: failed to read configFile ${path}: ${readError(path, error)}`,
      {
        cause: error,
      },
    );
  }
}

/** Shell snippets in circulation leave three quotes, plain or with backslashes, around the text. */
function unquoted(text: string): string {
  return text
    .replace(/^\s*(?:\\?['"]){1,3}[^\S\n]*\n/, '')
    .replace(/(?:\n[^\S\n]*(?:\\?['"]){1,3}|(?:\\?['"]){3})\s*$/, '\n');
}

function readError(path: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return `open ${path}: no such file or directory`;
  if (code === 'EACCES') return `open ${path}: permission denied`;
  if (code === 'EISDIR') return `read ${path}: is a directory`;
  return messageOf(error);
}

function takeText(draft: Draft, source: Source, inputs: LoadInputs, flags: Flags): void {
  let text = source.text;
  if (flags.expandEnv) {
    try {
      text = expand(text, (name) => inputs.env[name]);
    } catch (error) {
      throw parseFailure(`failed to expand env vars from configFile ${source.name}`, error);
    }
  }
  const problems: string[] = [];
  try {
    const yaml = parseYaml(text);
    const decoding: Decoding = {
      yaml,
      problems,
      warnings: draft.warnings,
      notices: draft.notices,
      given: (path, setting) => say(draft, path, setting, rank.file),
      moved: movedKeys,
      movedValue: (from, to, value) => takeMoved(draft, from, to, value),
      environment: flags.expandEnv ? undefined : inputs.env,
      readers: { receivers: decodeReceivers },
      paths: settings.keys(),
    };
    decodeSection(decoding, yaml.root, schema, '', draft.config);
  } catch (error) {
    const hint =
      !flags.expandEnv && text.includes('${') ? '; it has placeholders: is -config.expand-env=true missing?' : '';
    throw parseFailure(`failed to parse configFile ${source.name}`, error, hint);
  }
  if (problems.length > 0) {
    throw new VivaceError(
      'invalid',
      `failed parsing config: failed to parse configFile ${source.name}: yaml: unmarshal errors:\n  ${problems.join('\n  ')}`,
    );
  }
  noteOldSections(draft);
}

function parseFailure(action: string, error: unknown, hint = ''): VivaceError {
  return new VivaceError('invalid', `failed parsing config: ${action}: ${messageOf(error)}${hint}`, { cause: error });
}

function say(draft: Draft, path: string, setting: Setting | undefined, strength: number): void {
  draft.said.set(path, strength);
  if (setting?.effective !== true) draft.inactive.add(path);
  if (foreignKeys.includes(path)) draft.warnings.push(`${path} is no key of Tempo and has no effect`);
}

function takeMoved(draft: Draft, from: string, to: string, value: unknown): void {
  const wins = (draft.said.get(to) ?? 0) < rank.movedKey;
  draft.warnings.push(`${from} is no key of Tempo's today: write ${to}${wins ? '' : ', whose value is used'}`);
  // The canonical key may still follow in the file; it then overwrites this value.
  if (!wins) return;
  assign(draft.config, to, value);
  say(draft, to, settings.get(to), rank.movedKey);
}

/** One line, however many keys of the old sections there are. */
function noteOldSections(draft: Draft): void {
  const used = oldSections.filter((section) => [...draft.said.keys()].some((path) => path.startsWith(`${section}.`)));
  if (used.length === 0) return;
  draft.notices.push(
    `Tempo 3.0 has no ${used.join(', ')}: their values are taken for live_store, backend_scheduler and backend_worker where those do not say otherwise`,
  );
}

/** Variables of the platforms in use, by the setting that they are a default of. */
const alwaysFromEnvironment: Record<string, string> = { 'server.http_listen_port': 'PORT' };
const withoutFileFromEnvironment: Record<string, string> = {
  'server.grpc_listen_port': 'TEMPO_GRPC_LISTEN_PORT',
  'storage.trace.backend': 'TEMPO_STORAGE_TRACE_BY_ID_BACKEND',
  'storage.trace.wal.path': 'TEMPO_STORAGE_WAL_PATH',
  'storage.trace.s3.bucket': 'TEMPO_STORAGE_S3_BUCKET',
  'storage.trace.s3.endpoint': 'TEMPO_STORAGE_S3_ENDPOINT',
  'storage.trace.s3.access_key': 'TEMPO_STORAGE_S3_ACCESS_KEY_ID',
  'storage.trace.s3.secret_key': 'TEMPO_STORAGE_S3_SECRET_ACCESS_KEY',
  'storage.trace.s3.insecure': 'TEMPO_STORAGE_S3_INSECURE',
};

function takeEnvironment(draft: Draft, env: Record<string, string | undefined>, hasText: boolean): void {
  const table = hasText ? alwaysFromEnvironment : { ...alwaysFromEnvironment, ...withoutFileFromEnvironment };
  for (const [path, variable] of Object.entries(table)) {
    const text = env[variable];
    const setting = settings.get(path);
    if (text === undefined || text === '' || setting === undefined || draft.said.has(path)) continue;
    try {
      assign(draft.config, path, flagValue(setting, path, text));
      say(draft, path, setting, rank.environment);
    } catch (error) {
      draft.notices.push(`environment variable ${variable} is ignored, it is no ${path}: ${messageOf(error)}`);
    }
  }
}

function takeFlags(draft: Draft, flags: Flags): void {
  for (const [path, value] of flags.values) {
    assign(draft.config, path, value);
    say(draft, path, settings.get(path), rank.flag);
  }
  draft.config.server.httpListenDisabled = flags.values.get('server.http_listen_address') === '';
  draft.config.server.grpcListenDisabled = flags.values.get('server.grpc_listen_address') === '';
}

/** Values under Tempo 2.9's names go to Tempo 3.0's where those were said less strongly. */
function feedNewKeys(draft: Draft): void {
  for (const [from, to] of fedKeys) {
    const strength = draft.said.get(from) ?? rank.byDefault;
    if (strength <= (draft.said.get(to) ?? rank.byDefault)) continue;
    assign(draft.config, to, read(draft.config, from));
    draft.said.set(to, strength);
  }
}

/** Fills in what depends on several keys. */
function settle(draft: Draft, env: Record<string, string | undefined>, hasText: boolean): void {
  const { config, said } = draft;
  const { trace } = config.storage;
  const isSaid = (path: string): boolean => said.has(path);
  const saysStorage = hasText && [...said.keys()].some((path) => path.startsWith('storage.'));
  const remote = ['s3', 'gcs', 'azure'].find((name) =>
    [...said.keys()].some((path) => path.startsWith(`storage.trace.${name}.`)),
  );
  if (trace.backend === '') {
    if (remote !== undefined) {
      throw new VivaceError(
        'invalid',
        `unknown backend "": storage.trace.${remote} is set but storage.trace.backend is not; write backend: ${remote}, or backend: local`,
      );
    }
    trace.backend = 'local';
  }
  const data = env.VIVACE_DATA ? env.VIVACE_DATA : './data';
  if (trace.local.path === '') trace.local.path = `${data}/blocks`;
  // With a file that speaks of storage Tempo's own default holds, unless the environment names a place.
  if (!isSaid('storage.trace.wal.path') && (!saysStorage || env.VIVACE_DATA)) trace.wal.path = `${data}/wal`;
  if (trace.wal.path === '') trace.wal.path = `${data}/wal`;
  settleReceivers(draft, env);
  if (config.httpApiPrefix !== '') config.httpApiPrefix = `/${config.httpApiPrefix.replace(/^\/+|\/+$/g, '')}`;
  if (config.httpApiPrefix === '/') config.httpApiPrefix = '';
  config.live = liveSettings(config);
  config.defaultLimits = defaultLimits(config, isSaid);
}

/**
 * Rates and live traces are limits between tenants: without multitenancy they hold only when somebody wrote one
 * (docs/decisions/0005).
 */
function defaultLimits(
  { overrides, multitenancyEnabled }: Configuration,
  isSaid: (path: string) => boolean,
): TenantLimits {
  const { defaults } = overrides;
  const free = (...keys: string[]): boolean =>
    !multitenancyEnabled && !keys.some((key) => isSaid(`overrides.defaults.ingestion.${key}`));
  const ingestion = { ...defaults.ingestion };
  if (free('rate_limit_bytes', 'burst_size_bytes'))
    ingestion.rateLimitBytes = ingestion.burstSizeBytes = Number.POSITIVE_INFINITY;
  if (free('max_traces_per_user')) ingestion.maxTracesPerUser = 0;
  return { ...defaults, ingestion };
}

function settleReceivers(draft: Draft, env: Record<string, string | undefined>): void {
  const { distributor } = draft.config;
  const { otlp, otlpNamed, others } = distributor.receivers;
  const none = Object.keys(otlpNamed).length === 0 && Object.keys(others).length === 0 && !otlp.grpc && !otlp.http;
  if (none && !draft.said.has('distributor.receivers')) distributor.receivers = defaultReceivers();
  takeReceiverPort(draft, distributor.receivers.otlp, 'http', env, 'TEMPO_HTTP_PORT');
  takeReceiverPort(draft, distributor.receivers.otlp, 'grpc', env, 'TEMPO_GRPC_PORT');
}

function takeReceiverPort(
  draft: Draft,
  receiver: OtlpReceiver,
  protocol: 'grpc' | 'http',
  env: Record<string, string | undefined>,
  variable: string,
): void {
  const text = env[variable];
  const address = receiver[protocol];
  if (text === undefined || text === '' || address === undefined || address.explicit) return;
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) address.port = Number(text);
  // Kubernetes sets TEMPO_HTTP_PORT=tcp://10.0.0.1:80 in every pod beside a service called tempo-http.
  else draft.notices.push(`environment variable ${variable} is ignored, it is no port`);
}

function liveSettings({ liveStore }: Configuration): LiveSettings {
  return {
    traceIdleMs: liveStore.maxTraceIdleMs,
    traceLiveMs: liveStore.maxTraceLiveMs,
    maxBlockDurationMs: liveStore.maxBlockDurationMs,
    maxBlockBytes: liveStore.maxBlockBytes,
    completeBlockTimeoutMs: liveStore.completeBlockTimeoutMs,
    flushCheckMs: liveStore.flushCheckPeriodMs,
  };
}

/** Exit code and output of -config.verify, in the shape of Tempo's log lines. */
function verified(warnings: string[]): Loaded {
  if (warnings.length === 0) return { kind: 'exit', code: 0, stdout: '', stderr: '' };
  const lines = ['-- CONFIGURATION WARNINGS --', ...warnings].map((text) => `level=warn msg=${JSON.stringify(text)}\n`);
  return { kind: 'exit', code: 1, stdout: '', stderr: lines.join('') };
}

function assign(config: Configuration, path: string, value: unknown): void {
  const { owner, property } = placeOf(config, path);
  owner[property] = value;
}

function read(config: Configuration, path: string): unknown {
  const { owner, property } = placeOf(config, path);
  return owner[property];
}

function placeOf(config: Configuration, path: string): { owner: Record<string, unknown>; property: string } {
  const setting = settings.get(path);
  if (setting === undefined) throw new Error(`no setting has the path ${path}`);
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  let owner: Record<string, unknown> = config;
  for (const key of keys) owner = owner[propertyName(key, schema)] as Record<string, unknown>;
  return { owner, property: propertyName(last, setting) };
}
