/** Whose spans they are. Source: spec/ingestion.md §8.2; the character rules of Tempo 3.0 hold always (§12). */
import { VivaceError } from '../runtime/errors.ts';

export const SINGLE_TENANT = 'single-tenant';
export const TENANT_HEADER = 'x-scope-orgid';
const TENANT_BYTES_MAX = 150;

/**
 * The tenant of a request. `values`: every value sent for the header. Throws VivaceError 'no-tenant' for none or several
 * values and 'invalid' for a name that is not allowed. Without multitenancy the headers do not matter.
 */
export function tenantOf(multitenancy: boolean, values: readonly string[]): string {
  if (!multitenancy) return SINGLE_TENANT;
  if (values.length !== 1) throw new VivaceError('no-tenant', 'no org id');
  const parts = values[0].split('|').map(tenantName);
  if (parts.some((part) => part !== parts[0])) throw new VivaceError('invalid', 'multiple org IDs present');
  return parts[0];
}

/** The values of the tenant header among headers as sent: name, value, name, value, … */
export function tenantValues(rawHeaders: readonly string[]): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2)
    if (rawHeaders[i].length === TENANT_HEADER.length && rawHeaders[i].toLowerCase() === TENANT_HEADER)
      values.push(rawHeaders[i + 1]);
  return values;
}

/** One part, checked: what follows a colon is metadata and not part of the name. */
function tenantName(text: string): string {
  const colon = text.indexOf(':');
  const name = colon < 0 ? text : text.slice(0, colon);
  if (name === '') throw new VivaceError('invalid', 'tenant ID is empty; send a name in X-Scope-OrgID');
  if (name.length > TENANT_BYTES_MAX)
    throw new VivaceError('invalid', `tenant ID is too long: at most ${TENANT_BYTES_MAX} bytes`);
  if (name === '.' || name === '..') throw new VivaceError('invalid', "tenant ID is '.' or '..'");
  const bad = /[^A-Za-z0-9!\-_.*'()]/u.exec(name);
  if (bad !== null) throw new VivaceError('invalid', `tenant ID '${name}' contains unsupported character '${bad[0]}'`);
  return name;
}
