/**
 * OTLP over HTTP: `POST /v1/traces`, protobuf or JSON, any of the encodings that collectors send.
 *
 * The order of the checks decides which of several mistakes is reported: preflight, encoding, method, media type, body,
 * decoding, tenant, acceptance. Source: spec/ingestion.md §2.1, §2.2, §3.5, §3.6.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { VivaceError } from '../runtime/errors.ts';
import { giveBack } from '../wire/body.ts';
import { GRPC_INVALID_ARGUMENT, type RpcStatus, statusBytes, statusJson, statusOfError } from '../wire/rpc-status.ts';
import type { Receiver } from './accept.ts';
import { type CorsOptions, cors as corsRules } from './cors.ts';
import { type HandOverOptions, handOver } from './hand-over.ts';
import { answer, HttpBodies, type HttpBodyOptions, mediaTypeOf, pathOf } from './http-exchange.ts';
import { otlpJsonToProto } from './otlp-json.ts';

export const TRACES_PATH = '/v1/traces';

export interface OtlpHttpOptions extends HandOverOptions, HttpBodyOptions {
  /** `traces_url_path`. */
  path?: string;
  cors?: CorsOptions;
  /** For metrics; `otlp/otlp_receiver` over `http` by default. */
  from?: Receiver;
}

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
  readonly #bodies: HttpBodies;
  readonly #from: Receiver;

  constructor(options: OtlpHttpOptions) {
    this.#options = options;
    this.#path = options.path ?? TRACES_PATH;
    this.#cors = corsRules(options.cors);
    this.#bodies = new HttpBodies(options);
    this.#from = options.from ?? { receiver: 'otlp/otlp_receiver', transport: 'http' };
  }

  handle(req: IncomingMessage, res: ServerResponse): boolean {
    const path = pathOf(req.url ?? '');
    const redirect = path !== this.#path;
    if (redirect && path.replace(/\/{2,}/g, '/') !== this.#path) return false;
    if (this.#cors?.(req, res)) return true;
    const mediaType = mediaTypeOf(req.headers['content-type']);
    const unknown = this.#bodies.refusal(req);
    const known = unknown === undefined;
    if (known && redirect) return answer(req, res, 307, 'text/plain', '', { Location: this.#path });
    // A media type that is not ours is the plainer mistake; an unknown encoding beats every other one.
    if (known && req.method !== 'POST')
      return answer(req, res, 405, 'text/plain', '405 method not allowed, supported: [POST]');
    if (mediaType !== PROTOBUF && mediaType !== JSON_TYPE && (known || mediaType !== ''))
      return answer(req, res, 415, 'text/plain', `415 unsupported media type, supported: [${JSON_TYPE}, ${PROTOBUF}]`);
    if (!known) return this.#refuse(req, res, mediaType, unknown);
    this.#receive(req, res, mediaType).catch((error) => this.#refuse(req, res, mediaType, error));
    return true;
  }

  async #receive(req: IncomingMessage, res: ServerResponse, mediaType: string): Promise<void> {
    await this.#bodies.read(req, async (body) => {
      const request = mediaType === JSON_TYPE ? otlpJsonToProto(body) : body;
      if (request !== body) giveBack(body);
      return handOver(this.#options, this.#from, request, req.rawHeaders);
    });
    const accepted = mediaType === JSON_TYPE ? ACCEPTED_JSON : ACCEPTED_PROTOBUF;
    // A string goes out with the head, in one write.
    res.writeHead(200, accepted.headers).end(accepted.body, 'latin1');
  }

  #refuse(req: IncomingMessage, res: ServerResponse, mediaType: string, error: unknown): true {
    const { http, status } = otlpHttpStatus(error);
    const headers: Record<string, string> = {};
    if (status.retryAfterMs !== undefined && (http === 429 || http === 503))
      headers['Retry-After'] = String(Math.ceil(status.retryAfterMs / 1000));
    if (mediaType === PROTOBUF) return answer(req, res, http, PROTOBUF, statusBytes(status), headers);
    return answer(req, res, http, JSON_TYPE, statusJson(status), headers);
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

const ACCEPTED_PROTOBUF = accepted(PROTOBUF, '\n\0');
const ACCEPTED_JSON = accepted(JSON_TYPE, '{"partialSuccess":{}}');

function accepted(type: string, body: string) {
  return { headers: { 'Content-Type': type, 'Content-Length': body.length }, body };
}
