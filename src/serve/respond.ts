/**
 * Answers of the query API on the wire: status, type, body, compressed when that pays. Speaks to node:http and to the
 * compatibility objects of node:http2 alike.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { promisify } from 'node:util';
import { constants, gzip, gzipSync } from 'node:zlib';
import { type ErrorCode, messageOf, VivaceError } from '../runtime/errors.ts';

export interface ApiRequest {
  readonly method?: string;
  readonly url?: string;
  readonly headers: IncomingHttpHeaders;
}

export interface ApiResponse {
  statusCode: number;
  readonly writableFinished: boolean;
  setHeader(name: string, value: string | number): unknown;
  end(body?: string | Uint8Array): unknown;
  once(event: 'close', listener: () => void): unknown;
}

export interface Answer {
  status: number;
  /** Absent for an answer without a body. */
  type?: string;
  body?: string | Uint8Array;
  headers?: Record<string, string>;
}

export const TEXT = 'text/plain; charset=utf-8';
export const HTML = 'text/html; charset=utf-8';
export const JSON_TYPE = 'application/json';
export const PROTOBUF = 'application/protobuf';
export const SIMPLIFIED = 'application/vnd.grafana.llm';

/** Smaller bodies gain nothing. */
const GZIP_BYTES_MIN = 1024;

/** Up to here compressing takes less time than going to another thread and back. */
const GZIP_HERE_BYTES_MAX = 32 * 1024;

const GZIP_CHUNK_BYTES_MAX = 1 << 20;

const gzipAsync = promisify(gzip);

/** Sends the answer unless `gone`, which is looked at again after compressing. */
export async function respond(
  request: ApiRequest,
  response: ApiResponse,
  answer: Answer,
  gone: AbortSignal,
): Promise<void> {
  if (gone.aborted) return;
  let body = bytesOf(answer.body ?? '');
  response.statusCode = answer.status;
  response.setHeader('Vary', 'Accept-Encoding');
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value);
  if (answer.type !== undefined) response.setHeader('Content-Type', answer.type);
  if (body.length > GZIP_BYTES_MIN && acceptsGzip(request.headers['accept-encoding'])) {
    // Traces shrink tenfold at the lowest level; higher ones cost the server more than they save the network.
    // Each chunk that is full goes to another thread and back: 3 MB take 27 of the default size, and 30 instead of 13 ms on a busy machine.
    const chunkSize = Math.max(GZIP_BYTES_MIN, Math.min(body.length >>> 2, GZIP_CHUNK_BYTES_MAX));
    const options = { level: constants.Z_BEST_SPEED, chunkSize };
    body = body.length <= GZIP_HERE_BYTES_MAX ? gzipSync(body, options) : await gzipAsync(body, options);
    if (gone.aborted) return;
    response.setHeader('Content-Encoding', 'gzip');
  }
  if (answer.status !== 204) response.setHeader('Content-Length', body.length);
  response.end(body);
}

export function text(status: number, body: string): Answer {
  return { status, type: TEXT, body };
}

export function notFound(): Answer {
  return text(404, '404 page not found\n');
}

/** What a client is told about something thrown. Whatever is not a `VivaceError` is our own mistake. */
export function failure(error: unknown): Answer {
  if (!(error instanceof VivaceError)) return text(500, `${messageOf(error)}\n`);
  const { code, message, retryAfterMs } = error;
  const answer = text(STATUS[code], `${message}\n`);
  return retryAfterMs === undefined
    ? answer
    : { ...answer, headers: { 'Retry-After': String(Math.ceil(retryAfterMs / 1000)) } };
}

/** How each code reads on query routes (api.md §1.4). */
const STATUS: Record<ErrorCode, number> = {
  undecodable: 400,
  invalid: 400,
  'no-tenant': 401,
  unauthenticated: 401,
  denied: 403,
  'not-found': 404,
  precondition: 412,
  'too-large': 413,
  exhausted: 429,
  cancelled: 499,
  unsupported: 500,
  internal: 500,
  unavailable: 503,
  deadline: 504,
};

/** `gzip` or `*` by name, unless its weight is zero. */
export function acceptsGzip(header: string | string[] | undefined): boolean {
  let any = false;
  for (const part of String(header ?? '').split(',')) {
    const [coding, ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    if (coding !== 'gzip' && coding !== '*') continue;
    const refused = parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
    if (coding === 'gzip') return !refused;
    any = !refused;
  }
  return any;
}

/** Once: both measuring a long text and sending it would encode it. */
function bytesOf(body: string | Uint8Array): Uint8Array {
  return typeof body === 'string' ? Buffer.from(body) : body;
}
