/** A server asked over HTTP: ours or Tempo's. */
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { ProtoReader, tagOf, WIRE_BYTES, WIRE_VARINT } from '../wire/protobuf.ts';
import { type HttpAnswer, httpGet } from './http-get.ts';
import type { Route, Source, TraceFound } from './source.ts';

export interface ServerOptions {
  /** `host:port`, or a URL. */
  endpoint: string;
  secure: boolean;
  pathPrefix: string;
  tenant: string | undefined;
  headers: Record<string, string>;
  /** Whether certificates of TLS are looked at. */
  verifyTls: boolean;
  /** The first version of the trace route. */
  traceV1?: boolean;
  /** Told of what the server could not look at. */
  onMissing?(what: string): void;
}

const PATHS: Record<Route, string> = {
  search: '/api/search',
  tags: '/api/v2/search/tags',
  'tag-values': '/api/v2/search/tag/{}/values',
  'metrics-range': '/api/metrics/query_range',
  'metrics-instant': '/api/metrics/query',
  explain: '/api/explain',
};

/** Asks other routes than those that every source has. Rejects unless it is answered with a status of success. */
export function serverRequest(options: ServerOptions): (path: string, method: string) => Promise<Buffer> {
  const { base, headers } = baseAndHeaders(options);
  return async (path, method) => {
    let answer: HttpAnswer;
    try {
      answer = await httpGet(`${base}${path}`, { Accept: 'application/json', ...headers }, options.verifyTls, method);
    } catch (error) {
      throw unreachable(base, error);
    }
    if (answer.status >= 300) throw refused(base, answer);
    return answer.body;
  };
}

export function baseAndHeaders(options: ServerOptions): { base: string; headers: Record<string, string> } {
  const { base, authorization } = baseOf(options);
  const headers: Record<string, string> = {
    ...(options.tenant !== undefined && { 'X-Scope-OrgID': options.tenant }),
    ...(authorization !== undefined && { Authorization: authorization }),
    ...options.headers,
  };
  return { base, headers };
}

export function serverSource(options: ServerOptions): Source {
  const { base, headers } = baseAndHeaders(options);
  const get = async (path: string, parameters: URLSearchParams, accept: string): Promise<HttpAnswer> => {
    const url = `${base}${path}${parameters.size > 0 ? `?${parameters}` : ''}`;
    try {
      const answer = await httpGet(url, { Accept: accept, ...headers }, options.verifyTls);
      const missing = /\bmissing=\((.*)\)/.exec(answer.receipt);
      if (missing !== null) options.onMissing?.(missing[1]);
      return answer;
    } catch (error) {
      throw unreachable(base, error);
    }
  };
  return {
    name: base,
    blocksOnly: false,
    async ask(route, parameters, parameter = '') {
      const path = PATHS[route].replace('{}', encodeURIComponent(parameter));
      const answer = await get(path, parameters, 'application/json');
      if (answer.status !== 200) throw refused(base, answer);
      const body = answer.body.toString('utf8');
      if (!body.trimStart().startsWith('{'))
        throw new VivaceError('invalid', `${base}${path} answered no JSON; is this the address of a Tempo API?`);
      return body;
    },
    async trace(id, parameters) {
      if (options.traceV1 !== true) {
        const answer = await get(`/api/v2/traces/${encodeURIComponent(id)}`, parameters, 'application/protobuf');
        if (answer.status === 200) return traceOf(base, answer, 'v2');
        // An older server knows the first version only.
        if (answer.status !== 404) throw refused(base, answer);
      }
      const answer = await get(`/api/traces/${encodeURIComponent(id)}`, parameters, 'application/protobuf');
      if (answer.status === 404 && !answer.body.includes('page not found')) return undefined;
      if (answer.status !== 200) throw refused(base, answer);
      return traceOf(base, answer, 'v1');
    },
    close() {},
  };
}

/** The URL without a slash at the end, and the credentials that stood in it. */
export function baseOf(options: Pick<ServerOptions, 'endpoint' | 'secure' | 'pathPrefix'>): {
  base: string;
  authorization: string | undefined;
} {
  const { endpoint } = options;
  const text = /^https?:\/\//i.test(endpoint) ? endpoint : `${options.secure ? 'https' : 'http'}://${endpoint}`;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new VivaceError('invalid', `${endpoint} is no address; write host:port, a URL, or a folder as ./folder`);
  }
  const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const prefix = options.pathPrefix.replace(/^\/*|\/+$/g, '');
  return {
    base: `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, '')}${prefix === '' ? '' : `/${prefix}`}`,
    authorization: credentials === ':' ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`,
  };
}

/** v2 answers TraceByIDResponse {1 trace, 3 status, 4 message}, also for a trace that it does not know; v1 the trace itself. */
function traceOf(base: string, { type, body }: HttpAnswer, version: 'v1' | 'v2'): TraceFound | undefined {
  if (!type.includes('protobuf'))
    throw new VivaceError('invalid', `${base} answered no protobuf for a trace; is this the address of a Tempo API?`);
  if (version === 'v1') return { bytes: body };
  let bytes = new Uint8Array();
  let status = 0;
  let message = '';
  const reader = new ProtoReader(body);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag())
    if (tag === tagOf(1, WIRE_BYTES)) bytes = Uint8Array.from(reader.bytesValue());
    else if (tag === tagOf(3, WIRE_VARINT)) status = reader.varint();
    else if (tag === tagOf(4, WIRE_BYTES)) message = reader.stringValue();
    else reader.skip(tag);
  if (bytes.length === 0) return undefined;
  return { bytes, ...(status !== 0 && { partial: message || 'only a part of the trace is here' }) };
}

export function unreachable(base: string, error: unknown): VivaceError {
  if (error instanceof VivaceError)
    return new VivaceError(error.code, `cannot use the answer of ${base}: ${error.message}`);
  // Several addresses of a host that all refused.
  const first = error instanceof AggregateError ? error.errors[0] : error;
  const { code = '', message = messageOf(first) } = first as { code?: string; message?: string };
  const why: Record<string, string> = {
    ECONNREFUSED: 'nobody listens there; start the server, or name the port of its API (3200 by default)',
    ENOTFOUND: 'there is no host of that name',
    ECONNRESET: 'the connection was closed; a server that speaks TLS wants --secure',
    EPROTO: 'it does not speak TLS; leave out --secure, or write http://',
  };
  const known =
    why[code] ?? (code.startsWith('HPE_') ? 'it does not speak HTTP/1; name the port of its API' : undefined);
  const certificate = /CERT|SELF_SIGNED|ISSUER|VERIFY|ALTNAME/.test(code)
    ? `${message.replace(/; if the root CA .*/, '')}; name the authority in NODE_EXTRA_CA_CERTS, or do without: --insecure-skip-verify`
    : undefined;
  return new VivaceError('unavailable', `cannot reach ${base}: ${known ?? certificate ?? (message || code)}`, {
    cause: error,
  });
}

export function refused(base: string, answer: HttpAnswer): VivaceError {
  const text = answer.body.toString('utf8').trim().slice(0, 2000) || '(nothing)';
  const cures: Record<number, string> = {
    401: '; name the tenant with --org-id, or credentials with --header',
    403: '; these credentials may not ask this',
    404: '; is this the address of a Tempo API? A path in front of /api goes into --path-prefix',
    429: '; ask again later, or for a shorter time',
    504: '; ask for a shorter time',
  };
  return new VivaceError(
    answer.status === 400 ? 'invalid' : 'unavailable',
    `${base} answered ${answer.status}: ${text}${cures[answer.status] ?? ''}`,
  );
}
