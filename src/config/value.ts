/** Reads one written value as the kind of a setting: from a YAML scalar or from a flag. */
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { parseGoDuration, parsePromDuration } from './duration.ts';
import type { Kind, Setting } from './setting.ts';
import { type TypedScalar, typeText } from './yaml.ts';

/** What Tempo's error texts call the kinds. */
export const goTypes: Record<Kind, string> = {
  text: 'string',
  secret: 'flagext.Secret',
  csv: 'flagext.StringSliceCSV',
  int: 'int',
  uint: 'uint',
  float: 'float64',
  bool: 'bool',
  duration: 'time.Duration',
  promDuration: 'model.Duration',
  bytes: 'flagext.Bytes',
  time: 'time.Time',
  texts: '[]string',
  floats: '[]float64',
  map: 'map[string]string',
  tree: 'interface {}',
  list: '[]',
  custom: 'map[string]interface {}',
};

/**
 * The value of a scalar that is not null. Throws `invalid`: with an empty message when the scalar is of the wrong type
 * altogether, else with the reason. `key` is the last part of the path, for the reason.
 */
export function scalarValue(setting: Setting, key: string, scalar: TypedScalar): unknown {
  switch (setting.kind) {
    case 'text':
      return chosen(setting, key, scalar.text);
    case 'secret':
      return scalar.text;
    case 'csv':
      return commaList(scalar.text);
    case 'time':
      return instant(scalar.text);
    case 'int':
    case 'uint':
      return bounded(setting, key, integer(scalar));
    case 'float':
      if (scalar.tag !== '!!int' && scalar.tag !== '!!float') throw wrongType();
      return scalar.value;
    case 'bool':
      if (scalar.tag !== '!!bool') throw wrongType();
      return scalar.value;
    case 'duration':
      // Go takes a bare number for nanoseconds.
      if (scalar.tag === '!!int') return (scalar.value as number) / 1e6;
      if (scalar.tag !== '!!str') throw wrongType();
      return parseGoDuration(scalar.text);
    case 'promDuration':
      return parsePromDuration(scalar.text);
    case 'bytes':
      return sizeOf(scalar.text);
    case 'texts':
    case 'floats':
    case 'map':
    case 'tree':
    case 'list':
    case 'custom':
      throw wrongType();
  }
}

/** The value of a flag. Throws `invalid` with Go's words. */
export function flagValue(setting: Setting, key: string, text: string): unknown {
  switch (setting.kind) {
    case 'bool':
      return flagBool(text);
    case 'int':
    case 'uint':
    case 'float':
      return rethrown(() => scalarValue(setting, key, typeText(text)));
    case 'duration':
      return flagDuration(text);
    case 'texts':
      return commaList(text);
    case 'floats':
      return rethrown(() => commaList(text).map((part) => number(part)));
    case 'map':
    case 'tree':
    case 'list':
    case 'custom':
      throw new VivaceError('invalid', 'this setting has no flag: write it in the file');
    default:
      return rethrown(() => scalarValue(setting, key, { tag: '!!str', text, value: text }));
  }
}

/** Go's `strconv.ParseBool`. */
export function flagBool(text: string): boolean {
  if (/^(?:1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(?:0|f|F|FALSE|false|False)$/.test(text)) return false;
  throw new VivaceError('invalid', 'parse error');
}

function flagDuration(text: string): number {
  try {
    return parseGoDuration(text);
  } catch (error) {
    throw new VivaceError('invalid', `parse error (${messageOf(error)})`);
  }
}

function rethrown<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof VivaceError && error.message === '') throw new VivaceError('invalid', 'parse error');
    throw error;
  }
}

function wrongType(): VivaceError {
  return new VivaceError('invalid', '');
}

function number(text: string): number {
  const scalar = typeText(text);
  if (scalar.tag !== '!!int' && scalar.tag !== '!!float') throw wrongType();
  return scalar.value as number;
}

/** Go writes large whole numbers as floats in generated files (`2e+07`). */
function integer(scalar: TypedScalar): number {
  if (scalar.tag === '!!int') return scalar.value as number;
  if (scalar.tag === '!!float' && Number.isInteger(scalar.value)) return scalar.value as number;
  throw wrongType();
}

function bounded(setting: Setting, key: string, value: number): number {
  if (setting.least !== undefined && value < setting.least) {
    throw new VivaceError('invalid', `${key} must be at least ${setting.least}`);
  }
  if (setting.most !== undefined && value > setting.most) {
    throw new VivaceError('invalid', `${key} must be at most ${setting.most}`);
  }
  return value;
}

function chosen(setting: Setting, key: string, text: string): string {
  if (setting.choices === undefined || setting.choices.includes(text)) return text;
  throw new VivaceError(
    'invalid',
    `unrecognized ${key.replaceAll('_', ' ')} ${JSON.stringify(text)}: one of ${setting.choices.join(', ')}`,
  );
}

function commaList(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function instant(text: string): string | undefined {
  if (text === '') return undefined;
  if (/^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[-+]\d\d:\d\d)$/.test(text)) {
    if (Number.isFinite(Date.parse(text))) return text;
  }
  throw new VivaceError('invalid', `${JSON.stringify(text)} is no RFC 3339 time such as 2026-01-31T00:00:00Z`);
}

const sizeUnits: Record<string, number> = { '': 1, B: 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

/** `65535`, `64KB`, `1.5MiB`: every unit is a power of 1024, as in Tempo. */
function sizeOf(text: string): number {
  const found = /^(\d{1,16}(?:\.\d{1,16})?)\s{0,4}([KMGT]?)i?B?$/i.exec(text);
  if (!found) throw new VivaceError('invalid', `${JSON.stringify(text)} is no size such as 65535 or 64KiB`);
  return Math.floor(Number(found[1]) * sizeUnits[found[2].toUpperCase()]);
}
