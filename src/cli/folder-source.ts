/** A data folder as a source: the routes of the API over its blocks, so that answers are those of a server. */
import type { BlockCatalog } from '../block/catalog.ts';
import type { RemoteSource } from '../block/source.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { Call } from '../serve/api.ts';
import { federated } from '../serve/federate.ts';
import { metrics } from '../serve/metrics.ts';
import { type ApiLimits, parseTraceId, traceParameters } from '../serve/parameters.ts';
import { search } from '../serve/search.ts';
import { tagNames, tagValues } from '../serve/tags.ts';
import type { Answer } from '../serve/respond.ts';
import { folderQueries } from './folder-queries.ts';
import type { Route, Source } from './source.ts';

export interface FolderOptions {
  catalog: BlockCatalog;
  /** Opens blocks that are in no folder. */
  remote?: RemoteSource;
  /** As messages name the folder. */
  name: string;
  /** One, or several joined by `|`. */
  tenant: string;
  nowMs: number;
  onBlock(done: number, total: number): void;
  /** Told of blocks that cannot be read. */
  onDamage(what: string): void;
}

/** Whoever reads a folder is its owner: nothing is limited but what a terminal can hold. */
const LIMITS: ApiLimits = {
  defaultResultLimit: 20,
  maxResultLimit: 0,
  maxSearchSeconds: 0,
  defaultSpss: 3,
  maxSpss: 0,
  queryBytesMax: 0,
  queryEndCutoffMs: 0,
  leftPadTraceIds: false,
  tagBytesMax: 0,
  traceBytesMax: 0,
  metrics: { maxSeconds: 0, exemplarsMax: 100, seriesMax: 0, intervalsMax: 0, endCutoffMs: 0 },
};
export const TRACE_BYTES_MAX = 100 * 1024 * 1024;

export function folderSource(options: FolderOptions): Source {
  const { catalog, name } = options;
  const tenants = options.tenant.split('|');
  for (const tenant of tenants) if (catalog.blocks(tenant).length === 0) throw noBlocks(catalog, name, tenant);
  const all = tenants.flatMap((tenant) => catalog.blocks(tenant));
  const queries = federated(folderQueries({ ...options, traceBytesMax: TRACE_BYTES_MAX }), tenants);
  const call = (parameters: URLSearchParams, parameter: string): Call => ({
    parameter,
    url: parameters,
    accept: 'application/json',
    queries,
    tenant: tenants[0],
    limits: LIMITS,
    nowMs: options.nowMs,
    signal: new AbortController().signal,
  });
  return {
    name,
    blocksOnly: true,
    async ask(route, parameters, parameter = '') {
      const ranged = new URLSearchParams(parameters);
      if (!ranged.has('start') && !ranged.has('since')) {
        // A folder is asked for everything in it.
        ranged.set('start', String(Math.max(1, Math.floor(Math.min(...all.map((block) => block.startSeconds))))));
        ranged.set('end', String(Math.ceil(Math.max(...all.map((block) => block.endSeconds))) + 1));
      }
      const { body = '' } = await routeOf(route)(call(ranged, parameter));
      return typeof body === 'string' ? body : Buffer.from(body).toString('utf8');
    },
    async trace(id, parameters) {
      const request = { tenant: tenants[0], id: parseTraceId(id), ...traceParameters(parameters), bytesMax: 0 };
      const found = await queries.trace(request, new AbortController().signal);
      return found && { bytes: found.trace, ...(found.partial !== undefined && { partial: found.partial }) };
    },
    close() {},
  };
}

function routeOf(route: Route): (call: Call) => Promise<Answer> {
  switch (route) {
    case 'search':
      return search;
    case 'tags':
      return (call) => tagNames(call, 'v2');
    case 'tag-values':
      return (call) => tagValues(call, 'v2');
    case 'metrics-range':
      return (call) => metrics(call, 'range');
    case 'metrics-instant':
      return (call) => metrics(call, 'instant');
    case 'explain':
      throw new VivaceError('unsupported', 'a folder does not explain how it is asked; ask a server');
  }
}

export function noBlocks(catalog: BlockCatalog, name: string, tenant: string): VivaceError {
  const tenants = catalog.tenants().filter((each) => catalog.blocks(each).length > 0);
  const cure =
    tenants.length === 0
      ? 'there are no blocks at all: a server writes the first one after some minutes, until then ask the server itself'
      : `it has ${tenants.join(', ')}; name one of these`;
  return new VivaceError('not-found', `no blocks of tenant ${tenant} in ${name}; ${cure}`);
}
