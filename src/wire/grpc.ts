/**
 * The server side of gRPC over node:http2: framing, compression, limits, deadlines, cancellation, errors as trailers.
 *
 *   request   HEADERS, DATA*            message = flag(1: 1 = compressed) length(4, big-endian) bytes
 *   answer    HEADERS, DATA*, HEADERS   the last with grpc-status, grpc-message, grpc-status-details-bin
 *   refusal   HEADERS alone, both in one ("trailers only")
 *
 * DATA is copied straight into one buffer of the message's exact size, allocated when its prefix is known.
 * Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, spec/ingestion.md §2.4–2.6.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import zlib from 'node:zlib';
import { VivaceError } from '../runtime/errors.ts';
import { BODY_IDLE_MS_MAX, BodyBudget } from './body.ts';
import { type Compression, Decompressor } from './decompress.ts';
import { GrpcMessages } from './grpc-messages.ts';
import type { Http2Buffers } from './http2-buffers.ts';
import {
  GRPC_DEADLINE_EXCEEDED,
  GRPC_INTERNAL,
  GRPC_INVALID_ARGUMENT,
  GRPC_UNIMPLEMENTED,
  GRPC_UNKNOWN,
  percentEncode,
  RpcFailure,
  type RpcStatus,
  statusBytes,
  statusOfError,
} from './rpc-status.ts';
import { snappyFramed } from './snappy.ts';

export const GRPC_MESSAGE_BYTES_MAX = 4 << 20;

/** What a handler may know about its call. */
export interface GrpcCall {
  /** The request's headers; a key that was sent twice has its values joined by ', '. */
  readonly metadata: IncomingHttpHeaders;
  /** The headers as sent: name, value, name, value, … */
  readonly rawMetadata: readonly string[];
  /** Aborted when the client cancels or disconnects and when the deadline passes. */
  readonly signal: AbortSignal;
  /** Time that the client gave at the start of the call; undefined without a limit. */
  readonly deadlineMs: number | undefined;
  /** Address of the client, as `ip:port`. */
  readonly peer: string;
  /** Adds a header behind the answer of a call that does not fail. */
  trailer(name: string, value: string): void;
}

/** One message in, one message out. The message's ArrayBuffer holds nothing else and belongs to the handler. */
export interface UnaryMethod {
  readonly kind: 'unary';
  /** Bound of one request message, on the wire and inflated; 4 MiB if absent. */
  readonly maxRequestBytes?: number;
  handle(message: Uint8Array<ArrayBuffer>, call: GrpcCall): Promise<Uint8Array>;
}

/** One message in, any number out. Written with back pressure: the next one is asked for when the last is on its way. */
export interface ServerStreamMethod {
  readonly kind: 'server-stream';
  readonly maxRequestBytes?: number;
  handle(message: Uint8Array<ArrayBuffer>, call: GrpcCall): AsyncIterable<Uint8Array>;
}

/** Messages in, messages out, each at its own pace. */
export interface BidiMethod {
  readonly kind: 'bidi';
  readonly maxRequestBytes?: number;
  handle(messages: AsyncIterable<Uint8Array<ArrayBuffer>>, call: GrpcCall): AsyncIterable<Uint8Array>;
}

export type GrpcMethod = UnaryMethod | ServerStreamMethod | BidiMethod;

/** Handlers by full method path, `/package.Service/Method`. A handler fails by throwing VivaceError. */
export type GrpcService = Readonly<Record<string, GrpcMethod>>;

/** All that a listener serves. */
export type GrpcRouter = ReadonlyMap<string, GrpcMethod>;

/** Joins services into one router. */
export function grpcRouter(...services: GrpcService[]): GrpcRouter {
  return new Map(services.flatMap((service) => Object.entries(service)));
}

/** What the calls of one listener share. */
export interface GrpcSettings {
  readonly budget: BodyBudget;
  readonly decompressor: Decompressor;
  /** A request whose message makes no progress for so long is ended. */
  readonly idleMsMax: number;
  /** Asked before a message is read; may change the headers that handlers see. Throws or rejects to refuse the call. */
  readonly authorize?: Authorize;
}

export type Authorize = (path: string, headers: IncomingHttpHeaders, rawHeaders: string[]) => void | Promise<void>;

export function grpcSettings(options: Partial<GrpcSettings> = {}): GrpcSettings {
  return {
    budget: options.budget ?? new BodyBudget(),
    decompressor: options.decompressor ?? new Decompressor(),
    idleMsMax: options.idleMsMax ?? BODY_IDLE_MS_MAX,
    ...(options.authorize && { authorize: options.authorize }),
  };
}

/** Whether a content type is meant for gRPC, if only to be refused by it. */
export function isGrpcContentType(contentType: string | undefined): boolean {
  return contentType?.startsWith('application/grpc') === true;
}

/** Serves one HTTP/2 request as a call; `buffers` are those of its session. */
export function serveGrpc(
  router: GrpcRouter,
  settings: GrpcSettings,
  buffers: Http2Buffers,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: string[],
): void {
  buffers.add(stream);
  stream.on('error', ignore);
  // Headers and a reset may have come in one packet.
  if (stream.destroyed || stream.closed) return;
  const method = router.get(headers[':path'] as string);
  const timeout = headers['grpc-timeout'] as string | undefined;
  const deadlineMs = timeout === undefined ? undefined : timeoutMs(timeout);
  const refusal = refusalOf(headers, method, deadlineMs);
  if (refusal !== undefined) {
    const { http, code, message } = refusal;
    refuse(stream, { code, message }, http);
    return;
  }
  const begin = (): void => {
    if (!stream.destroyed && !stream.closed)
      new Call(stream, headers, rawHeaders, deadlineMs, method as GrpcMethod, settings, buffers);
  };
  try {
    const authorized = settings.authorize?.(headers[':path'] as string, headers, rawHeaders);
    if (authorized === undefined) begin();
    else authorized.then(begin).catch((error: unknown) => refuse(stream, statusOfError(error)));
  } catch (error) {
    refuse(stream, statusOfError(error));
  }
}

function refuse(stream: ServerHttp2Stream, status: RpcStatus, http = 200): void {
  if (stream.destroyed || stream.closed || stream.headersSent) return;
  stream.respond({ ...RESPONSE_HEADERS, ...statusHeaders(status), ':status': http }, END_STREAM);
  stopRequest(stream);
}

/** Why a request cannot become a call; undefined if it can. */
function refusalOf(headers: IncomingHttpHeaders, method: GrpcMethod | undefined, deadlineMs: number | undefined) {
  const type = headers['content-type'] ?? '';
  if (type !== 'application/grpc' && !/^application\/grpc[+;]/.test(type)) {
    const message = `content-type "${type}" is not gRPC's; send application/grpc`;
    return { http: 415, code: GRPC_INVALID_ARGUMENT, message };
  }
  if (headers[':method'] !== 'POST')
    return { http: 405, code: GRPC_INTERNAL, message: `method ${headers[':method']} is not gRPC's; send POST` };
  if (method === undefined)
    return { http: 200, code: GRPC_UNIMPLEMENTED, message: `unknown method ${headers[':path']}` };
  if (Number.isNaN(deadlineMs)) {
    const message = `grpc-timeout "${headers['grpc-timeout']}" is not a number and a unit`;
    return { http: 400, code: GRPC_INTERNAL, message };
  }
  return undefined;
}

const COMPRESSIONS: Record<string, Compression> = { gzip: 'gzip', zstd: 'zstd', snappy: 'snappy-framed' };
/** Smaller answers are sent plain: compressing them costs more than it saves. */
const COMPRESSED_BYTES_MIN = 256;

/** One call from its headers to its trailers. */
class Call implements GrpcCall {
  readonly metadata: IncomingHttpHeaders;
  readonly rawMetadata: readonly string[];
  readonly deadlineMs: number | undefined;
  readonly #stream: ServerHttp2Stream;
  readonly #settings: GrpcSettings;
  readonly #encoding: string;
  readonly #bytesMax: number;
  readonly #messages: GrpcMessages;
  #deadline: NodeJS.Timeout | undefined;
  #abort: AbortController | undefined;
  #trailers: OutgoingHttpHeaders | undefined;
  #added: OutgoingHttpHeaders | undefined;
  #done = false;

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
    deadlineMs: number | undefined,
    method: GrpcMethod,
    settings: GrpcSettings,
    buffers: Http2Buffers,
  ) {
    this.metadata = headers;
    this.rawMetadata = rawHeaders;
    this.deadlineMs = deadlineMs;
    this.#stream = stream;
    this.#settings = settings;
    this.#encoding = (headers['grpc-encoding'] as string | undefined) ?? 'identity';
    this.#bytesMax = method.maxRequestBytes ?? GRPC_MESSAGE_BYTES_MAX;
    this.#messages = new GrpcMessages(stream, {
      bytesMax: this.#bytesMax,
      unary: method.kind !== 'bidi',
      idleMsMax: settings.idleMsMax,
      budget: settings.budget,
      buffers,
      // Known before the message is read, so that its bytes are not collected in vain.
      checkFlag: (flag) => this.#checkFlag(flag),
    });
    if (deadlineMs !== undefined) {
      // Timers hold 31 bits of milliseconds; a longer deadline is none.
      this.#deadline = setTimeout(() => this.#expire(), Math.min(deadlineMs, 0x7fffffff));
      this.#deadline.unref();
    }
    stream.on('close', () => this.#close());
    stream.on('wantTrailers', () => {
      stream.sendTrailers(this.#trailers ?? { 'grpc-status': String(GRPC_UNKNOWN) });
      if (!stream.readableEnded) stopRequestLater(stream);
    });
    this.#run(method).catch((error) => this.#fail(statusOfError(error)));
  }

  get peer(): string {
    const socket = this.#stream.session?.socket;
    return `${socket?.remoteAddress ?? ''}:${socket?.remotePort ?? ''}`;
  }

  trailer(name: string, value: string): void {
    this.#added = { ...this.#added, [name]: value };
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#done) this.#abort.abort();
    }
    return this.#abort.signal;
  }

  async #run(method: GrpcMethod): Promise<void> {
    try {
      if (method.kind === 'bidi') return await this.#sendAll(method.handle(this.#inflated(), this));
      const message = await this.#messages.next();
      if (message === undefined) throw new RpcFailure(GRPC_UNKNOWN, 'EOF: the request has no message');
      const plain = message.compressed ? await this.#inflate(message.bytes) : message.bytes;
      if (method.kind === 'server-stream') return await this.#sendAll(method.handle(plain, this));
      const answer = await method.handle(plain, this);
      if (this.#done) return;
      this.#respond();
      this.#trailers = { ...OK_TRAILERS, ...this.#added };
      this.#stream.end(this.#frame(answer));
      this.#finish();
    } finally {
      this.#messages.release();
    }
  }

  /** The bidi view of the request. */
  async *#inflated(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (let message = await this.#messages.next(); message !== undefined; message = await this.#messages.next()) {
      yield message.compressed ? await this.#inflate(message.bytes) : message.bytes;
      this.#messages.release();
    }
  }

  #inflate(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    return this.#settings.decompressor.decompress(bytes, COMPRESSIONS[this.#encoding], this.#bytesMax);
  }

  #checkFlag(flag: number): void {
    if (flag === 0) return;
    if (flag !== 1) throw new RpcFailure(GRPC_INTERNAL, `unknown message flag ${flag}`);
    if (this.#encoding === 'identity') throw new RpcFailure(GRPC_INTERNAL, 'compressed message without grpc-encoding');
    if (!Object.hasOwn(COMPRESSIONS, this.#encoding))
      throw new RpcFailure(GRPC_UNIMPLEMENTED, `unknown grpc-encoding "${this.#encoding}"; send gzip, zstd or snappy`);
  }

  async #sendAll(messages: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const message of messages) {
      if (this.#done) return;
      this.#respond();
      if (!this.#stream.write(this.#frame(message))) await this.#drained();
      if (this.#done) return;
    }
    if (this.#done) return;
    this.#respond();
    this.#trailers = { ...OK_TRAILERS, ...this.#added };
    this.#stream.end();
    this.#finish();
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#stream.once('drain', resolve);
      this.#stream.once('close', resolve);
    });
  }

  #respond(): void {
    if (this.#stream.headersSent || this.#stream.destroyed || this.#stream.closed) return;
    const headers = Object.hasOwn(COMPRESSIONS, this.#encoding)
      ? { ...RESPONSE_HEADERS, 'grpc-encoding': this.#encoding }
      : RESPONSE_HEADERS;
    this.#stream.respond(headers, WAIT_FOR_TRAILERS);
  }

  #frame(message: Uint8Array): Buffer {
    const compressed = message.length >= COMPRESSED_BYTES_MIN && Object.hasOwn(COMPRESSIONS, this.#encoding);
    const body = compressed ? compress(message, this.#encoding) : message;
    const frame = Buffer.allocUnsafe(5 + body.length);
    frame[0] = compressed ? 1 : 0;
    frame.writeUInt32BE(body.length, 1);
    frame.set(body, 5);
    return frame;
  }

  #expire(): void {
    this.#fail({ code: GRPC_DEADLINE_EXCEEDED, message: 'the deadline of the call has passed' });
  }

  /** Ends the call with a status, if it has not ended. */
  #fail(status: RpcStatus): void {
    if (this.#done) return;
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) {
      this.#finish();
      return;
    }
    this.#finish();
    if (stream.headersSent) {
      this.#trailers = statusHeaders(status);
      stream.end();
    } else {
      stream.respond({ ...RESPONSE_HEADERS, ...statusHeaders(status) }, END_STREAM);
      stopRequest(stream);
    }
    this.#abort?.abort(new VivaceError('cancelled', status.message));
  }

  #finish(): void {
    this.#done = true;
    clearTimeout(this.#deadline);
    this.#messages.stop();
  }

  /** The stream is gone: after an answer that is the end, before it is the client's cancellation. */
  #close(): void {
    if (this.#done) return;
    this.#finish();
    this.#messages.release();
    this.#abort?.abort(new VivaceError('cancelled', 'the client has cancelled the call'));
  }
}

const RESPONSE_HEADERS: OutgoingHttpHeaders = { ':status': 200, 'content-type': 'application/grpc' };
const OK_TRAILERS: OutgoingHttpHeaders = { 'grpc-status': '0' };
const WAIT_FOR_TRAILERS = { waitForTrailers: true };
const END_STREAM = { endStream: true };

/** Time for a client to end its request by itself after the trailers. */
const LINGER_MS = 1000;

/** As `stopRequest`, but with time for the trailers: a reset that follows at once would overtake them. */
function stopRequestLater(stream: ServerHttp2Stream): void {
  stream.resume();
  const timer = setTimeout(() => stopRequest(stream), LINGER_MS);
  timer.unref();
  stream.once('close', () => clearTimeout(timer));
}

/** Asks the client to send no more of a request that has its answer. */
function stopRequest(stream: ServerHttp2Stream): void {
  stream.resume();
  if (!stream.readableEnded) stream.close(0);
}

function statusHeaders(status: RpcStatus): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { 'grpc-status': String(status.code) };
  if (status.message !== '') headers['grpc-message'] = percentEncode(status.message);
  if (status.retryAfterMs !== undefined)
    headers['grpc-status-details-bin'] = Buffer.from(statusBytes(status)).toString('base64').replace(/=+$/, '');
  return headers;
}

const TIMEOUT_UNIT_MS: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** `grpc-timeout` in milliseconds, NaN if it is none. */
function timeoutMs(text: string): number {
  if (!/^[0-9]{1,8}[HMSmun]$/.test(text)) return Number.NaN;
  return Number(text.slice(0, -1)) * TIMEOUT_UNIT_MS[text[text.length - 1]];
}

function compress(message: Uint8Array, encoding: string): Uint8Array {
  if (encoding === 'gzip') return zlib.gzipSync(message, { level: 1 });
  return encoding === 'zstd' ? zlib.zstdCompressSync(message) : snappyFramed(message);
}

function ignore(): void {}
