/** Values of OTTL: nil is undefined, whole numbers are bigints and others numbers. */
export type Value =
  | undefined
  | string
  | number
  | bigint
  | boolean
  | Uint8Array
  | readonly Value[]
  | ReadonlyMap<string, Value>;

/** A condition cannot be answered for this span: it does not hold. */
export class Unanswerable extends Error {}

/** What a value looks like as text, for functions that take anything. */
export function textOf(value: Value): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value) || value instanceof Map) return JSON.stringify(plainOf(value));
  return String(value);
}

function plainOf(value: Value): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, each]) => [key, plainOf(each)]));
  if (Array.isArray(value)) return value.map(plainOf);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (typeof value === 'bigint') return Number(value);
  return value ?? null;
}
