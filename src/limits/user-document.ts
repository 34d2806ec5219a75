/**
 * The limits that a tenant sets through the API: a JSON document with a part of the keys of `overrides.defaults`, by the same
 * names (api.md §8). Durations are texts of Go, or nanoseconds.
 */
import { formatGoDuration, parseGoDuration } from '../config/duration.ts';
import { type SaidLimits, settingOf, type TenantLimits, limitAt } from '../config/overrides-file.ts';
import type { Setting } from '../config/setting.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';

const GENERATOR = [
  'processors',
  'disable_collection',
  'collection_interval',
  'trace_id_label_name',
  'ingestion_time_range_slack',
  'generate_native_histograms',
  'native_histogram_max_bucket_number',
  'native_histogram_bucket_factor',
  'native_histogram_min_reset_duration',
  'span_name_sanitization',
];
const PROCESSORS: Record<string, string[]> = {
  service_graphs: [
    'histogram_buckets',
    'dimensions',
    'peer_attributes',
    'enable_client_server_prefix',
    'enable_messaging_system_latency_histogram',
    'enable_virtual_node_label',
    'filter_policies',
    'span_multiplier_key',
    'enable_tracestate_span_multiplier',
  ],
  span_metrics: [
    'histogram_buckets',
    'dimensions',
    'intrinsic_dimensions',
    'dimension_mappings',
    'filter_policies',
    'enable_target_info',
    'target_info_excluded_dimensions',
    'enable_instance_label',
    'span_multiplier_key',
    'enable_tracestate_span_multiplier',
  ],
  host_info: ['host_identifiers', 'metric_name'],
};

/** Members of a document in their order: keys that a tenant may set, and the objects that hold them. */
const MEMBERS = [
  'forwarders',
  'cost_attribution',
  'cost_attribution.dimensions',
  'metrics_generator',
  ...GENERATOR.map((key) => `metrics_generator.${key}`),
  'metrics_generator.processor',
  ...Object.entries(PROCESSORS).flatMap(([name, keys]) => {
    const processor = `metrics_generator.processor.${name}`;
    return [processor, ...keys.map((key) => `${processor}.${key}`)];
  }),
];
/** Objects are there even when nothing is in them. */
const SECTIONS: ReadonlySet<string> = new Set(
  MEMBERS.filter((path) => MEMBERS.some((other) => other.startsWith(`${path}.`))),
);
const PATHS: ReadonlySet<string> = new Set(MEMBERS.filter((path) => !SECTIONS.has(path)));

const KNOWN_PROCESSORS = [
  'service-graphs',
  'span-metrics',
  'span-metrics-count',
  'span-metrics-latency',
  'span-metrics-size',
  'host-info',
];
const COLLECTION_MS = [15_000, 300_000];

/** Reads a document. Throws `invalid` with what is wrong. `forwarders`: the names there are. */
export function parseDocument(text: string, forwarders: readonly string[]): SaidLimits {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new VivaceError('invalid', `the limits are no JSON: ${messageOf(error)}`);
  }
  const said = new Map<string, unknown>();
  if (json !== null) walk(json, '', said);
  checkMeaning(said, forwarders);
  return said;
}

/** The document of what was said, with its empty objects. */
export function renderDocument(said: SaidLimits): string {
  const document: Record<string, unknown> = {};
  for (const path of MEMBERS) {
    if (SECTIONS.has(path)) place(document, path, {});
    else if (said.has(path)) place(document, path, written(settingOf(path), said.get(path)));
  }
  return JSON.stringify(document);
}

/** The document of everything that holds for a tenant, except what is empty. */
export function renderEffective(limits: TenantLimits): string {
  const all = new Map<string, unknown>();
  for (const path of PATHS) {
    const value = limitAt(limits, path);
    const empty = value === undefined || value === '' || value === 0 || value === false;
    if (!empty && !(typeof value === 'object' && Object.keys(value as object).length === 0)) all.set(path, value);
  }
  return renderDocument(all);
}

/** RFC 7396: members of `patch` replace, null takes away. */
export function mergePatch(document: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged: Record<string, unknown> = isObject(document) ? { ...document } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else define(merged, key, mergePatch(merged[key], value));
  }
  return merged;
}

function walk(json: unknown, prefix: string, said: Map<string, unknown>): void {
  if (!isObject(json)) throw wrong(prefix === '' ? 'limits' : prefix.slice(0, -1), 'an object');
  for (const [key, value] of Object.entries(json)) {
    const path = prefix + key;
    if (PATHS.has(path)) {
      if (value !== null) said.set(path, valueFrom(settingOf(path), path, value));
    } else if (SECTIONS.has(path)) {
      if (value !== null) walk(value, `${path}.`, said);
    } else throw new VivaceError('invalid', `json: unknown field ${JSON.stringify(key)}`);
  }
}

function valueFrom(setting: Setting, path: string, value: unknown): unknown {
  switch (setting.kind) {
    case 'duration':
      if (typeof value === 'string') return parseGoDuration(value);
      if (Number.isInteger(value)) return (value as number) / 1e6;
      throw wrong(path, 'a duration such as "30s"');
    case 'int':
    case 'uint':
      if (Number.isSafeInteger(value) && (value as number) >= (setting.least ?? -Infinity)) return value;
      throw wrong(path, 'a whole number');
    case 'float':
      if (typeof value === 'number') return value;
      throw wrong(path, 'a number');
    case 'bool':
      if (typeof value === 'boolean') return value;
      throw wrong(path, 'true or false');
    case 'texts':
      if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
      throw wrong(path, 'a list of texts');
    case 'floats':
      if (Array.isArray(value) && value.every((item) => typeof item === 'number')) return value;
      throw wrong(path, 'a list of numbers');
    case 'map':
      if (isObject(value) && Object.values(value).every((item) => typeof item === 'string')) return value;
      throw wrong(path, 'an object of texts');
    case 'tree':
      if (typeof value === 'object') return value;
      throw wrong(path, 'an object or a list');
    default:
      if (typeof value === 'string') return value;
      throw wrong(path, 'a text');
  }
}

function checkMeaning(said: SaidLimits, forwarders: readonly string[]): void {
  const fail = (text: string): never => {
    throw new VivaceError('invalid', text);
  };
  for (const name of (said.get('metrics_generator.processors') ?? []) as string[])
    if (!KNOWN_PROCESSORS.includes(name))
      fail(
        `metrics_generator.processor ${JSON.stringify(name)} is not a known processor, valid values: [${KNOWN_PROCESSORS.join(' ')}]`,
      );
  for (const name of (said.get('forwarders') ?? []) as string[])
    if (!forwarders.includes(name))
      fail(`forwarder ${JSON.stringify(name)} is not a known forwarder, contact your system administrator`);
  const interval = said.get('metrics_generator.collection_interval') as number | undefined;
  if (interval !== undefined && (interval < COLLECTION_MS[0] || interval > COLLECTION_MS[1])) {
    const [least, most] = COLLECTION_MS.map(formatGoDuration);
    fail(
      `metrics_generator.collection_interval ${formatGoDuration(interval)} is outside acceptable range of ${least} to ${most}`,
    );
  }
  const histograms = said.get('metrics_generator.generate_native_histograms');
  if (histograms !== undefined && !['classic', 'native', 'both'].includes(histograms as string))
    fail(`metrics_generator.generate_native_histograms ${JSON.stringify(histograms)} is none of classic, native, both`);
}

function wrong(path: string, wanted: string): VivaceError {
  return new VivaceError('invalid', `${path} must be ${wanted}`);
}

function written(setting: Setting, value: unknown): unknown {
  return setting.kind === 'duration' ? formatGoDuration(value as number) : value;
}

function place(document: Record<string, unknown>, path: string, value: unknown): void {
  const keys = path.split('.');
  const last = keys.pop()!;
  let at = document;
  for (const key of keys) at = at[key] as Record<string, unknown>;
  at[last] = value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Also for a key such as `__proto__`, which must stay a key. */
function define(object: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}
