/**
 * OTLP over HTTP: `POST /v1/traces`, protobuf or JSON, any of the encodings that collectors send.
 *
 * The order of the checks decides which of several mistakes is reported: preflight, encoding, method, media type, body,
 * decoding, tenant, acceptance. Source: spec/ingestion.md §2.1, §2.2, §3.5, §3.6.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { VivaceError } from '../runtime/errors.ts';
import { BODY_IDLE_MS_MAX, BodyBudget, readBody } from '../wire/body.ts';
import { type Compression, Decompressor } from '../wire/decompress.ts';
import { GRPC_INVALID_ARGUMENT, type RpcStatus, statusBytes, statusJson, statusOfError } from '../wire/rpc-status.ts';
import type { Receiver } from './accept.ts';
import { type CorsOptions, cors as corsRules } from './cors.ts';
import { type HandOverOptions, handOver } from './hand-over.ts';
import { otlpJsonToProto } from './otlp-json.ts';

export const HTTP_BODY_BYTES_MAX = 20 << 20;
export const TRACES_PATH = '/v1/traces';

export interface OtlpHttpOptions extends HandOverOptions {
  /** `traces_url_path`. */
  path?: string;
  /** `max_request_body_size`: bound of the body as sent and, again, inflated. Default 20 MiB. */
  bodyBytesMax?: number;
  /** A body must bring bytes at least so often. Default 60 s. */
  bodyIdleMsMax?: number;
  cors?: CorsOptions;
  /** `compression_algorithms`: the names allowed in Content-Encoding; all that are known by default. */
  compressionAlgorithms?: readonly string[];
  /** Give all receivers of a process the same two. */
  budget?: BodyBudget;
  decompressor?: Decompressor;
  /** For metrics; `otlp/otlp_receiver` over `http` by default. */
  from?: Receiver;
}

const COMPRESSIONS: ReadonlyMap<string, Compression | undefined> = new Map<string, Compression | undefined>([
  ['', undefined],
  ['gzip', 'gzip'],
  ['zstd', 'zstd'],
  ['zlib', 'zlib'],
  ['deflate', 'zlib'],
  ['snappy', 'snappy'],
  ['x-snappy-framed', 'snappy-framed'],
  ['lz4', 'lz4'],
]);

const PROTOBUF = 'application/x-protobuf';
const JSON_TYPE = 'application/json';

/** The handler: returns true when the path is ours, and then answers whatever happens. */
export function otlpHttp(options: OtlpHttpOptions): (req: IncomingMessage, res: ServerResponse) => boolean {
  const receiver = new OtlpHttpReceiver(options);
  return (req, res) => receiver.handle(req, res);
}

class OtlpHttpReceiver {
  readonly #options: OtlpHttpOptions;
  readonly #path: string;
  readonly #cors: ReturnType<typeof corsRules>;
  readonly #allowed: ReadonlySet<string> | undefined;
  readonly #bodyBytesMax: number;
  readonly #budget: BodyBudget;
  readonly #decompressor: Decompressor;
  readonly #from: Receiver;

  constructor(options: OtlpHttpOptions) {
    this.#options = options;
    this.#path = options.path ?? TRACES_PATH;
    this.#cors = corsRules(options.cors);
    this.#allowed = options.compressionAlgorithms && new Set(options.compressionAlgorithms);
    this.#bodyBytesMax = options.bodyBytesMax && options.bodyBytesMax > 0 ? options.bodyBytesMax : HTTP_BODY_BYTES_MAX;
    this.#budget = options.budget ?? new BodyBudget();
    this.#decompressor = options.decompressor ?? new Decompressor();
    this.#from = options.from ?? { receiver: 'otlp/otlp_receiver', transport: 'http' };
  }

  handle(req: IncomingMessage, res: ServerResponse): boolean {
    const path = pathOf(req.url ?? '');
    const redirect = path !== this.#path;
    if (redirect && path.replace(/\/{2,}/g, '/') !== this.#path) return false;
    if (this.#cors?.(req, res)) return true;
    const encoding = firstValue(req, 'content-encoding');
    const mediaType = mediaTypeOf(req.headers['content-type']);
    const known = this.#knows(encoding);
    if (known && redirect) return end(req, res, 307, 'text/plain', '', { Location: this.#path });
    // A media type that is not ours is the plainer mistake; an unknown encoding beats every other one.
    if (known && req.method !== 'POST')
      return end(req, res, 405, 'text/plain', '405 method not allowed, supported: [POST]');
    if (mediaType !== PROTOBUF && mediaType !== JSON_TYPE && (known || mediaType !== ''))
      return end(req, res, 415, 'text/plain', `415 unsupported media type, supported: [${JSON_TYPE}, ${PROTOBUF}]`);
    if (!known) {
      const message = `unsupported Content-Encoding "${encoding}"; send gzip, deflate, zstd, snappy, lz4 or none`;
      return this.#refuse(req, res, mediaType, new VivaceError('undecodable', message));
    }
    this.#receive(req, res, mediaType, COMPRESSIONS.get(encoding)).catch((error) =>
      this.#refuse(req, res, mediaType, error),
    );
    return true;
  }

  #knows(encoding: string): boolean {
    return (
      COMPRESSIONS.has(encoding) && (encoding === '' || this.#allowed === undefined || this.#allowed.has(encoding))
    );
  }

  async #receive(
    req: IncomingMessage,
    res: ServerResponse,
    mediaType: string,
    compression: Compression | undefined,
  ): Promise<void> {
    const length = contentLength(req);
    const limits = {
      length,
      bytesMax: this.#bodyBytesMax,
      idleMsMax: this.#options.bodyIdleMsMax ?? BODY_IDLE_MS_MAX,
      budget: this.#budget,
    };
    let body = await readBody(req, limits);
    const wireBytes = body.length;
    try {
      if (compression !== undefined) body = await this.#decompressor.decompress(body, compression, this.#bodyBytesMax);
      if (mediaType === JSON_TYPE) body = otlpJsonToProto(body);
      await handOver(this.#options, this.#from, body, req.rawHeaders);
    } finally {
      this.#budget.release(req, wireBytes);
    }
    const answer = mediaType === JSON_TYPE ? ACCEPTED_JSON : ACCEPTED_PROTOBUF;
    res.writeHead(200, answer.headers).end(answer.body);
  }

  #refuse(req: IncomingMessage, res: ServerResponse, mediaType: string, error: unknown): true {
    const { http, status } = otlpHttpStatus(error);
    const headers: Record<string, string> = {};
    if (status.retryAfterMs !== undefined && (http === 429 || http === 503))
      headers['Retry-After'] = String(Math.ceil(status.retryAfterMs / 1000));
    if (mediaType === PROTOBUF) return end(req, res, http, PROTOBUF, statusBytes(status), headers);
    return end(req, res, http, JSON_TYPE, statusJson(status), headers);
  }
}

/** Both answers of OTLP/HTTP to an error: the HTTP status and the body's google.rpc.Status. */
export function otlpHttpStatus(error: unknown): { http: number; status: RpcStatus } {
  const status = statusOfError(error);
  // gRPC calls these internal and exhausted; HTTP blames the request (spec/ingestion.md §3.5).
  if (error instanceof VivaceError && (error.code === 'undecodable' || error.code === 'too-large'))
    return { http: 400, status: { ...status, code: GRPC_INVALID_ARGUMENT } };
  return { http: HTTP_OF_GRPC[status.code] ?? 500, status };
}

const HTTP_OF_GRPC: Record<number, number> = {
  1: 503,
  3: 400,
  4: 503,
  5: 404,
  7: 403,
  8: 429,
  10: 503,
  11: 503,
  12: 404,
  14: 503,
  15: 503,
  16: 401,
};

const ACCEPTED_PROTOBUF = accepted(PROTOBUF, Buffer.from([0x0a, 0x00]));
const ACCEPTED_JSON = accepted(JSON_TYPE, Buffer.from('{"partialSuccess":{}}'));

function accepted(type: string, body: Buffer) {
  return { headers: { 'Content-Type': type, 'Content-Length': body.length }, body };
}

/** Refused bodies are read on for so much and so long that the client sees the answer instead of a reset. */
const LINGER_BYTES_MAX = 32 << 20;
const LINGER_MS_MAX = 2000;

/** Sends a whole answer. While the request is still coming in, the connection closes after it. */
function end(
  req: IncomingMessage,
  res: ServerResponse,
  status: number,
  type: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): true {
  if (res.headersSent || res.destroyed) return true;
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  const all: Record<string, string | number> = { ...headers, 'Content-Type': type, 'Content-Length': length };
  if (type === 'text/plain') all['X-Content-Type-Options'] = 'nosniff';
  const bodiless = req.method === 'HEAD';
  if (req.complete || req.httpVersionMajor >= 2 || !hasBody(req)) {
    res.writeHead(status, all).end(bodiless ? undefined : body);
    req.resume();
    return true;
  }
  all['Connection'] = 'close';
  res.writeHead(status, all);
  if (!bodiless) res.write(body);
  linger(req, res);
  return true;
}

/** Throws away what the client still sends, within bounds, and then ends the answer, which closes the connection. */
function linger(req: IncomingMessage, res: ServerResponse): void {
  let seen = 0;
  const timer = setTimeout(finish, LINGER_MS_MAX);
  req.removeAllListeners('data');
  req.on('data', (chunk: Buffer) => {
    if ((seen += chunk.length) > LINGER_BYTES_MAX) finish();
  });
  req.on('end', finish);
  req.on('close', finish);
  req.resume();

  function finish(): void {
    clearTimeout(timer);
    res.end();
  }
}

function hasBody(req: IncomingMessage): boolean {
  const { headers } = req;
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** The announced length; undefined when chunked, which wins over a length. */
function contentLength(req: IncomingMessage): number | undefined {
  const { headers } = req;
  if (headers['transfer-encoding'] !== undefined || headers['content-length'] === undefined) return undefined;
  return Number(headers['content-length']);
}

function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

/** Type and subtype in lower case, without parameters; '' when there is none. */
function mediaTypeOf(header: string | undefined): string {
  if (header === undefined || header === PROTOBUF || header === JSON_TYPE) return header ?? '';
  const semicolon = header.indexOf(';');
  return (semicolon < 0 ? header : header.slice(0, semicolon)).trim().toLowerCase();
}

/** The first value when a header was sent several times, which node joins. */
function firstValue(req: IncomingMessage, name: string): string {
  const joined = req.headers[name] as string | undefined;
  if (joined === undefined || !joined.includes(',')) return joined ?? '';
  const raw = req.rawHeaders;
  for (let i = 0; i + 1 < raw.length; i += 2) if (raw[i].toLowerCase() === name) return raw[i + 1];
  return joined;
}
