/** Takes the messages out of the DATA of one HTTP/2 stream, within bounds of size, time and the process's budget. */
import type { ServerHttp2Stream } from 'node:http2';
import { VivaceError } from '../runtime/errors.ts';
import { BodyBuffer, type BodyBudget } from './body.ts';
import type { Http2Buffers } from './http2-buffers.ts';
import { GRPC_RESOURCE_EXHAUSTED, GRPC_UNKNOWN, RpcFailure } from './rpc-status.ts';

/** One message as it was sent. */
export interface GrpcMessage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly compressed: boolean;
}

export interface GrpcMessagesOptions {
  readonly bytesMax: number;
  /** Only the first message counts; what follows is read and thrown away. */
  readonly unary: boolean;
  readonly idleMsMax: number;
  readonly budget: BodyBudget;
  /** Told of each piece that was copied. */
  readonly buffers: Http2Buffers;
  /** Throws if a message may not have this flag byte. */
  readonly checkFlag: (flag: number) => void;
}

/** Messages that a bidi stream may have waiting before the client is slowed down. */
const WAITING_MAX = 4;

export class GrpcMessages {
  readonly #stream: ServerHttp2Stream;
  readonly #options: GrpcMessagesOptions;
  #prefixBytes = 0;
  #flag = 0;
  #size = 0;
  #body: BodyBuffer | undefined;
  #taken = 0;
  #discard = false;
  #ended = false;
  #failure: Error | undefined;
  #waiting: GrpcMessage[] = [];
  #reader: { resolve(message: GrpcMessage | undefined): void; reject(error: Error): void } | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(stream: ServerHttp2Stream, options: GrpcMessagesOptions) {
    this.#stream = stream;
    this.#options = options;
    // A bidi stream may rest between its messages as long as it likes; a unary request has nothing to wait for.
    if (options.unary) {
      this.#idle = setTimeout(() => this.#stalled(), options.idleMsMax);
      this.#idle.unref();
    }
    stream.on('data', (chunk: Buffer) => this.#data(chunk));
    stream.on('end', () => this.#end());
  }

  /** The next message, undefined after the last. Rejects where the bytes break the protocol or a bound. */
  next(): Promise<GrpcMessage | undefined> {
    const message = this.#waiting.shift();
    if (message !== undefined) {
      if (this.#stream.isPaused()) this.#stream.resume();
      return Promise.resolve(message);
    }
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#ended) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  /** Lets go of the bytes taken so far: the messages have been dealt with. */
  release(): void {
    const taken = this.#taken;
    this.#taken = 0;
    this.#options.budget.release(this.#stream, taken);
  }

  /** No more messages are wanted. */
  stop(): void {
    this.#discard = true;
    clearTimeout(this.#idle);
    this.#body = undefined;
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.resolve(undefined);
  }

  #data(chunk: Buffer): void {
    try {
      for (let at = 0; at < chunk.length && !this.#discard; ) at = this.#step(chunk, at);
    } catch (error) {
      this.#fail(error as Error);
    }
    this.#options.buffers.copied(chunk);
  }

  /** Consumes a byte of a prefix or all that the chunk has of a message; returns where to go on. */
  #step(chunk: Buffer, at: number): number {
    if (this.#body === undefined) {
      const byte = chunk[at];
      if (this.#prefixBytes === 0) {
        this.#options.checkFlag(byte);
        this.#flag = byte;
        this.#size = 0;
      } else this.#size = this.#size * 256 + byte;
      if (++this.#prefixBytes < 5) return at + 1;
      const { bytesMax } = this.#options;
      if (this.#size > bytesMax)
        throw new RpcFailure(
          GRPC_RESOURCE_EXHAUSTED,
          `received message larger than max (${this.#size} vs. ${bytesMax}); send smaller batches`,
        );
      this.#body = new BodyBuffer(this.#size);
      at++;
    }
    const body = this.#body;
    const end = Math.min(chunk.length, at + this.#size - body.length);
    if (end > at) {
      body.append(chunk, at, end);
      this.#taken += end - at;
      this.#options.budget.take(this.#stream, end - at);
      this.#idle?.refresh();
    }
    if (body.length === this.#size) this.#complete(body);
    return end;
  }

  #complete(body: BodyBuffer): void {
    const message = { bytes: body.finish(), compressed: this.#flag === 1 };
    this.#body = undefined;
    this.#prefixBytes = 0;
    if (this.#options.unary) {
      this.#discard = true;
      clearTimeout(this.#idle);
    }
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader !== undefined) reader.resolve(message);
    else if (this.#waiting.push(message) >= WAITING_MAX) this.#stream.pause();
  }

  #end(): void {
    this.#ended = true;
    if (this.#prefixBytes > 0 && !this.#discard)
      this.#fail(new RpcFailure(GRPC_UNKNOWN, 'unexpected EOF: the message is shorter than its prefix says'));
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.resolve(undefined);
  }

  #stalled(): void {
    // A stream that waits for the budget is not idle by its own fault.
    if (this.#stream.isPaused()) this.#idle?.refresh();
    else this.#fail(new VivaceError('deadline', 'cannot read request message: the client sent nothing for too long'));
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.#discard = true;
    clearTimeout(this.#idle);
    this.release();
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.reject(error);
  }
}
