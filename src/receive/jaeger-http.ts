/**
 * Jaeger's Thrift over HTTP: `POST /api/traces` with a bare `Batch`. The binary protocol is what Tempo takes; the compact
 * one is taken when its content type says so. Answers are 202 and nothing, or plain text. Source: spec/ingestion.md §4.4.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { giveBack } from '../wire/body.ts';
import { ProtoWriter } from '../wire/protobuf.ts';
import { ThriftBinary, ThriftCompact } from '../wire/thrift.ts';
import type { Receiver } from './accept.ts';
import { type CorsOptions, cors as corsRules } from './cors.ts';
import { type HandOverOptions, handOver } from './hand-over.ts';
import { answer, HttpBodies, type HttpBodyOptions, mediaTypeOf, pathOf } from './http-exchange.ts';
import { JaegerThrift } from './jaeger-thrift.ts';

export const JAEGER_PATH = '/api/traces';

export interface JaegerHttpOptions extends HandOverOptions, HttpBodyOptions {
  cors?: CorsOptions;
  /** Nothing else is served at this address: other methods and paths get this receiver's answers. */
  alone: boolean;
  /** For metrics; `jaeger/jaeger_receiver` over `collector_http` by default. */
  from?: Receiver;
}

/** So much of a converted request keeps its memory for the next. */
const CONVERTED_KEPT_BYTES_MAX = 1 << 20;

const BINARY_TYPES = new Set(['application/x-thrift', 'application/vnd.apache.thrift.binary']);
const COMPACT_TYPE = 'application/vnd.apache.thrift.compact';

/** The handler: returns true when the request is ours, and then answers whatever happens. */
export function jaegerHttp(options: JaegerHttpOptions): (req: IncomingMessage, res: ServerResponse) => boolean {
  const cors = corsRules(options.cors);
  const bodies = new HttpBodies(options);
  const thrift = new JaegerThrift();
  const out = new ProtoWriter(0);
  const from = options.from ?? { receiver: 'jaeger/jaeger_receiver', transport: 'collector_http' };

  return (req, res) => {
    const isOurs = pathOf(req.url ?? '') === JAEGER_PATH;
    if (!isOurs || (req.method !== 'POST' && req.method !== 'OPTIONS')) if (!options.alone) return false;
    if (cors?.(req, res)) return true;
    const refusal = bodies.refusal(req);
    if (refusal !== undefined) return refuse(req, res, 400, refusal);
    if (!isOurs) return refuse(req, res, 404, '404 page not found');
    if (req.method !== 'POST') return answer(req, res, 405, 'text/plain', '');
    receive(req, res).catch((error) => refuse(req, res, isUnreadable(error) ? 400 : 500, error));
    return true;
  };

  async function receive(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const type = mediaTypeOf(req.headers['content-type']);
    if (!BINARY_TYPES.has(type) && type !== COMPACT_TYPE)
      throw new VivaceError(
        'undecodable',
        `unsupported content type "${type}"; send ${[...BINARY_TYPES].join(' or ')}`,
      );
    await bodies.read(req, async (body) => {
      out.reset(CONVERTED_KEPT_BYTES_MAX);
      out.reserve(body.length);
      thrift.batch(type === COMPACT_TYPE ? new ThriftCompact(body) : new ThriftBinary(body), out);
      giveBack(body);
      await handOver({ ...options, emptyNeedsTenant: true }, from, out.copy(), req.rawHeaders);
    });
    res.writeHead(202).end();
  }
}

/** Everything else, a body that is too large included, Jaeger's collector answers with 500. */
function isUnreadable(error: unknown): boolean {
  return error instanceof VivaceError && error.code === 'undecodable';
}

function refuse(req: IncomingMessage, res: ServerResponse, status: number, why: unknown): true {
  const text = typeof why === 'string' ? why : messageOf(why);
  return answer(req, res, status, 'text/plain; charset=utf-8', `${text}\n`);
}
