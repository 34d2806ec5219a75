/**
 * Zipkin over HTTP. Where Zipkin is served alone every path and method is its own, as in Tempo: the first version when
 * the path contains `api/v1/spans`, and otherwise the second; beside other services only those two paths are. The
 * content type is compared as it is written. Source: spec/ingestion.md §5.1.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { giveBack } from '../wire/body.ts';
import { type CorsOptions, cors as corsRules } from './cors.ts';
import { type HandOverOptions, handOver } from './hand-over.ts';
import { answer, HttpBodies, type HttpBodyOptions, pathOf } from './http-exchange.ts';
import { type ZipkinOptions, zipkinJsonToOtlp } from './zipkin-json.ts';
import { ZipkinProto } from './zipkin-proto.ts';
import { zipkinV1JsonToOtlp } from './zipkin-v1-json.ts';
import { zipkinV1ThriftToOtlp } from './zipkin-v1-thrift.ts';

export interface ZipkinHttpOptions extends HandOverOptions, HttpBodyOptions, ZipkinOptions {
  cors?: CorsOptions;
  /** Nothing else is served at this address. */
  alone: boolean;
  /** The receiver's name in metrics; default `zipkin/zipkin_receiver`. */
  receiver?: string;
  nowMs: () => number;
}

const FIRST_VERSION = 'api/v1/spans';
const SECOND_VERSION = 'api/v2/spans';
const TEXT = 'text/plain; charset=utf-8';

/** The handler: returns true when the request is ours, and then answers whatever happens. */
export function zipkinHttp(options: ZipkinHttpOptions): (req: IncomingMessage, res: ServerResponse) => boolean {
  const cors = corsRules(options.cors);
  const bodies = new HttpBodies(options);
  const receiver = options.receiver ?? 'zipkin/zipkin_receiver';
  const proto = new ZipkinProto(options);
  const handingOver = { ...options, emptyNeedsTenant: true };

  return (req, res) => {
    const path = pathOf(req.url ?? '');
    const isFirst = path.includes(FIRST_VERSION);
    if (!options.alone && !isFirst && !path.includes(SECOND_VERSION)) return false;
    if (cors?.(req, res)) return true;
    const refusal = bodies.refusal(req);
    if (refusal !== undefined) return answer(req, res, 400, TEXT, `${refusal.message}\n`);
    receive(req, res, isFirst).catch((error) => refuse(req, res, error));
    return true;
  };

  async function receive(req: IncomingMessage, res: ServerResponse, isFirst: boolean): Promise<void> {
    const type = req.headers['content-type'];
    const format = isFirst
      ? type === 'application/x-thrift'
        ? 'v1_thrift'
        : 'v1_json'
      : type === 'application/x-protobuf'
        ? 'v2_proto'
        : 'v2_json';
    await bodies.read(req, async (body) => {
      const request = convert(body, format);
      giveBack(body);
      try {
        await handOver(handingOver, { receiver, transport: `http_${format}` }, request, req.rawHeaders);
      } catch (error) {
        throw new Refused(error);
      }
    });
    res.writeHead(202).end();
  }

  function convert(body: Uint8Array, format: string): Uint8Array<ArrayBuffer> {
    switch (format) {
      case 'v1_thrift':
        return zipkinV1ThriftToOtlp(body);
      case 'v1_json':
        return zipkinV1JsonToOtlp(body, options, options.nowMs());
      case 'v2_proto':
        return proto.convert(body);
      default:
        return zipkinJsonToOtlp(body, options);
    }
  }
}

/** The spans were read and then not taken, for which Zipkin's clients are told nothing more. */
class Refused extends Error {
  constructor(cause: unknown) {
    super(messageOf(cause), { cause });
  }
}

function refuse(req: IncomingMessage, res: ServerResponse, error: unknown): void {
  const isInvalid = error instanceof VivaceError && error.code === 'invalid';
  if (error instanceof Refused || isInvalid) answer(req, res, 500, TEXT, '"Internal Server Error"');
  else answer(req, res, 400, TEXT, `${messageOf(error)}\n`);
}
