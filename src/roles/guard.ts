/**
 * The door of every socket when `vivace.auth_file` is set: nobody gets in without credentials that allow what the request
 * is for, and the tenant header that handlers see is one that the caller may use.
 *
 *   request ─▶ open to all? ──────────────────────────────────────────────▶ handler
 *          └▶ Authorization ─▶ caller ─▶ tenants ─▶ role of the route? ──▶ handler; the caller's filter goes along
 */
import fs from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http2';
import { datagramListenersOf, listenersOf } from '../config/listeners.ts';
import type { Configuration } from '../config/load.ts';
import { type Caller, Credentials, type Role } from '../limits/credentials.ts';
import { answer, mediaTypeOf } from '../receive/http-exchange.ts';
import { otlpHttpStatus } from '../receive/otlp-http.ts';
import { TENANT_HEADER } from '../receive/tenant.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { Log } from '../runtime/log.ts';
import type { OwnMetrics } from '../runtime/metrics.ts';
import type { Access } from '../serve/api.ts';
import { checkForcedFilter } from '../serve/filtered.ts';
import { statusBytes, statusJson } from '../wire/rpc-status.ts';
import type { HttpHandler } from './receivers.ts';

export interface Guard {
  /** Serves what one socket serves: `receivers` need the role write, the API what each of its routes says. */
  http(receivers: readonly HttpHandler[], api: HttpHandler | undefined, accessOf: AccessOf): Handle;
  /** For the gRPC calls of a listener. Throws or rejects with `unauthenticated` or `denied`. */
  grpc(path: string, headers: IncomingHttpHeaders, rawHeaders: string[]): void | Promise<void>;
  /** TraceQL that the caller of a request (or of a call, by its metadata) is bound to. */
  filterOf(request: object): string | undefined;
  close(): void;
}

/** Undefined: no route of the API. */
export type AccessOf = (req: IncomingMessage) => Access | undefined;
type Handle = (req: IncomingMessage, res: ServerResponse) => void;

const TELL_MS = 1000;

/** Undefined when authentication is off. Throws `invalid` when the file cannot be used. */
export function openGuard(config: Configuration, log: Log, metrics: OwnMetrics, notFound: Handle): Guard | undefined {
  const { authFile } = config.vivace;
  if (authFile === '') return undefined;
  const [udp] = datagramListenersOf(config);
  if (udp !== undefined)
    throw new VivaceError(
      'invalid',
      `cannot start with vivace.auth_file and the UDP receiver ${udp.id} (thrift_${udp.protocol}): datagrams carry no credentials; leave that protocol out`,
    );
  for (const { host, port, tls } of listenersOf(config))
    if (tls === undefined && !isLoopback(host))
      log.log('warn', `credentials cross the network as they are: port ${port} has no TLS`, { port });
  const credentials = new Credentials({
    readFile: () => fs.readFileSync(authFile, 'utf8'),
    checkFilter: checkForcedFilter,
    onReload(error) {
      if (error === undefined) log.log('info', 'the credentials were read again', { file: authFile });
      else log.log('error', `cannot read the credentials again, the last good ones stay: ${error}`, { file: authFile });
    },
  });
  const timer = setInterval(() => credentials.reload(), Math.max(100, config.vivace.authReloadPeriodMs));
  timer.unref();
  const callers = new WeakMap<object, Caller>();
  let toldMs = 0;

  function refused(error: unknown, what: string, peer: string): void {
    const reason = error instanceof VivaceError ? error.code : 'internal';
    metrics.authRefused(reason);
    if (performance.now() - toldMs < TELL_MS) return;
    toldMs = performance.now();
    log.log('warn', `refused ${what}: ${error instanceof VivaceError ? error.message : 'internal error'}`, { peer });
  }

  function enter(
    caller: Caller,
    role: Role,
    request: object,
    headers: IncomingHttpHeaders,
    rawHeaders: string[],
  ): void {
    if (config.multitenancyEnabled) useTenant(caller, role === 'read' || role === 'write', headers, rawHeaders);
    delete headers.authorization;
    callers.set(request, caller);
  }

  return {
    http: (receivers, api, accessOf) => (req, res) => {
      const access = api && accessOf(req);
      const handle = (handlers: readonly HttpHandler[]): void => {
        for (const handler of handlers) if (handler(req, res)) return;
        notFound(req, res);
      };
      if (access === 'open') return handle([api!]);
      // Browsers ask without credentials what they may send.
      if (req.method === 'OPTIONS' && access === undefined) return handle(receivers);
      const role = access ?? 'write';
      const goOn = (caller: Caller): void => {
        if (res.destroyed) return;
        enter(caller, role, req, req.headers, req.rawHeaders);
        if (caller.roles.has('write')) for (const handler of receivers) if (handler(req, res)) return;
        mustHave(caller, role);
        if (access === undefined) notFound(req, res);
        else handle([api!]);
      };
      const refuse = (error: unknown): void => {
        refused(error, `${req.method} ${(req.url ?? '').split('?', 1)[0]}`, `${req.socket?.remoteAddress ?? ''}`);
        answerRefusal(req, res, error);
      };
      try {
        const caller = credentials.callerOf(req.headers.authorization);
        if (caller instanceof Promise) caller.then(goOn).catch(refuse);
        else goOn(caller);
      } catch (error) {
        refuse(error);
      }
    },
    grpc(path, headers, rawHeaders) {
      if (/^\/grpc\.(?:health|reflection)\./.test(path)) return;
      const role = path.startsWith('/tempopb.') ? 'read' : 'write';
      const goOn = (caller: Caller): void => {
        mustHave(caller, role);
        enter(caller, role, headers, headers, rawHeaders);
      };
      try {
        const caller = credentials.callerOf(headers.authorization);
        if (!(caller instanceof Promise)) return goOn(caller);
        return caller.then(goOn).catch((error: unknown) => {
          refused(error, path, '');
          throw error;
        });
      } catch (error) {
        refused(error, path, '');
        throw error;
      }
    },
    filterOf(request) {
      const caller = callers.get(request);
      if (caller === undefined) throw new VivaceError('unauthenticated', 'credentials are missing');
      return caller.filter;
    },
    close: () => clearInterval(timer),
  };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function mustHave(caller: Caller, role: Role): void {
  if (!caller.roles.has(role)) throw new VivaceError('denied', `the credentials ${caller.name} lack the role ${role}`);
}

/** Leaves a tenant header that the caller may use: its own, or that of its only tenant. Throws `denied`. */
function useTenant(
  { tenants, name }: Caller,
  needed: boolean,
  headers: IncomingHttpHeaders,
  rawHeaders: string[],
): void {
  if (tenants === 'all') return;
  const values = tenantsNamed(rawHeaders);
  if (values.length === 0) {
    const [only, another] = tenants;
    if (only !== undefined && another === undefined) {
      headers[TENANT_HEADER] = only;
      rawHeaders.push(TENANT_HEADER, only, `grpc-metadata-${TENANT_HEADER}`, only);
    } else if (needed) {
      const cure = only === undefined ? 'give them tenants' : 'name one in X-Scope-OrgID';
      throw new VivaceError('denied', `the credentials ${name} have ${tenants.size} tenants: ${cure}`);
    }
    return;
  }
  for (const value of values)
    for (const part of value.split('|')) {
      const tenant = part.split(':', 1)[0];
      if (tenant !== '' && !tenants.has(tenant))
        throw new VivaceError('denied', `the credentials ${name} are not for the tenant that was named`);
    }
}

/** Also under the name that gateways of gRPC have for it (`Grpc-Metadata-X-Scope-OrgID`), or whatever comes in front. */
function tenantsNamed(rawHeaders: readonly string[]): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2)
    if (rawHeaders[i].toLowerCase().endsWith(TENANT_HEADER)) values.push(rawHeaders[i + 1]);
  return values;
}

/** In the form that the request's protocol has for it. */
function answerRefusal(req: IncomingMessage, res: ServerResponse, error: unknown): void {
  const { http, status } = otlpHttpStatus(error);
  const headers: Record<string, string> =
    http === 401 ? { 'WWW-Authenticate': 'Bearer realm="vivace", Basic realm="vivace", charset="UTF-8"' } : {};
  if (http === 429 && status.retryAfterMs !== undefined)
    headers['Retry-After'] = String(Math.ceil(status.retryAfterMs / 1000));
  const type = mediaTypeOf(req.headers['content-type']);
  if (type === 'application/x-protobuf') answer(req, res, http, type, statusBytes(status), headers);
  else if (type === 'application/json') answer(req, res, http, type, statusJson(status), headers);
  else answer(req, res, http, 'text/plain; charset=utf-8', `${status.message}\n`, headers);
}
