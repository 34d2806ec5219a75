/**
 * Reads YAML nodes into the object of a section. Everything wrong is collected, not thrown, in the words of go-yaml with
 * the column and a suggestion behind them; what the reader should know as warnings and notices.
 */
import type { Node, Scalar, YAMLMap, YAMLSeq } from 'yaml';
import { isMap, isScalar, isSeq } from 'yaml';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { type Fields, propertyName, type Section, type Setting } from './setting.ts';
import { nearest } from './suggest.ts';
import { goTypes, scalarValue } from './value.ts';
import { type Entry, entriesOf, plainOf, type TypedScalar, typeScalar, typeText, type YamlText } from './yaml.ts';

export interface Decoding {
  yaml: YamlText;
  /** Lines of the error text, in the order of the file. */
  problems: string[];
  /** Things that Tempo would not have taken. */
  warnings: string[];
  /** Things that it would, and that may surprise. */
  notices: string[];
  /** Called for each setting that the text gives, with its dotted path; without a setting for what is only kept. */
  given(path: string, setting: Setting | undefined): void;
  /** Old keys: dotted path to the path that took its place. */
  moved: ReadonlyMap<string, { to: string; setting: Setting }>;
  /** Called for each old key that the text gives. */
  movedValue(from: string, to: string, value: unknown): void;
  /** Values of placeholders that nothing has expanded so far; undefined when the whole text was expanded before. */
  environment: Record<string, string | undefined> | undefined;
  /** Readers of `custom` settings by name. */
  readers: Record<string, (decoding: Decoding, node: Node, path: string) => unknown>;
  /** Every dotted path there is, to suggest where a misplaced key belongs. */
  paths: Iterable<string>;
}

/** Overwrites in `into` what the node gives; a null or missing node gives nothing. */
export function decodeSection(
  decoding: Decoding,
  node: Node | null | undefined,
  section: Section,
  path: string,
  into: Record<string, unknown>,
): void {
  if (node === null || node === undefined || isNull(node)) return;
  if (!isMap(node)) {
    refuseType(decoding, node, section.goType);
    return;
  }
  const seen = new Set<string>();
  for (const entry of entriesOf(decoding.yaml, node as YAMLMap)) {
    if (seen.has(entry.key)) {
      refuse(decoding, entry.keyNode, `field ${entry.key} already set in type ${section.goType}`);
      continue;
    }
    seen.add(entry.key);
    decodeEntry(decoding, entry, section, path, into);
  }
}

function decodeEntry(
  decoding: Decoding,
  entry: Entry,
  section: Section,
  path: string,
  into: Record<string, unknown>,
): void {
  const full = path === '' ? entry.key : `${path}.${entry.key}`;
  const field = Object.hasOwn(section.fields, entry.key) ? section.fields[entry.key] : undefined;
  if (field === undefined) {
    if (!decodeMoved(decoding, entry, section, full)) refuseUnknown(decoding, entry, section, full);
    return;
  }
  const property = propertyName(entry.key, field);
  if (field.node === 'section') {
    decodeSection(decoding, entry.value, field, full, into[property] as Record<string, unknown>);
    return;
  }
  const value = decodeSetting(decoding, entry.value, field, full);
  if (value === undefined) return;
  into[property] = value;
  decoding.given(full, field);
}

/** Whether the entry is an old key, or holds some. */
function decodeMoved(decoding: Decoding, entry: Entry, section: Section, full: string): boolean {
  const moved = decoding.moved.get(full);
  if (moved !== undefined) {
    const value = decodeSetting(decoding, entry.value, moved.setting, full);
    if (value !== undefined) decoding.movedValue(full, moved.to, value);
    return true;
  }
  if (![...decoding.moved.keys()].some((path) => path.startsWith(`${full}.`))) return false;
  decodeSection(decoding, entry.value, { node: 'section', goType: section.goType, fields: {} }, full, {});
  return true;
}

function refuseUnknown(decoding: Decoding, entry: Entry, section: Section, full: string): void {
  const hint = suggestion(decoding, entry.key, section.fields, full);
  refuse(decoding, entry.keyNode, `field ${entry.key} not found in type ${section.goType}`, hint);
}

function suggestion(decoding: Decoding, key: string, fields: Fields, full: string): string {
  const near = nearest(key, Object.keys(fields));
  if (near !== undefined) return `did you mean ${near}?`;
  const section = full.slice(0, full.lastIndexOf('.') + 1);
  const elsewhere = [...decoding.paths].filter((path) => path.endsWith(`.${key}`));
  const best = elsewhere.find((path) => path.startsWith(section)) ?? elsewhere[0];
  return best === undefined ? '' : `did you mean ${best}?`;
}

/** Undefined for null and for a value that was refused. */
export function decodeSetting(
  decoding: Decoding,
  node: Node | null,
  setting: Setting,
  path: string,
): unknown | undefined {
  if (node === null) return undefined;
  if (setting.kind === 'custom' && setting.custom !== undefined) {
    return isNull(node) ? undefined : decoding.readers[setting.custom](decoding, node, path);
  }
  if (setting.kind === 'tree') return plainOf(decoding.yaml, node);
  if (isSeq(node)) return decodeSequence(decoding, node as YAMLSeq<Node>, setting, path);
  if (isMap(node)) {
    if (setting.kind === 'map') return decodeMap(decoding, node as YAMLMap);
    refuseType(decoding, node, goTypes[setting.kind]);
    return undefined;
  }
  return isScalar(node) ? decodeScalar(decoding, node as Scalar, setting, path) : undefined;
}

function decodeScalar(decoding: Decoding, node: Scalar, setting: Setting, path: string): unknown | undefined {
  const scalar = filled(decoding, node, setting, path);
  if (scalar.tag === '!!null') return undefined;
  const key = path.slice(path.lastIndexOf('.') + 1);
  try {
    const value = scalarValue(setting, key, scalar);
    if (setting.kind === 'duration' && scalar.tag === '!!int' && scalar.value !== 0) {
      decoding.notices.push(`${path}: ${scalar.text} has no unit and counts as nanoseconds; write 30s, 5m or 1h`);
    }
    return value;
  } catch (error) {
    if (!(error instanceof VivaceError)) throw error;
    if (setting.choices !== undefined) refuse(decoding, node, messageOf(error));
    else
      refuse(decoding, node, cannotUnmarshal(scalar, goTypes[setting.kind], setting.kind === 'secret'), error.message);
    return undefined;
  }
}

const placeholder = /^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$/;

/**
 * Without -config.expand-env a value that is one `${NAME}` and nothing else is still filled in, because it can mean
 * nothing else where a number, bool or duration belongs. A text stays as it is while the variable is unset.
 */
function filled(decoding: Decoding, node: Scalar, setting: Setting, path: string): TypedScalar {
  const scalar = typeScalar(node);
  const name = decoding.environment === undefined ? undefined : placeholder.exec(scalar.text)?.[1];
  if (name === undefined || decoding.environment === undefined) return scalar;
  const value = decoding.environment[name];
  const isText = setting.kind === 'text' || setting.kind === 'secret' || setting.kind === 'csv';
  if (value === undefined && isText) return scalar;
  decoding.warnings.push(
    `${path}: \${${name}} was replaced although -config.expand-env=true is not set; Tempo would refuse or keep it`,
  );
  return typeText(value ?? '');
}

function decodeSequence(
  decoding: Decoding,
  node: YAMLSeq<Node>,
  setting: Setting,
  path: string,
): unknown[] | undefined {
  const element = setting.element;
  if (setting.kind === 'list' && element !== undefined) {
    return node.items.map((item, index) => {
      const into = defaultsOf(element);
      decodeSection(decoding, decoding.yaml.follow(item), element, `${path}[${index}]`, into);
      return into;
    });
  }
  if (setting.kind !== 'texts' && setting.kind !== 'csv' && setting.kind !== 'floats') {
    refuseType(decoding, node, goTypes[setting.kind]);
    return undefined;
  }
  const each: Setting = { ...setting, kind: setting.kind === 'floats' ? 'float' : 'text' };
  const values: unknown[] = [];
  for (const item of node.items) {
    const value = decodeSetting(decoding, decoding.yaml.follow(item), each, path);
    if (value !== undefined) values.push(value);
  }
  return values;
}

function decodeMap(decoding: Decoding, node: YAMLMap): Record<string, string> {
  const map: Record<string, string> = {};
  for (const entry of entriesOf(decoding.yaml, node)) {
    if (isScalar(entry.value)) map[entry.key] = typeScalar(entry.value as Scalar).text;
    else refuseType(decoding, entry.value ?? entry.keyNode, 'string');
  }
  return map;
}

/** The object of a section with nothing given. */
export function defaultsOf(section: Section): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (const [key, node] of Object.entries(section.fields)) {
    object[propertyName(key, node)] = node.node === 'section' ? defaultsOf(node) : copyOf(node.default);
  }
  return object;
}

/** Copying is slow, and nearly every default is a number or a text. */
function copyOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? structuredClone(value) : value;
}

export function isNull(node: Node): boolean {
  return isScalar(node) && typeScalar(node as Scalar).tag === '!!null';
}

/** Notes that the node is of the wrong type. */
export function refuseType(decoding: Decoding, node: Node, goType: string): void {
  if (isMap(node)) refuse(decoding, node, `cannot unmarshal !!map into ${goType}`);
  else if (isSeq(node)) refuse(decoding, node, `cannot unmarshal !!seq into ${goType}`);
  else refuse(decoding, node, cannotUnmarshal(typeScalar(node as Scalar), goType, false));
}

/** Notes what is wrong at the node. */
export function refuse(decoding: Decoding, node: Node, message: string, hint = ''): void {
  const { line, column } = decoding.yaml.place(node);
  decoding.problems.push(`line ${line}: ${message} (column ${column}${hint === '' ? '' : `: ${hint}`})`);
}

/** go-yaml shows the first characters of a long value only. */
function cannotUnmarshal(scalar: TypedScalar, goType: string, hidden: boolean): string {
  const shown = scalar.text.length > 10 ? `${scalar.text.slice(0, 7)}...` : scalar.text;
  return `cannot unmarshal ${scalar.tag} ${hidden ? '' : `\`${shown}\` `}into ${goType}`;
}
