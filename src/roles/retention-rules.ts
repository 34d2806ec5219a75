/**
 * Rules of late-decided retention, one text each: how long, what share of them, which traces.
 *
 *   30d { status = error }
 *   3d 5% { resource.service.name = "shop" } | count() > 3
 */
import { parsePromDuration } from '../config/duration.ts';
import type { KeepRule } from '../query/kept-traces.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { checkQuery } from '../traceql/check.ts';
import { parseQuery } from '../traceql/parse.ts';

const RULE = /^\s*(\S+)\s+(?:(\d+(?:\.\d+)?)\s*%\s*)?([\s\S]*\S)\s*$/;

/** Throws `invalid` for a text that is none. */
export function parseRule(text: string): KeepRule {
  const refuse = (why: string): never => {
    throw new VivaceError(
      'invalid',
      `cannot use the retention rule ${JSON.stringify(text)}: ${why}; write one as 30d { status = error }, or 3d 5% { }`,
    );
  };
  const [, keep, percent = '100', query] = RULE.exec(text) ?? refuse('a duration and a query are wanted');
  let keepMs: number;
  try {
    keepMs = parsePromDuration(keep);
  } catch (error) {
    return refuse(messageOf(error));
  }
  if (Number(percent) > 100) refuse(`${percent} % are more than all`);
  try {
    const parsed = parseQuery(query);
    checkQuery(parsed, query);
    if (parsed.metrics !== undefined) refuse('metrics find no traces');
    return { stages: parsed.pipeline, share: Number(percent) / 100, keepMs };
  } catch (error) {
    if (error instanceof VivaceError) throw error;
    return refuse(messageOf(error));
  }
}

/** The rules of a tenant, and how long traces are kept to which none applies. */
export interface TenantRules {
  texts: readonly string[];
  /** Infinity: for ever. */
  restMs: number;
  /** Ages, ascending, at which traces of a block may have to go. */
  deadlinesMs: readonly number[];
}

/** Throws `invalid`. */
export function tenantRules(texts: readonly string[], restMs: number): TenantRules {
  const all = [...texts.map((text) => parseRule(text).keepMs), restMs].filter(Number.isFinite);
  return { texts, restMs, deadlinesMs: [...new Set(all)].sort((a, b) => a - b) };
}

/** undefined: no rules. */
export interface RulesByTenant {
  base: TenantRules | undefined;
  own: ReadonlyMap<string, TenantRules | undefined>;
}

export function rulesOfTenant({ base, own }: RulesByTenant, tenant: string): TenantRules | undefined {
  return own.has(tenant) ? own.get(tenant) : base;
}
