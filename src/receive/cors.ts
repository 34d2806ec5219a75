/** Cross-origin requests of browsers. Source: spec/ingestion.md §2.3 and https://fetch.spec.whatwg.org/#http-cors-protocol */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** `cors` of a receiver. No allowed origins: off. */
export interface CorsOptions {
  /** Exact origins or with one `*` as wildcard; `*` alone allows all. */
  readonly allowedOrigins: readonly string[];
  /** Replaces the default names; `*` allows all. */
  readonly allowedHeaders?: readonly string[];
  readonly maxAgeS?: number;
}

const ALLOWED_METHODS = ['GET', 'POST', 'HEAD'];
const ALLOWED_HEADERS = ['accept', 'content-type', 'x-requested-with'];
const PREFLIGHT_VARY = 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers';

/** Sets the answer's headers for the request's origin; answers a preflight whole and returns true. */
export type Cors = (req: IncomingMessage, res: ServerResponse) => boolean;

/** The rules as a function; undefined when CORS is off. */
export function cors(options: CorsOptions | undefined): Cors | undefined {
  if (options === undefined || options.allowedOrigins.length === 0) return undefined;
  const origins = options.allowedOrigins.map((origin) => origin.toLowerCase());
  const names = options.allowedHeaders?.length ? options.allowedHeaders : ALLOWED_HEADERS;
  const headers = new Set(names.map((name) => name.toLowerCase()));
  return (req, res) => {
    const origin = req.headers.origin;
    const allowed = origin === undefined ? undefined : allowedOrigin(origins, origin);
    const method = req.headers['access-control-request-method'];
    if (req.method !== 'OPTIONS' || origin === undefined || method === undefined) {
      res.setHeader('Vary', 'Origin');
      if (allowed !== undefined) allow(res, allowed);
      return false;
    }
    res.setHeader('Vary', PREFLIGHT_VARY);
    const asked = req.headers['access-control-request-headers'];
    if (allowed !== undefined && ALLOWED_METHODS.includes(method) && headersAllowed(headers, asked)) {
      allow(res, allowed);
      res.setHeader('Access-Control-Allow-Methods', method);
      if (asked) res.setHeader('Access-Control-Allow-Headers', asked);
      if (options.maxAgeS) res.setHeader('Access-Control-Max-Age', options.maxAgeS);
    }
    res.writeHead(204).end();
    return true;
  };
}

function allow(res: ServerResponse, origin: string): void {
  res.setHeader('Access-Control-Allow-Origin', origin);
  res.setHeader('Access-Control-Allow-Credentials', 'true');
}

/** What to answer as the allowed origin, undefined for a foreign one. */
function allowedOrigin(patterns: readonly string[], origin: string): string | undefined {
  const asked = origin.toLowerCase();
  if (patterns.includes('*')) return '*';
  return patterns.some((pattern) => originMatches(pattern, asked)) ? origin : undefined;
}

function originMatches(pattern: string, origin: string): boolean {
  const star = pattern.indexOf('*');
  if (star < 0) return pattern === origin;
  const before = pattern.slice(0, star);
  const after = pattern.slice(star + 1);
  return origin.length >= before.length + after.length && origin.startsWith(before) && origin.endsWith(after);
}

/** Names as browsers send them: lower-case, sorted, unique, separated by commas. */
function headersAllowed(allowed: ReadonlySet<string>, asked: string | undefined): boolean {
  if (asked === undefined || asked === '' || allowed.has('*')) return true;
  let last = '';
  for (const part of asked.split(',')) {
    const name = part.trim();
    if (name <= last || !allowed.has(name)) return false;
    last = name;
  }
  return true;
}
