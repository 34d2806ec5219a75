/**
 * OpenCensus over gRPC, a stream of messages whose first says who sends, and the HTTP gateway to it on the same port.
 * Source: spec/ingestion.md §6.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { VivaceError } from '../runtime/errors.ts';
import type { GrpcService } from '../wire/grpc.ts';
import { GRPC_NOT_FOUND, GRPC_UNIMPLEMENTED, GRPC_UNKNOWN, RpcFailure, statusOfError } from '../wire/rpc-status.ts';
import { type CorsOptions, cors as corsRules } from './cors.ts';
import { type HandOverOptions, handOver } from './hand-over.ts';
import { answer, HttpBodies, type HttpBodyOptions, pathOf } from './http-exchange.ts';
import { OpencensusStream, OpencensusTables } from './opencensus.ts';
import { opencensusJsonMessages } from './opencensus-json.ts';

export const OPENCENSUS_EXPORT = '/opencensus.proto.agent.trace.v1.TraceService/Export';
const OPENCENSUS_CONFIG = '/opencensus.proto.agent.trace.v1.TraceService/Config';
export const OPENCENSUS_PATH = '/v1/trace';

export interface OpencensusOptions extends HandOverOptions {
  /** `max_recv_msg_size_mib` in bytes. Default 4 MiB. */
  messageBytesMax?: number;
  /** The receiver's name in metrics; default `opencensus/opencensus_receiver`. */
  receiver?: string;
}

/** The service for a router. */
export function opencensusGrpc(options: OpencensusOptions): GrpcService {
  const take = taker(options, 'grpc');
  const tables = new OpencensusTables();
  return {
    [OPENCENSUS_EXPORT]: {
      kind: 'bidi',
      maxRequestBytes: options.messageBytesMax,
      // Answers have no messages: the end of the stream is one.
      // biome-ignore lint/correctness/useYield: a stream of nothing.
      async *handle(messages, call) {
        const stream = new OpencensusStream(tables);
        let any = false;
        for await (const message of messages) {
          any = true;
          await take(stream, message, call.rawMetadata);
        }
        if (!any) throw new RpcFailure(GRPC_UNKNOWN, 'EOF: the stream has no message');
      },
    },
    [OPENCENSUS_CONFIG]: {
      kind: 'bidi',
      // biome-ignore lint/correctness/useYield: it only fails.
      async *handle() {
        throw new RpcFailure(GRPC_UNKNOWN, 'configuration of senders is not served');
      },
    },
  };
}

export interface OpencensusHttpOptions extends OpencensusOptions, HttpBodyOptions {
  /** `cors_allowed_origins`. */
  cors?: CorsOptions;
  /** Nothing else is served at this address: every other path is answered, too. */
  alone: boolean;
}

/** The gateway: returns true when the request is ours, and then answers whatever happens. */
export function opencensusHttp(options: OpencensusHttpOptions): (req: IncomingMessage, res: ServerResponse) => boolean {
  const cors = corsRules(options.cors);
  const bodies = new HttpBodies({ ...options, bodyBytesMax: options.messageBytesMax });
  const take = taker(options, 'http');
  const tables = new OpencensusTables();

  return (req, res) => {
    const isOurs = pathOf(req.url ?? '') === OPENCENSUS_PATH;
    if (!isOurs && !options.alone) return false;
    if (cors?.(req, res)) return true;
    if (!isOurs) return refuse(req, res, 404, { code: GRPC_NOT_FOUND, message: 'Not Found' });
    if (req.method !== 'POST')
      return refuse(req, res, 501, { code: GRPC_UNIMPLEMENTED, message: 'Method Not Allowed' });
    const refusal = bodies.refusal(req);
    if (refusal !== undefined) return refuseCall(req, res, refusal);
    receive(req, res).catch((error) => refuseCall(req, res, error));
    return true;
  };

  async function receive(req: IncomingMessage, res: ServerResponse): Promise<void> {
    await bodies.read(req, async (body) => {
      const stream = new OpencensusStream(tables);
      for (const message of opencensusJsonMessages(body)) await take(stream, message, metadataOf(req.rawHeaders));
    });
    res.writeHead(200, { 'Content-Type': 'application/json' }).end();
  }
}

type Take = (stream: OpencensusStream, message: Uint8Array, rawHeaders: readonly string[]) => Promise<void>;

/** Hands over one message of a stream. */
function taker(options: OpencensusOptions, transport: string): Take {
  const from = { receiver: options.receiver ?? 'opencensus/opencensus_receiver', transport };
  return async (stream, message, rawHeaders) => {
    const isFirst = !stream.hasNode;
    const request = stream.convert(message);
    if (isFirst && !stream.hasNode)
      throw new RpcFailure(GRPC_UNKNOWN, "the stream's first message has no node; send an empty one at least");
    try {
      await handOver(options, from, request, rawHeaders);
    } catch (error) {
      if (error instanceof VivaceError && error.code === 'no-tenant') throw new RpcFailure(GRPC_UNKNOWN, error.message);
      throw error;
    }
  };
}

const METADATA_PREFIX = 'grpc-metadata-';

/** Of HTTP's headers only those with this prefix reach the stream behind the gateway; and what proves who asks. */
function metadataOf(rawHeaders: readonly string[]): string[] {
  const metadata: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i].toLowerCase();
    if (name.startsWith(METADATA_PREFIX)) metadata.push(name.slice(METADATA_PREFIX.length), rawHeaders[i + 1]);
    else if (name === 'authorization') metadata.push(name, rawHeaders[i + 1]);
  }
  return metadata;
}

const HTTP_OF_GRPC: Readonly<Record<number, number>> = { 3: 400, 7: 403, 8: 429, 14: 503, 16: 401 };

function refuseCall(req: IncomingMessage, res: ServerResponse, error: unknown): true {
  const isUnreadable = error instanceof VivaceError && error.code === 'undecodable';
  const { code, message } = statusOfError(error);
  // What the gateway cannot read it has no better word for.
  const status = { code: isUnreadable ? GRPC_UNKNOWN : code, message };
  return refuse(req, res, HTTP_OF_GRPC[status.code] ?? 500, { error: status });
}

function refuse(req: IncomingMessage, res: ServerResponse, status: number, body: unknown): true {
  return answer(req, res, status, 'application/json', JSON.stringify(body));
}
