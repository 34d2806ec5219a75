/** Where requests of tenants are forwarded, as the configuration says it. */
import fs from 'node:fs';
import type { Configuration } from '../config/load.ts';
import type { ForwarderSettings } from '../receive/forward.ts';
import { type ForwardConditions, type ForwardFilter, forwardFilter } from '../receive/forward-filter.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';

/** Throws `invalid` for what is not supported, because spans would go where they should not. */
export function forwarderSettings({ distributor }: Configuration): ForwarderSettings[] {
  return distributor.forwarders.map(({ name, backend, otlpgrpc, filter }) => {
    const refuse = (why: string): never => {
      throw new VivaceError('invalid', `invalid configuration: distributor.forwarders ${JSON.stringify(name)}: ${why}`);
    };
    if (backend !== 'otlpgrpc') refuse(`unknown backend ${JSON.stringify(backend)}; the only one is otlpgrpc`);
    const { insecure, certFile } = otlpgrpc.tls;
    if (!insecure && certFile === '') refuse('otlpgrpc.tls needs cert_file, or insecure: true');
    const ca = insecure ? undefined : fs.readFileSync(certFile);
    const kept = filterOf(filter.traces, refuse);
    return { name, endpoints: otlpgrpc.endpoints, insecure, ...(ca && { ca }), ...(kept && { filter: kept }) };
  });
}

function filterOf(conditions: ForwardConditions, refuse: (why: string) => never): ForwardFilter | undefined {
  try {
    return forwardFilter(conditions);
  } catch (error) {
    return refuse(`filter.traces: ${messageOf(error)}`);
  }
}
