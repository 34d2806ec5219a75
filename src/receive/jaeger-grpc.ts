/** Jaeger over gRPC: CollectorService/PostSpans, unary. Source: spec/ingestion.md §4.1. */
import { VivaceError } from '../runtime/errors.ts';
import { giveBack } from '../wire/body.ts';
import type { GrpcService } from '../wire/grpc.ts';
import { GRPC_UNKNOWN, RpcFailure } from '../wire/rpc-status.ts';
import type { Receiver } from './accept.ts';
import { type HandOverOptions, handOver } from './hand-over.ts';
import { JaegerProto } from './jaeger-proto.ts';

export const JAEGER_POST_SPANS = '/jaeger.api_v2.CollectorService/PostSpans';

export interface JaegerGrpcOptions extends HandOverOptions {
  /** `max_recv_msg_size_mib` in bytes. Default 4 MiB. */
  messageBytesMax?: number;
  /** For metrics; `jaeger/jaeger_receiver` over `grpc` by default. */
  from?: Receiver;
}

/** The service for a router. */
export function jaegerGrpc(options: JaegerGrpcOptions): GrpcService {
  const from = options.from ?? { receiver: 'jaeger/jaeger_receiver', transport: 'grpc' };
  const jaeger = new JaegerProto();
  const handingOver = { ...options, emptyNeedsTenant: true };
  return {
    [JAEGER_POST_SPANS]: {
      kind: 'unary',
      maxRequestBytes: options.messageBytesMax,
      async handle(body, call) {
        try {
          const request = jaeger.request(body);
          giveBack(body);
          await handOver(handingOver, from, request, call.rawMetadata);
        } catch (error) {
          // Errors of Tempo that have no gRPC status come out of this service as unknown.
          if (error instanceof VivaceError && error.code === 'no-tenant')
            throw new RpcFailure(GRPC_UNKNOWN, error.message);
          throw error;
        }
        return new Uint8Array(0);
      },
    },
  };
}
