/**
 * The vocabulary of the configuration tables. A table is a tree of sections and settings written with the functions
 * below; everything else is read from it: the YAML reader, the flags, `/status/config`, the manual, and the TypeScript
 * type of the loaded configuration (`Resolved`).
 *
 * A setting's YAML name (`max_block_duration`) becomes the property `maxBlockDurationMs`: camel case, and `Ms` behind
 * every duration because the value is milliseconds. Sizes are bytes.
 */
import { parseGoDuration } from './duration.ts';

/** How a value is written. `duration` is Go's syntax, `promDuration` Prometheus's, `bytes` a size with a unit. */
export type Kind =
  | 'text'
  | 'secret'
  | 'csv'
  | 'int'
  | 'uint'
  | 'float'
  | 'bool'
  | 'duration'
  | 'promDuration'
  | 'bytes'
  | 'time'
  | 'texts'
  | 'floats'
  | 'map'
  | 'tree'
  | 'list'
  | 'custom';

export interface Setting<Value = unknown, Suffix extends '' | 'Ms' = '' | 'Ms'> {
  readonly node: 'setting';
  readonly kind: Kind;
  readonly default: Value;
  /** One line for the manual. */
  readonly about: string;
  readonly suffix: Suffix;
  /** The only values allowed; undefined when any is. */
  readonly choices?: readonly string[];
  /** Least and greatest value of a number. */
  readonly least?: number;
  readonly most?: number;
  /** Shape of each element of a `list`. */
  readonly element?: Section;
  /** The value holds credentials. */
  readonly masked?: boolean;
  /** Name of a `custom` setting's reader, which whoever decodes supplies. */
  readonly custom?: string;
  /** The setting changes what Vivace does. Settings without it are accepted and listed at start. */
  readonly effective: boolean;
  /** The only Tempo release that has the key; undefined when both 2.9 and 3.0 do, or when it is ours. */
  readonly release?: Release;
}

export type Release = '2.9' | '3.0';

export interface Section<F extends Fields = Fields> {
  readonly node: 'section';
  /** The type's name in Tempo's error texts. */
  readonly goType: string;
  readonly fields: F;
}

export interface Fields {
  readonly [key: string]: Setting | Section;
}

/** The plain object that a section is read into. */
export type Resolved<S> =
  S extends Section<infer F>
    ? {
        -readonly [K in keyof F & string as PropertyName<K, F[K]>]: F[K] extends Section
          ? Resolved<F[K]>
          : F[K] extends Setting<infer V>
            ? V
            : never;
      }
    : never;

type PropertyName<K extends string, N> =
  N extends Setting<unknown, 'Ms'>
    ? N extends Setting<unknown, ''>
      ? CamelCase<K>
      : `${CamelCase<K>}Ms`
    : CamelCase<K>;

type CamelCase<K extends string> = K extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : K;

/** `max_block_duration` → `maxBlockDurationMs`. Must agree with the type `PropertyName`. */
export function propertyName(key: string, node: Setting | Section): string {
  const camel = key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return node.node === 'setting' ? camel + node.suffix : camel;
}

export function section<F extends Fields>(goType: string, fields: F): Section<F> {
  return { node: 'section', goType, fields };
}

export function text(byDefault: string, about: string): Setting<string, ''> {
  return setting('text', byDefault, about);
}

/** One of a few words; anything else is refused. */
export function choice(byDefault: string, choices: readonly string[], about: string): Setting<string, ''> {
  return { ...setting('text', byDefault, about), choices };
}

/** Like text, and never shown. */
export function secret(about: string): Setting<string, ''> {
  return setting('secret', '', about);
}

/** One string with commas; a YAML list is taken too. */
export function csv(byDefault: string[], about: string): Setting<string[], ''> {
  return setting('csv', byDefault, about);
}

export function int(byDefault: number, about: string): Setting<number, ''> {
  return setting('int', byDefault, about);
}

export function uint(byDefault: number, about: string): Setting<number, ''> {
  return { ...setting<number>('uint', byDefault, about), least: 0 };
}

/** A TCP or UDP port; 0 lets the system choose. */
export function port(byDefault: number, about: string): Setting<number, ''> {
  return { ...setting<number>('int', byDefault, about), least: 0, most: 65_535 };
}

export function float(byDefault: number, about: string): Setting<number, ''> {
  return setting('float', byDefault, about);
}

export function bool(byDefault: boolean, about: string): Setting<boolean, ''> {
  return setting('bool', byDefault, about);
}

/** A bool that is undefined until it is set, so that a tenant's settings can leave it to the defaults. */
export function maybeBool(about: string): Setting<boolean | undefined, ''> {
  return setting<boolean | undefined>('bool', undefined, about);
}

/** The default in Go's syntax, or `infinite`. */
export function duration(byDefault: string, about: string): Setting<number, 'Ms'> {
  const ms = byDefault === 'infinite' ? Number.POSITIVE_INFINITY : parseGoDuration(byDefault);
  return { node: 'setting', kind: 'duration', default: ms, about, suffix: 'Ms', effective: false };
}

export function promDuration(byDefault: string, about: string): Setting<number, 'Ms'> {
  return { ...duration(byDefault, about), kind: 'promDuration' };
}

export function bytes(byDefault: number, about: string): Setting<number, ''> {
  return { ...setting<number>('bytes', byDefault, about), least: 0 };
}

/** An RFC 3339 instant, kept as it is written. */
export function time(about: string): Setting<string | undefined, ''> {
  return setting<string | undefined>('time', undefined, about);
}

export function texts(byDefault: string[], about: string): Setting<string[], ''> {
  return setting('texts', byDefault, about);
}

export function floats(byDefault: number[], about: string): Setting<number[], ''> {
  return setting('floats', byDefault, about);
}

/** Names to text. */
export function map(about: string): Setting<Record<string, string>, ''> {
  return setting<Record<string, string>>('map', {}, about);
}

/** Like `tree`, and never shown. */
export function secretTree(about: string): Setting<unknown, ''> {
  return { ...tree(about), masked: true };
}

/** YAML that is kept but not checked. */
export function tree(about: string): Setting<unknown, ''> {
  return setting<unknown>('tree', undefined, about);
}

export function list<S extends Section>(element: S, about: string): Setting<Resolved<S>[], ''> {
  return { ...setting<Resolved<S>[]>('list', [], about), element };
}

/** A value with a reader of its own, given to the decoder under `reader`. */
export function custom<Value>(reader: string, byDefault: Value, about: string): Setting<Value, ''> {
  return { ...setting<Value>('custom', byDefault, about), custom: reader };
}

/** Marks a setting that changes what Vivace does. */
export function active<S extends Setting>(node: S): S {
  return { ...node, effective: true };
}

/** Marks a key that only Tempo 2.9 has. */
export function tempo2<S extends Setting>(node: S): S {
  return { ...node, release: '2.9' };
}

/** Marks a key that only Tempo 3.0 has. */
export function tempo3<S extends Setting>(node: S): S {
  return { ...node, release: '3.0' };
}

/** The same fields where none of them has an effect: a section reused in a place that is not served yet. */
export function inert<F extends Fields>(fields: F): F {
  const copy: Record<string, Setting | Section> = {};
  for (const [key, node] of Object.entries(fields)) {
    copy[key] = node.node === 'setting' ? { ...node, effective: false } : { ...node, fields: inert(node.fields) };
  }
  return copy as F;
}

function setting<Value>(kind: Kind, byDefault: Value, about: string): Setting<Value, ''> {
  return { node: 'setting', kind, default: byDefault, about, suffix: '', effective: false };
}
