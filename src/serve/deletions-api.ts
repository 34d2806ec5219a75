/**
 * Deleting traces: `DELETE /api/traces/{traceID}` hides one at once, `GET /api/deleted-traces/{traceID}` says whether
 * anything of it is left, `GET /api/deleted-traces` lists those that are known.
 */
import { VivaceError } from '../runtime/errors.ts';
import { parseTraceId } from './parameters.ts';
import { type Answer, JSON_TYPE, text } from './respond.ts';

/** Who deletes; see roles/deletions.ts. */
export interface TraceDeletions {
  delete(tenant: string, traceId: string): Promise<DeletedTraceState>;
  /** Of one, or of all of the tenant. */
  states(tenant: string, traceId?: string): Promise<DeletedTraceState[]>;
}

export interface DeletedTraceState {
  traceId: string;
  state: 'erasing' | 'erased';
  deletedMs: number;
  erasedMs?: number;
  /** What may still hold it. */
  waitsFor: string[];
}

/** 202, or 200 when nothing is left of it already. */
export async function deleteTrace(deletions: TraceDeletions, tenant: string, parameter: string): Promise<Answer> {
  const state = await deletions.delete(tenant, hexOf(parameter));
  return { status: state.state === 'erased' ? 200 : 202, type: JSON_TYPE, body: JSON.stringify(shown(state)) };
}

export async function deletedTraces(deletions: TraceDeletions, tenant: string, parameter: string): Promise<Answer> {
  if (parameter === '') {
    const traces = (await deletions.states(tenant)).map(shown);
    return { status: 200, type: JSON_TYPE, body: JSON.stringify({ traces }) };
  }
  const [state] = await deletions.states(tenant, hexOf(parameter));
  if (state === undefined)
    return text(404, 'nobody has asked for this trace to be deleted, or so long ago that it is forgotten\n');
  return { status: 200, type: JSON_TYPE, body: JSON.stringify(shown(state)) };
}

/** What to answer where nobody may delete. */
export function refuseDeletion(): never {
  throw new VivaceError(
    'denied',
    'cannot delete traces: without authentication whoever reaches this port could; set vivace.auth_file, or vivace.delete_traces to always',
  );
}

function hexOf(parameter: string): string {
  return Buffer.from(parseTraceId(parameter)).toString('hex');
}

function shown({ traceId, state, deletedMs, erasedMs, waitsFor }: DeletedTraceState): Record<string, unknown> {
  return {
    traceID: traceId,
    state,
    deleted: new Date(deletedMs).toISOString(),
    ...(erasedMs !== undefined && { erased: new Date(erasedMs).toISOString() }),
    ...(waitsFor.length > 0 && { waitsFor }),
  };
}
