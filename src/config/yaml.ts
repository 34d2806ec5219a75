/**
 * A YAML text as nodes with positions, under the rules of go-yaml v2: the first document counts, scalars are typed by
 * YAML 1.1 (`yes` and `on` are true) except that `1:30` stays text, and `<<` merges.
 */
import type { Alias, Node, Pair, ParsedNode, Scalar, YAMLMap, YAMLSeq } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments } from 'yaml';
import { VivaceError } from '../runtime/errors.ts';

/** Aliases multiply nodes: a file may not unfold to more than this many. */
const nodesMax = 200_000;

export interface YamlText {
  /** Undefined for a text without content. */
  root: Node | undefined;
  place(node: Node): Place;
  /** The node that an alias stands for, else the node itself. Counts towards `nodesMax`. */
  follow(node: Node | null): Node | null;
}

/** Both counted from 1. */
export interface Place {
  line: number;
  column: number;
}

export interface TypedScalar {
  tag: '!!str' | '!!int' | '!!float' | '!!bool' | '!!null';
  /** As it is written, without quotes. */
  text: string;
  value: string | number | boolean | null;
}

export interface Entry {
  key: string;
  keyNode: Node;
  value: Node | null;
}

/** Throws `invalid` with `yaml: line N: reason` when the text is no YAML. */
export function parseYaml(text: string): YamlText {
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(text, {
    schema: 'failsafe',
    version: '1.1',
    uniqueKeys: false,
    lineCounter,
    logLevel: 'silent',
    prettyErrors: false,
  });
  const place = (offset: number): Place => {
    const found = lineCounter.linePos(offset);
    return { line: found.line, column: found.col };
  };
  const document = Array.isArray(documents) ? documents[0] : undefined;
  const error = document?.errors[0];
  if (error) {
    const { line, column } = place(error.pos[0]);
    throw new VivaceError('invalid', `yaml: line ${line}: ${error.message} (column ${column})`);
  }
  let nodes = 0;
  const follow = (node: Node | null): Node | null => {
    if (++nodes > nodesMax) {
      throw new VivaceError('invalid', `yaml: the document unfolds to more than ${nodesMax} nodes: use fewer aliases`);
    }
    if (!isAlias(node)) return node;
    const target = document ? (node as Alias).resolve(document) : undefined;
    if (target === undefined) {
      throw new VivaceError('invalid', `yaml: unknown anchor '${(node as Alias).source}' referenced`);
    }
    return target as Node;
  };
  return {
    root: (document?.contents as ParsedNode | null) ?? undefined,
    place: (node) => place(node.range?.[0] ?? 0),
    follow,
  };
}

/** What the scalar's text means by YAML 1.1. A quoted or block scalar is always text. */
export function typeScalar(node: Scalar): TypedScalar {
  const text = String(node.value ?? '');
  return node.type === undefined || node.type === 'PLAIN' ? typeText(text) : { tag: '!!str', text, value: text };
}

/** The same for the text of a plain scalar. */
export function typeText(text: string): TypedScalar {
  if (/^(?:~|null|Null|NULL)?$/.test(text)) return { tag: '!!null', text, value: null };
  if (/^(?:y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON)$/.test(text)) return { tag: '!!bool', text, value: true };
  if (/^(?:n|N|no|No|NO|false|False|FALSE|off|Off|OFF)$/.test(text)) return { tag: '!!bool', text, value: false };
  const plain = text.replaceAll('_', '');
  const integer = integerOf(plain);
  if (integer !== undefined) return { tag: '!!int', text, value: integer };
  if (/^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/.test(plain))
    return { tag: '!!float', text, value: Number(plain) };
  const infinite = /^([-+]?)\.(?:inf|Inf|INF)$/.exec(text);
  if (infinite) {
    return { tag: '!!float', text, value: infinite[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY };
  }
  if (/^\.(?:nan|NaN|NAN)$/.test(text)) return { tag: '!!float', text, value: Number.NaN };
  return { tag: '!!str', text, value: text };
}

function integerOf(text: string): number | undefined {
  const found = /^([-+]?)(0x[\da-fA-F]+|0o[0-7]+|0b[01]+|0[0-7]+|0|[1-9]\d*)$/.exec(text);
  if (!found) return undefined;
  const octal = /^0[0-7]+$/.test(found[2]);
  const size = Number(octal ? `0o${found[2].slice(1)}` : found[2]);
  return found[1] === '-' ? -size : size;
}

/** The entries of a map in order, those merged with `<<` last and only where the key is not there already. */
export function entriesOf(yaml: YamlText, map: YAMLMap): Entry[] {
  const own: Entry[] = [];
  const merged: Entry[] = [];
  for (const pair of map.items as Pair<Node, Node | null>[]) {
    const keyNode = yaml.follow(pair.key);
    const key = isScalar(keyNode) ? String((keyNode as Scalar).value ?? '') : undefined;
    if (key === undefined || keyNode === null) {
      throw new VivaceError('invalid', `yaml: line ${yaml.place(pair.key).line}: a key must be a plain word`);
    }
    const value = yaml.follow(pair.value);
    if (key !== '<<') own.push({ key, keyNode: pair.key, value });
    else merged.push(...mergedEntries(yaml, value));
  }
  if (merged.length === 0) return own;
  const known = new Set(own.map((entry) => entry.key));
  for (const entry of merged) {
    if (known.has(entry.key)) continue;
    known.add(entry.key);
    own.push(entry);
  }
  return own;
}

function mergedEntries(yaml: YamlText, value: Node | null): Entry[] {
  if (isMap(value)) return entriesOf(yaml, value as YAMLMap);
  if (isSeq(value)) {
    return (value as YAMLSeq<Node>).items.flatMap((item) => {
      const map = yaml.follow(item);
      return isMap(map) ? entriesOf(yaml, map as YAMLMap) : [];
    });
  }
  throw new VivaceError('invalid', 'yaml: map merge requires map or sequence of maps as the value');
}

/** Any YAML as plain objects, lists and scalars. */
export function plainOf(yaml: YamlText, node: Node | null): unknown {
  const found = yaml.follow(node);
  if (isMap(found)) {
    const plain: Record<string, unknown> = Object.create(null);
    for (const entry of entriesOf(yaml, found as YAMLMap)) plain[entry.key] = plainOf(yaml, entry.value);
    return { ...plain };
  }
  if (isSeq(found)) return (found as YAMLSeq<Node>).items.map((item) => plainOf(yaml, item));
  return isScalar(found) ? typeScalar(found as Scalar).value : undefined;
}
