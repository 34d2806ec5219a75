/** The common end of every receiver of OTLP bytes: whose they are, hand them over, report what became of them. */
import { VivaceError } from '../runtime/errors.ts';
import type { Accept, ReceiveHooks, Receiver } from './accept.ts';
import { countSpans } from './otlp-scan.ts';
import { tenantOf, tenantValues } from './tenant.ts';

export interface HandOverOptions extends ReceiveHooks {
  accept: Accept;
  /** `multitenancy_enabled`. */
  multitenancy?: boolean;
  /** Requests without spans need a tenant, too. */
  emptyNeedsTenant?: boolean;
}

/**
 * Resolves when the request is taken, rejects with the VivaceError to answer. `rawHeaders`: as sent, name, value, … .
 * A request without spans is taken even when its tenant is missing, if the protocol has it so: nothing to store needs no
 * owner.
 */
export async function handOver(
  options: HandOverOptions,
  from: Receiver,
  body: Uint8Array<ArrayBuffer>,
  rawHeaders: readonly string[],
): Promise<void> {
  // Counted first, for the bytes are gone afterwards.
  const spans = countSpans(body);
  const multitenancy = options.multitenancy ?? false;
  let tenant: string;
  try {
    tenant = tenantOf(multitenancy, multitenancy ? tenantValues(rawHeaders) : []);
  } catch (error) {
    if (spans === 0 && !options.emptyNeedsTenant) return;
    if (spans < 0) throw new VivaceError('undecodable', 'cannot decode ExportTraceServiceRequest: broken protobuf');
    if (spans > 0) options.onRefused?.(from, spans);
    throw error;
  }
  let accepted: number;
  try {
    accepted = await options.accept(tenant, body, from);
  } catch (error) {
    // What cannot be decoded has no spans to count.
    const undecodable = error instanceof VivaceError && error.code === 'undecodable';
    if (spans > 0 && !undecodable) options.onRefused?.(from, spans, tenant, error);
    throw error;
  }
  options.onAccepted?.(from, accepted);
}
