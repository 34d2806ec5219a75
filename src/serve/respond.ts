/**
 * Answers of the query API on the wire: status, type, body, compressed when that pays. Speaks to node:http and to the
 * compatibility objects of node:http2 alike.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip, gzipSync } from 'node:zlib';
import { type ErrorCode, messageOf, VivaceError } from '../runtime/errors.ts';

export interface ApiRequest {
  readonly method?: string;
  readonly url?: string;
  readonly headers: IncomingHttpHeaders;
}

export interface ApiResponse extends NodeJS.WritableStream {
  statusCode: number;
  readonly writableFinished: boolean;
  setHeader(name: string, value: string | number): unknown;
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

/**
 * Pieces of a larger body, before and after compressing: the client decompresses the first ones while the last ones are compressed. Each
 * goes to another thread and back, so that small ones take longer (3 MB 30 instead of 13 ms in 27 pieces on a busy machine).
 */
const PIECE_BYTES = 512 * 1024;
const GZIP_CHUNK_BYTES_MAX = 128 * 1024;

/** Sends the answer unless `gone`, which is looked at again after compressing. */
export async function respond(
  request: ApiRequest,
  response: ApiResponse,
  answer: Answer,
  gone: AbortSignal,
): Promise<void> {
  if (gone.aborted) return;
  let body: Uint8Array = bytesOf(answer.body ?? '');
  response.statusCode = answer.status;
  response.setHeader('Vary', 'Accept-Encoding');
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value);
  if (answer.type !== undefined) response.setHeader('Content-Type', answer.type);
  if (body.length > GZIP_BYTES_MIN && acceptsGzip(request.headers['accept-encoding'])) {
    response.setHeader('Content-Encoding', 'gzip');
    // Traces shrink tenfold at the lowest level; higher ones cost the server more than they save the network.
    const options = { level: constants.Z_BEST_SPEED, chunkSize: Math.min(body.length >>> 2, GZIP_CHUNK_BYTES_MAX) };
    if (body.length > GZIP_HERE_BYTES_MAX) return sendCompressed(response, body, options, gone);
    body = gzipSync(body, options);
  }
  if (answer.status !== 204) response.setHeader('Content-Length', body.length);
  response.end(body);
}

/** Compresses while it sends. */
async function sendCompressed(
  response: ApiResponse,
  body: Uint8Array,
  options: { level: number; chunkSize: number },
  gone: AbortSignal,
): Promise<void> {
  const pieces = function* (): Generator<Uint8Array> {
    for (let at = 0; at < body.length; at += PIECE_BYTES) yield body.subarray(at, at + PIECE_BYTES);
  };
  try {
    await pipeline(Readable.from(pieces()), createGzip(options), response);
  } catch (error) {
    if (!gone.aborted) throw error;
  }
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
