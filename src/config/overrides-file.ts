/**
 * The file of limits by tenant (`overrides.per_tenant_override_config`): `overrides: {<tenant>: {…}, "*": {…}}`, each entry
 * in the keys of `overrides.defaults` or in their flat names of old. What an entry leaves out stays unsaid here, so that
 * whoever puts the layers together can take it from the next one.
 */
import type { Node, YAMLMap } from 'yaml';
import { isMap } from 'yaml';
import { VivaceError } from '../runtime/errors.ts';
import { type Decoding, decodeSection, defaultsOf, isNull, refuse, refuseType } from './decode.ts';
import { movedKeys } from './moved.ts';
import { schema, settings } from './schema.ts';
import { propertyName, type Resolved, type Setting } from './setting.ts';
import { entriesOf, parseYaml } from './yaml.ts';

/** The limits of one tenant, all of them: `overrides.defaults` in camel case. */
export type TenantLimits = Resolved<typeof defaultsSection>;

/** What one entry says: value by dotted key below `overrides.defaults`. */
export type SaidLimits = ReadonlyMap<string, unknown>;

const defaultsSection = schema.fields.overrides.fields.defaults;
const PREFIX = 'overrides.defaults.';

/** Entries by tenant; `*` holds for tenants without one. Throws `invalid` with every mistake and its line. */
export function parseOverridesFile(text: string): Map<string, SaidLimits> {
  const tenants = new Map<string, SaidLimits>();
  // One for all: of what was decoded only the keys that were given are read.
  const scratch = defaultsOf(defaultsSection);
  const problems: string[] = [];
  const yaml = parseYaml(text);
  const decoding: Decoding = {
    yaml,
    problems,
    warnings: [],
    notices: [],
    given: () => {},
    moved: movedKeys,
    movedValue: () => {},
    environment: undefined,
    readers: {},
    paths: settings.keys(),
  };
  for (const top of entriesIn(decoding, yaml.root, 'overrides.perTenantOverrides')) {
    if (top.key !== 'overrides')
      refuse(decoding, top.keyNode, `field ${top.key} not found in type overrides.perTenantOverrides`, 'overrides');
    else
      for (const entry of entriesIn(decoding, top.value, 'overrides.TenantOverrides')) {
        if (tenants.has(entry.key)) refuse(decoding, entry.keyNode, `tenant ${entry.key} already set`);
        tenants.set(entry.key, saidIn(decoding, entry.value, scratch));
      }
  }
  if (problems.length > 0) throw new VivaceError('invalid', `yaml: unmarshal errors:\n  ${problems.join('\n  ')}`);
  return tenants;
}

/** `base` with what was said instead; sections that nothing was said in are shared with it. */
export function withSaid(base: TenantLimits, said: SaidLimits): TenantLimits {
  if (said.size === 0) return base;
  const copy: Record<string, unknown> = { ...base };
  const own = new Set<object>([copy]);
  for (const [path, value] of said) {
    const keys = path.split('.');
    const last = keys.pop()!;
    let at = copy;
    for (const key of keys) {
      const property = propertyName(key, defaultsSection);
      let inner = at[property] as Record<string, unknown>;
      if (!own.has(inner)) {
        inner = { ...inner };
        own.add(inner);
        at[property] = inner;
      }
      at = inner;
    }
    at[propertyName(last, settingOf(path))] = value;
  }
  return copy as TenantLimits;
}

/** The setting of a dotted key below `overrides.defaults`. */
export function settingOf(path: string): Setting {
  return settings.get(PREFIX + path)!;
}

function entriesIn(decoding: Decoding, node: Node | null | undefined, goType: string): ReturnType<typeof entriesOf> {
  if (node === null || node === undefined || isNull(node)) return [];
  if (isMap(node)) return entriesOf(decoding.yaml, node as YAMLMap);
  refuseType(decoding, node, goType);
  return [];
}

function saidIn(decoding: Decoding, node: Node | null, into: Record<string, unknown>): SaidLimits {
  const given: string[] = [];
  const said = new Map<string, unknown>();
  decodeSection(
    {
      ...decoding,
      given: (path) => given.push(path.slice('overrides.'.length)),
      movedValue: (_from, to, value) => said.set(to.slice(PREFIX.length), value),
    },
    node,
    defaultsSection,
    'overrides',
    into,
  );
  // A key of today beats its older name.
  for (const path of given) said.set(path, valueAt(into, path));
  return said;
}

/** The value of a dotted key below `overrides.defaults`. */
export function limitAt(limits: TenantLimits, path: string): unknown {
  return valueAt(limits, path);
}

function valueAt(limits: Record<string, unknown>, path: string): unknown {
  const keys = path.split('.');
  const last = keys.pop()!;
  let at = limits;
  for (const key of keys) at = at[propertyName(key, defaultsSection)] as Record<string, unknown>;
  return at[propertyName(last, settingOf(path))];
}
