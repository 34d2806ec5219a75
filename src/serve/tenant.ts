/** Whose data a request reads: the header `X-Scope-OrgID`, which may name several tenants as `a|b`. */
import { VivaceError } from '../runtime/errors.ts';

export interface TenantRules {
  /** Off: the header is ignored and all data belongs to one tenant. */
  multitenancyEnabled: boolean;
  /** Whether a read may name several tenants. */
  multiTenantQueriesEnabled: boolean;
}

/** The tenant of everything while multitenancy is off. */
export const SINGLE_TENANT = 'single-tenant';

const TENANT_CHARS_MAX = 150;
const FORBIDDEN = /[^A-Za-z0-9!\-_.*'()]/u;

/** The tenants of a read, sorted, each once. Throws `no-tenant` without the header, `invalid` for a bad one. */
export function tenantsOf(header: string | string[] | undefined, rules: TenantRules): string[] {
  if (!rules.multitenancyEnabled) return [SINGLE_TENANT];
  const text = Array.isArray(header) ? header[0] : header;
  if (text === undefined || text === '') throw new VivaceError('no-tenant', 'no org id');
  const tenants = [...new Set(text.split('|').filter((tenant) => tenant !== ''))].sort();
  if (tenants.length === 0) throw new VivaceError('invalid', 'no org id');
  for (const tenant of tenants) checkTenant(tenant);
  if (tenants.length > 1 && !rules.multiTenantQueriesEnabled) {
    throw new VivaceError('invalid', 'multiple org IDs present');
  }
  return tenants;
}

function checkTenant(tenant: string): void {
  if (tenant.length > TENANT_CHARS_MAX) {
    throw new VivaceError('invalid', `tenant ID is too long: max ${TENANT_CHARS_MAX} characters`);
  }
  const forbidden = FORBIDDEN.exec(tenant);
  if (forbidden) {
    throw new VivaceError('invalid', `tenant ID '${tenant}' contains unsupported character '${forbidden[0]}'`);
  }
  if (tenant === '.' || tenant === '..') throw new VivaceError('invalid', "tenant ID is '.' or '..'");
}
