/**
 * Pieces of the API's JSON, which is proto3 JSON as Go writes it: 64-bit integers are quoted, 32-bit ones are not,
 * what is zero or empty is left out, NaN and the infinities are strings, and `<`, `>` and `&` are escaped.
 */

/** A quoted JSON string. */
export function jsonString(text: string): string {
  return NEEDS_CARE.test(text) ? escaped(text) : `"${text}"`;
}

/** A finite number as it is, the others quoted. */
export function jsonDouble(value: number): string {
  if (Number.isFinite(value)) return Object.is(value, -0) ? '-0' : String(value);
  return `"${value}"`;
}

/** An object of members like `"a":1`; undefined and empty ones are left out. */
export function jsonObject(members: (string | undefined)[]): string {
  return `{${members.filter(Boolean).join(',')}}`;
}

/** `"name":"123"`, or nothing for zero. Numbers beyond 2^53 must come as bigint. */
export function int64Member(name: string, value: number | bigint | undefined): string | undefined {
  return value ? `"${name}":"${value}"` : undefined;
}

/** `"name":123`, or nothing for zero. */
export function int32Member(name: string, value: number | undefined): string | undefined {
  return value ? `"${name}":${value}` : undefined;
}

// Quote, backslash, what HTML must not see, controls, line separators, and surrogates, which may be alone.
const NEEDS_CARE = /["\\<>&\u0000-\u001f\u2028\u2029\ud800-\udfff]/;
const HTML_OR_LINE = /[<>&\u2028\u2029]/g;

function escaped(text: string): string {
  return JSON.stringify(text.isWellFormed() ? text : text.toWellFormed()).replace(
    HTML_OR_LINE,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
