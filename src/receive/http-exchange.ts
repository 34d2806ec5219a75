/**
 * What all receivers over HTTP share: reading a request's body within bounds, undoing its encoding, and answering once.
 * Source: spec/ingestion.md §2.1, §2.2.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { VivaceError } from '../runtime/errors.ts';
import { BODY_IDLE_MS_MAX, BodyBudget, giveBack, readBody } from '../wire/body.ts';
import { type Compression, Decompressor } from '../wire/decompress.ts';

export const HTTP_BODY_BYTES_MAX = 20 << 20;

export interface HttpBodyOptions {
  /** `max_request_body_size`: bound of the body as sent and, again, inflated. Default 20 MiB. */
  bodyBytesMax?: number;
  /** A body must bring bytes at least so often. Default 60 s. */
  bodyIdleMsMax?: number;
  /** `compression_algorithms`: the names allowed in Content-Encoding; all that are known by default. */
  compressionAlgorithms?: readonly string[];
  /** Give all receivers of a process the same two. */
  budget?: BodyBudget;
  decompressor?: Decompressor;
}

/** Reads the bodies of one receiver. */
export class HttpBodies {
  readonly #bytesMax: number;
  readonly #idleMsMax: number;
  readonly #allowed: ReadonlySet<string> | undefined;
  readonly #budget: BodyBudget;
  readonly #decompressor: Decompressor;

  constructor(options: HttpBodyOptions) {
    this.#bytesMax = options.bodyBytesMax && options.bodyBytesMax > 0 ? options.bodyBytesMax : HTTP_BODY_BYTES_MAX;
    this.#idleMsMax = options.bodyIdleMsMax ?? BODY_IDLE_MS_MAX;
    this.#allowed = options.compressionAlgorithms && new Set(options.compressionAlgorithms);
    this.#budget = options.budget ?? new BodyBudget();
    this.#decompressor = options.decompressor ?? new Decompressor();
  }

  /** Why the request's Content-Encoding cannot be undone; undefined if it can. */
  refusal(req: IncomingMessage): VivaceError | undefined {
    const encoding = firstValue(req, 'content-encoding');
    if (COMPRESSIONS.has(encoding) && (encoding === '' || (this.#allowed?.has(encoding) ?? true))) return undefined;
    const message = `unsupported Content-Encoding "${encoding}"; send gzip, deflate, zstd, snappy, lz4 or none`;
    return new VivaceError('undecodable', message);
  }

  /** Gives the plain body to `use`; its bytes as sent count against the budget until that is done, and the request as one in hand. */
  async read<T>(req: IncomingMessage, use: (body: Uint8Array<ArrayBuffer>) => Promise<T>): Promise<T> {
    const compression = COMPRESSIONS.get(firstValue(req, 'content-encoding'));
    const limits = {
      length: contentLength(req),
      bytesMax: this.#bytesMax,
      idleMsMax: this.#idleMsMax,
      budget: this.#budget,
    };
    const body = await readBody(req, limits);
    const wireBytes = body.length;
    let plain = body;
    const { places } = this.#budget;
    // What shares a connection in HTTP/2 is bounded by its streams.
    const wait = places.enter(req.httpVersionMajor === 1 ? req.socket : undefined);
    if (wait !== undefined) await wait;
    try {
      if (compression === undefined) return await use(body);
      plain = await this.#decompressor.decompress(body, compression, this.#bytesMax);
      giveBack(body);
      return await use(plain);
    } finally {
      places.leave();
      this.#budget.release(req, wireBytes);
      // Nobody has taken over the memory of what was refused.
      giveBack(plain);
    }
  }
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

/** Refused bodies are read on for so much and so long that the client sees the answer instead of a reset. */
const LINGER_BYTES_MAX = 32 << 20;
const LINGER_MS_MAX = 2000;

/** Sends a whole answer. While the request is still coming in, the connection closes after it. */
export function answer(
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
  if (type.startsWith('text/plain')) all['X-Content-Type-Options'] = 'nosniff';
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

export function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

/** The first value when a header was sent several times, which node joins. */
function firstValue(req: IncomingMessage, name: string): string {
  const joined = req.headers[name] as string | undefined;
  if (joined === undefined || !joined.includes(',')) return joined ?? '';
  const raw = req.rawHeaders;
  for (let i = 0; i + 1 < raw.length; i += 2) if (raw[i].toLowerCase() === name) return raw[i + 1];
  return joined;
}

/** Type and subtype in lower case, without parameters; '' when there is none. */
export function mediaTypeOf(header: string | undefined): string {
  if (header === undefined) return '';
  const semicolon = header.indexOf(';');
  return (semicolon < 0 ? header : header.slice(0, semicolon)).trim().toLowerCase();
}
