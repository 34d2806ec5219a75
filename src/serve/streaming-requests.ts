/**
 * Requests of `tempopb.StreamingQuerier` as the parameters of the HTTP routes that ask the same, so that both go the same
 * way from there. Fields by number (api.md §12.3); zero is absent, and what is not known is skipped.
 */
import { VivaceError } from '../runtime/errors.ts';
import { ProtoReader, WIRE_BYTES, WIRE_VARINT } from '../wire/protobuf.ts';

/** What a field becomes: a parameter of that name, with its number followed by a unit. */
type Field = { name: string; as: 'text' | 'texts' | 'tags' } | { name: string; as: 'number'; unit?: string };
export type RequestFields = ReadonlyMap<number, Field>;

const text = (name: string): Field => ({ name, as: 'text' });
const number = (name: string, unit?: string): Field => ({ name, as: 'number', unit });
const SKIP_AST: Field = { name: 'skip_ast_transformations', as: 'texts' };

export const SEARCH_REQUEST: RequestFields = new Map([
  [1, { name: 'tags', as: 'tags' }],
  [2, number('minDuration', 'ms')],
  [3, number('maxDuration', 'ms')],
  [4, number('limit')],
  [5, number('start')],
  [6, number('end')],
  [8, text('q')],
  [9, number('spss')],
  [11, SKIP_AST],
]);

export const TAGS_REQUEST: RequestFields = new Map([
  [1, text('scope')],
  [2, text('q')],
  [3, number('start')],
  [4, number('end')],
  [5, number('limit')],
  [6, number('maxStaleValues')],
]);

/** `tagName` stands in the path of the HTTP route. */
export const TAG_VALUES_REQUEST: RequestFields = new Map([
  [1, text('tagName')],
  [2, text('q')],
  [4, number('start')],
  [5, number('end')],
  [6, number('limit')],
  [7, number('maxStaleValues')],
]);

/** Times in nanoseconds. */
export const QUERY_RANGE_REQUEST: RequestFields = new Map([
  [1, text('q')],
  [2, number('start')],
  [3, number('end')],
  [4, number('step', 'ns')],
  [7, text('mode')],
  [16, number('exemplars')],
  [17, number('maxSeries')],
  [19, SKIP_AST],
]);

export const QUERY_INSTANT_REQUEST: RequestFields = new Map([
  [1, text('q')],
  [2, number('start')],
  [3, number('end')],
]);

/** Throws `invalid` for a request that is no such message. */
export function requestParameters(message: Uint8Array, fields: RequestFields): URLSearchParams {
  const url = new URLSearchParams();
  const tags: string[] = [];
  const reader = new ProtoReader(message);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    const field = fields.get(tag >>> 3);
    const wire = tag & 7;
    if (field?.as === 'number' && wire === WIRE_VARINT) {
      const value = uint64(reader);
      if (value !== 0n) url.set(field.name, `${value}${field.unit ?? ''}`);
    } else if (field === undefined || field.as === 'number' || wire !== WIRE_BYTES) reader.skip(tag);
    else if (field.as === 'tags') tags.push(logfmtPair(reader.bytesValue()));
    else if (field.as === 'texts') url.append(field.name, reader.stringValue());
    else url.set(field.name, reader.stringValue());
  }
  if (tags.length > 0) url.set('tags', tags.join(' '));
  return url;
}

/** Exact, as nanoseconds need it. */
function uint64(reader: ProtoReader): bigint {
  const from = reader.pos;
  reader.varint();
  let value = 0n;
  for (let at = reader.pos - 1; at >= from; at--) value = (value << 7n) | BigInt(reader.bytes[at] & 0x7f);
  return BigInt.asUintN(64, value);
}

function logfmtPair(entry: Uint8Array): string {
  const reader = new ProtoReader(entry);
  let key = '';
  let value = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === ((1 << 3) | WIRE_BYTES)) key = reader.stringValue();
    else if (tag === ((2 << 3) | WIRE_BYTES)) value = reader.stringValue();
    else reader.skip(tag);
  }
  if (key === '' || /[\s="]/.test(key))
    throw new VivaceError('invalid', `invalid tags: the key ${JSON.stringify(key)} cannot be searched for`);
  return `${key}=${JSON.stringify(value)}`;
}
