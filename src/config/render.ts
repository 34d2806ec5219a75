/** The configuration as YAML again, for `/status/config`: Tempo's keys and value syntax, credentials hidden. */
import { stringify } from 'yaml';
import { VivaceError } from '../runtime/errors.ts';
import { formatGoDuration, formatPromDuration } from './duration.ts';
import { type Configuration, defaultConfiguration } from './load.ts';
import { type SaidLimits, settingOf, type TenantLimits } from './overrides-file.ts';
import { type Receivers, renderReceivers } from './receivers.ts';
import { schema } from './schema.ts';
import { propertyName, type Section, type Setting } from './setting.ts';

/**
 * Without a mode everything in force, with `diff` what differs from the defaults, with `defaults` those. Throws
 * `internal` for another mode, as Tempo answers 500.
 */
export function renderConfiguration(config: Configuration, mode: string | undefined): string {
  switch (mode) {
    case undefined:
    case '':
      return stringify(configurationTree(config));
    case 'defaults':
      return stringify(configurationTree(defaultConfiguration()));
    case 'diff':
      return stringify(difference(configurationTree(config), configurationTree(defaultConfiguration())) ?? {});
    default:
      throw new VivaceError('internal', `unknown value for mode query parameter: ${mode}`);
  }
}

/** The same as a plain object, by YAML key. */
export function configurationTree(config: Configuration): Tree {
  return sectionTree(config, schema);
}

/** Everything that one tenant may do, as under `overrides.defaults`. */
export function renderLimits(limits: TenantLimits): string {
  return stringify(sectionTree(limits, schema.fields.overrides.fields.defaults));
}

/** What a file says about each tenant, as in the file. */
export function renderSaid(said: ReadonlyMap<string, SaidLimits>): string {
  const overrides = [...said].map(([tenant, values]): [string, Tree] => [tenant, saidTree(values)]);
  return stringify({ overrides: Object.fromEntries(overrides) });
}

function saidTree(said: SaidLimits): Tree {
  const tree: Tree = {};
  for (const [path, value] of said) {
    const keys = path.split('.');
    const last = keys.pop()!;
    let at = tree;
    for (const key of keys) at = (at[key] ??= {}) as Tree;
    at[last] = shown(value, settingOf(path));
  }
  return tree;
}

type Tree = { [key: string]: unknown };

function sectionTree(values: object, section: Section): Tree {
  const tree: Tree = {};
  for (const [key, node] of Object.entries(section.fields)) {
    const value = (values as Tree)[propertyName(key, node)];
    tree[key] = node.node === 'section' ? sectionTree(value as object, node) : shown(value, node);
  }
  return tree;
}

function shown(value: unknown, setting: Setting): unknown {
  if (value === undefined) return null;
  if (setting.masked === true) {
    if (setting.kind !== 'map') return '<secret>';
    return Object.fromEntries(Object.keys(value as object).map((key) => [key, '<secret>']));
  }
  switch (setting.kind) {
    case 'secret':
      return value === '' ? '' : '<secret>';
    case 'duration':
      return formatGoDuration(value as number);
    case 'promDuration':
      return formatPromDuration(value as number);
    case 'csv':
      return (value as string[]).join(',');
    case 'list':
      return (value as object[]).map((item) => (setting.element ? sectionTree(item, setting.element) : item));
    case 'custom':
      return renderReceivers(value as Receivers);
    default:
      return value;
  }
}

/** What of `now` is not so in `before`; undefined when nothing is. Lists are shown whole. */
function difference(now: unknown, before: unknown): unknown {
  if (!isTree(now) || !isTree(before)) return JSON.stringify(now) === JSON.stringify(before) ? undefined : now;
  const changed: Tree = {};
  for (const [key, value] of Object.entries(now)) {
    const inner = difference(value, before[key]);
    if (inner !== undefined) changed[key] = inner;
  }
  return Object.keys(changed).length === 0 ? undefined : changed;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
