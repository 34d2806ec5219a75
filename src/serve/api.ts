/**
 * The HTTP query API that Grafana, scripts and people use (api.md §2). One table of routes; a route turns a request into
 * an `Answer`, and one place around them finds the tenant, watches for the client's leaving, counts, and turns what was
 * thrown into a status. Verbs are not looked at, unknown parameters are ignored, and of repeated ones the first counts.
 */
import { VivaceError } from '../runtime/errors.ts';
import { deletedTraces, deleteTrace, refuseDeletion, type TraceDeletions } from './deletions-api.ts';
import { withDeadline } from './deadline.ts';
import { explain, explains, withExplanations } from './explain.ts';
import { federated } from './federate.ts';
import { filtered } from './filtered.ts';
import { metrics } from './metrics.ts';
import { metricsSummary } from './metrics-summary.ts';
import { type OverridesStore, overridesApi } from './overrides-api.ts';
import type { ApiLimits } from './parameters.ts';
import type { Explanation, Queries, Receipt } from './queries.ts';
import { joinReceipts, overheard, RECEIPT_HEADER, receiptHeader, withReceiptInBody } from './receipt.ts';
import {
  type Answer,
  type ApiRequest,
  type ApiResponse,
  failure,
  JSON_TYPE,
  notFound,
  respond,
  text,
} from './respond.ts';
import { previewJson, type RetentionPreview } from './retention-preview.ts';
import { search } from './search.ts';
import { type BuildInfo, rootPage, type StatusSources, statusPage, tenantPage } from './status-pages.ts';
import { tagNames, tagValues } from './tags.ts';
import { type TenantRules, tenantsOf } from './tenant.ts';
import { traceV1, traceV2 } from './trace.ts';

export interface ApiOptions extends Omit<StatusSources, 'endpoints'> {
  queries: Queries;
  limits(tenant: string): ApiLimits;
  tenants: TenantRules;
  /** `http_api_prefix`: put in front of `/api…` routes and of nothing else. Empty, or `/` and a name. */
  pathPrefix: string;
  /** Time after which a query is given up; 0 for never. */
  timeoutMs: number;
  /** Time after which a search is answered 504; 0 for never. */
  searchTimeoutMs?: number;
  /** Throws for a URL of a query that is not wanted. */
  checkUrl?(url: string): void;
  nowMs(): number;
  /** Whether to send traffic here; the reason is shown to the operator. */
  ready(): { ok: true } | { ok: false; reason: string };
  /** Prometheus text. */
  metrics(): Promise<string>;
  /** Cuts live traces to blocks, of one tenant or of all. Rejects with `not-found` for a tenant that has none. */
  flush(tenant: string | undefined): Promise<void>;
  /** Begins to stop the process; called once the answer is on its way. */
  shutdown(): void;
  /** Where tenants set limits themselves; without it there is no such route. */
  overrides?: OverridesStore;
  /** Deletes traces; without it whoever wants to is refused. */
  deletions?: TraceDeletions;
  /** What rules of retention come to: those of the tenant, or these. */
  previewRetention?(tenant: string, rules: string[]): Promise<RetentionPreview>;
  /** TraceQL that whoever sent the request is bound to; may throw what the client is to be told. */
  filterOf?(request: object): string | undefined;
  /** Told of every answer, 499 standing for a client that did not wait. `route` is one of few: safe as a label. */
  onRequest?(route: string, method: string, status: number, seconds: number): void;
  /** Told of every query that a tenant asked. */
  onQuery?(op: QueryOp, tenant: string, result: 'completed' | 'canceled', seconds: number, bytesRead: number): void;
  /** Told of what was answered with a status of 500 or more because of something thrown. */
  onError?(route: string, error: unknown): void;
}

export type QueryOp = 'traces' | 'search' | 'metadata' | 'metrics';

/** One query of a known tenant. */
export interface Call {
  /** What stands in the path in place of the route's parameter, decoded; empty for routes without one. */
  parameter: string;
  url: URLSearchParams;
  accept: string;
  queries: Queries;
  tenant: string;
  limits: ApiLimits;
  nowMs: number;
  /** Aborted when nobody waits for the answer any more. */
  signal: AbortSignal;
}

/** What a route asks of a caller where there is authentication. */
export type Access = 'open' | 'read' | 'metrics' | 'admin';

interface Route {
  access: Access;
  /** The only one that it is for, in place of another route with the same path. */
  method?: string;
  /** As in documents: `/api/traces/{traceID}`. */
  path: string;
  /** The words of `route` labels. */
  label: string;
  handle(request: Incoming): Answer | Promise<Answer>;
}

interface Incoming {
  parameter: string;
  url: URLSearchParams;
  request: ApiRequest;
  signal: AbortSignal;
}

/**
 * Answers the routes of the API and returns true; returns false and touches nothing when the path is none of them, so
 * that other handlers of the same port can be asked. See `answerNotFound` for the end of that chain.
 */
export function api(options: ApiOptions): (request: ApiRequest, response: ApiResponse) => boolean {
  const routeOf = router(options);
  return (request, response) => {
    const found = routeOf(request);
    if (found === undefined) return false;
    void serve(options, found.route, found.rawParameter, request, response);
    return true;
  };
}

/** What the route of a request asks of its caller; undefined when it is no route of the API. */
export function accessOf(options: ApiOptions): (request: ApiRequest) => Access | undefined {
  const routeOf = router(options);
  return (request) => routeOf(request)?.route.access;
}

function router(options: ApiOptions): (request: ApiRequest) => { route: Route; rawParameter: string } | undefined {
  const match = matcher(routes(options));
  return (request) => {
    const path = pathOf(request);
    const method = request.method ?? 'GET';
    // Scripts for debugging ask queriers past the front end; both are one here.
    const isMirrored = path.startsWith(`/querier${options.pathPrefix}/api/`);
    return match(isMirrored ? path.slice('/querier'.length) : path, method);
  };
}

/** What a request gets that no handler wanted. */
export function answerNotFound(request: ApiRequest, response: ApiResponse): void {
  void respond(request, response, notFound(), new AbortController().signal);
}

async function serve(
  options: ApiOptions,
  route: Route,
  rawParameter: string,
  request: ApiRequest,
  response: ApiResponse,
): Promise<void> {
  const startMs = options.nowMs();
  const gone = new AbortController();
  const stop = new AbortController();
  response.once('close', () => {
    if (response.writableFinished) return;
    gone.abort();
    stop.abort();
  });
  let status = 500;
  try {
    const handled = async () => {
      const url = new URLSearchParams(request.url?.slice(pathOf(request).length + 1));
      return route.handle({ parameter: decoded(rawParameter), url, request, signal: stop.signal });
    };
    const answer = await inTime(handled(), options.timeoutMs, stop).catch((error: unknown) => {
      const told = failure(error);
      if (told.status >= 500 && !gone.signal.aborted) options.onError?.(route.path, error);
      return told;
    });
    status = answer.status;
    await respond(request, response, answer, gone.signal);
  } catch (error) {
    options.onError?.(route.path, error);
    response.end();
  }
  const seconds = (options.nowMs() - startMs) / 1000;
  options.onRequest?.(route.label, request.method ?? 'GET', gone.signal.aborted ? 499 : status, seconds);
  if (route.path === '/shutdown') options.shutdown();
}

/** The answer, or 503 when it takes too long, whether or not the one who is asked listens to `stop`. */
async function inTime(answer: Promise<Answer>, timeoutMs: number, stop: AbortController): Promise<Answer> {
  if (timeoutMs <= 0) return answer;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Answer>((resolve) => {
    timer = setTimeout(() => {
      resolve(text(503, 'unable to process request in the configured timeout\n'));
      stop.abort();
    }, timeoutMs);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

function routes(options: ApiOptions): Route[] {
  const query = (path: string, op: QueryOp, ask: (call: Call) => Promise<Answer>): Route => ({
    path: options.pathPrefix + path,
    label: labelOf(options.pathPrefix + path),
    access: 'read',
    handle(incoming) {
      options.checkUrl?.(incoming.request.url ?? '');
      return queried(options, op, ask, incoming);
    },
  });
  const plain = (path: string, access: Access, handle: Route['handle']): Route => ({
    path,
    label: labelOf(path),
    access,
    handle,
  });
  const ofOneTenant = ({ request }: Incoming): string => {
    if (options.filterOf?.(request) !== undefined)
      throw new VivaceError(
        'denied',
        'cannot see to all traces of a tenant with credentials that see only some of them',
      );
    const rules = { ...options.tenants, multiTenantQueriesEnabled: false };
    return tenantsOf(request.headers['x-scope-orgid'], rules)[0];
  };
  const { deletions } = options;
  const deleting = (path: string): Route => ({
    ...plain(options.pathPrefix + path, 'admin', (incoming) =>
      deletions === undefined ? refuseDeletion() : deleteTrace(deletions, ofOneTenant(incoming), incoming.parameter),
    ),
    method: 'DELETE',
  });
  const deleted = (path: string): Route =>
    plain(options.pathPrefix + path, 'admin', (incoming) =>
      deletions === undefined ? refuseDeletion() : deletedTraces(deletions, ofOneTenant(incoming), incoming.parameter),
    );
  const table: Route[] = [
    deleting('/api/traces/{traceID}'),
    deleting('/api/v2/traces/{traceID}'),
    deleted('/api/deleted-traces'),
    deleted('/api/deleted-traces/{traceID}'),
    query('/api/traces/{traceID}', 'traces', traceV1),
    query('/api/v2/traces/{traceID}', 'traces', traceV2),
    query('/api/search', 'search', search),
    query('/api/search/tags', 'metadata', (call) => tagNames(call, 'v1')),
    query('/api/v2/search/tags', 'metadata', (call) => tagNames(call, 'v2')),
    query('/api/search/tag/{tagName}/values', 'metadata', (call) => tagValues(call, 'v1')),
    query('/api/v2/search/tag/{tagName}/values', 'metadata', (call) => tagValues(call, 'v2')),
    query('/api/metrics/query_range', 'metrics', (call) => metrics(call, 'range')),
    query('/api/metrics/query', 'metrics', (call) => metrics(call, 'instant')),
    query('/api/metrics/summary', 'metrics', metricsSummary),
    query('/api/explain', 'search', explain),
    plain(`${options.pathPrefix}/api/echo`, 'open', () => text(200, 'echo')),
    plain(`${options.pathPrefix}/api/status/buildinfo`, 'read', () => buildInfo(options.buildInfo)),
    plain('/ready', 'open', () => readiness(options.ready())),
    plain('/metrics', 'metrics', async () => ({
      status: 200,
      type: 'text/plain; version=0.0.4; charset=utf-8',
      body: await options.metrics(),
    })),
    plain('/flush', 'admin', async ({ url }) => {
      await options.flush(url.get('tenant') || undefined);
      return { status: 204 };
    }),
    plain('/shutdown', 'admin', () => text(200, 'shutdown job acknowledged')),
    plain('/', 'read', ({ request }) =>
      rootPage(request.headers.accept ?? '', originOf(request), options.pathPrefix, options.buildInfo.version),
    ),
  ];
  const { overrides } = options;
  if (overrides !== undefined)
    table.push(
      plain(`${options.pathPrefix}/api/overrides`, 'admin', ({ request, url }) => {
        const rules = { ...options.tenants, multiTenantQueriesEnabled: false };
        const [tenant] = tenantsOf(request.headers['x-scope-orgid'], rules);
        return overridesApi(overrides, tenant, request, url);
      }),
    );
  const { previewRetention } = options;
  if (previewRetention !== undefined)
    table.push(
      plain(`${options.pathPrefix}/api/retention/preview`, 'admin', async (incoming) => {
        const preview = await previewRetention(ofOneTenant(incoming), incoming.url.getAll('rule'));
        return { status: 200, type: JSON_TYPE, body: previewJson(preview) };
      }),
    );
  const endpoints = table.map(({ label, path }) => ({ name: label, path }));
  const sources = { ...options, endpoints };
  table.push(plain('/status', 'admin', ({ url }) => statusPage('', url, sources)));
  table.push(plain('/status/overrides/{tenant}', 'admin', ({ parameter }) => tenantPage(parameter, sources)));
  table.push(plain('/status/{endpoint}', 'admin', ({ parameter, url }) => statusPage(parameter, url, sources)));
  return table;
}

async function queried(
  options: ApiOptions,
  op: QueryOp,
  ask: (call: Call) => Promise<Answer>,
  { parameter, url, request, signal }: Incoming,
): Promise<Answer> {
  const tenants = tenantsOf(request.headers['x-scope-orgid'], options.tenants);
  const startMs = options.nowMs();
  const receipts: Receipt[] = [];
  const explanations: Explanation[] | undefined = explains(url) ? [] : undefined;
  const filter = options.filterOf?.(request);
  const all = federated(options.queries, tenants);
  const queries = overheard(filter === undefined ? all : filtered(all, filter), {
    onReceipt: (receipt) => void receipts.push(receipt),
    ...(explanations && { onExplanation: (explanation) => void explanations.push(explanation) }),
  });
  try {
    const call: Call = {
      parameter,
      url,
      accept: request.headers.accept ?? '',
      queries,
      tenant: tenants[0],
      limits: options.limits(tenants[0]),
      nowMs: startMs,
      signal,
    };
    const timeoutMs = op === 'search' ? (options.searchTimeoutMs ?? 0) : 0;
    const answer = await withDeadline(timeoutMs, SEARCH_TIMEOUT, signal, (limited) =>
      ask({ ...call, signal: limited }),
    );
    const explained = explanations === undefined ? answer : withExplanations(answer, explanations);
    if (receipts.length === 0) return explained;
    return receipted(explained, joinReceipts(receipts), url.get('receipt') === 'true');
  } finally {
    const result = signal.aborted ? 'canceled' : 'completed';
    const bytes = receipts.reduce((sum, receipt) => sum + receipt.bytes.read, 0);
    options.onQuery?.(op, tenants.join('|'), result, (options.nowMs() - startMs) / 1000, bytes);
  }
}

/** Of `searchTimeoutMs`. */
export const SEARCH_TIMEOUT = 'query_frontend.search.timeout';

function receipted(answer: Answer, receipt: Receipt, inBody: boolean): Answer {
  const { body, type } = answer;
  return {
    ...answer,
    ...(inBody && body !== undefined && type?.includes('json') && { body: withReceiptInBody(body, receipt) }),
    headers: { ...answer.headers, [RECEIPT_HEADER]: receiptHeader(receipt) },
  };
}

function readiness(ready: ReturnType<ApiOptions['ready']>): Answer {
  return ready.ok ? text(200, 'ready\n') : text(503, `${ready.reason}\n`);
}

function buildInfo(info: BuildInfo): Answer {
  const { version, revision, branch, buildUser, buildDate, goVersion } = info;
  const body = JSON.stringify({ version, revision, branch, buildUser, buildDate, goVersion });
  return { status: 200, type: 'application/json', body };
}

/** `/api/v2/traces/{traceID}` as `api_v2_traces_traceid`. */
function labelOf(path: string): string {
  return path === '/' ? 'root' : path.slice(1).replaceAll('/', '_').replace(/[{}]/g, '').toLowerCase();
}

/** Finds the route of a path as the client wrote it, still encoded. Fixed paths win over those with a parameter. */
function matcher(table: Route[]): (path: string, method: string) => { route: Route; rawParameter: string } | undefined {
  const fixed = new Map<string, Route>();
  const open: { before: string; after: string; route: Route }[] = [];
  for (const route of table) {
    const [before, after] = route.path.split(/\{.*\}/);
    if (after === undefined) fixed.set(route.path, route);
    else open.push({ before, after, route });
  }
  return (path, method) => {
    const exact = fixed.get(path);
    if (exact) return { route: exact, rawParameter: '' };
    for (const { before, after, route } of open) {
      if (route.method !== undefined && route.method !== method) continue;
      if (path.length <= before.length + after.length || !path.startsWith(before) || !path.endsWith(after)) continue;
      const rawParameter = path.slice(before.length, path.length - after.length);
      // Names of attributes may hold slashes; nothing else may.
      if (after !== '' || !rawParameter.includes('/')) return { route, rawParameter };
    }
    return undefined;
  };
}

function decoded(rawParameter: string): string {
  try {
    return decodeURIComponent(rawParameter);
  } catch (cause) {
    throw new VivaceError('invalid', `invalid URL escape in ${JSON.stringify(rawParameter)}`, { cause });
  }
}

function pathOf(request: ApiRequest): string {
  const url = request.url ?? '/';
  const question = url.indexOf('?');
  return question < 0 ? url : url.slice(0, question);
}

function originOf({ headers }: ApiRequest): string {
  const host = headers.host ?? String(headers[':authority'] ?? 'localhost:3200');
  return `http://${host}`;
}
