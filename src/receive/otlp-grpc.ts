/** OTLP over gRPC: TraceService/Export, unary. Source: spec/ingestion.md §3.1, §3.4. */
import type { GrpcService } from '../wire/grpc.ts';
import type { Receiver } from './accept.ts';
import { type HandOverOptions, handOver } from './hand-over.ts';

export const OTLP_EXPORT = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';

export interface OtlpGrpcOptions extends HandOverOptions {
  /** `max_recv_msg_size_mib` in bytes. Default 4 MiB. */
  messageBytesMax?: number;
  /** For metrics; `otlp/otlp_receiver` over `grpc` by default. */
  from?: Receiver;
}

/** ExportTraceServiceResponse with an empty partial_success, which Tempo always sends. */
const ACCEPTED = Uint8Array.of(0x0a, 0x00);

/** The service for a router. */
export function otlpGrpc(options: OtlpGrpcOptions): GrpcService {
  const from = options.from ?? { receiver: 'otlp/otlp_receiver', transport: 'grpc' };
  return {
    [OTLP_EXPORT]: {
      kind: 'unary',
      maxRequestBytes: options.messageBytesMax,
      async handle(body, call) {
        await handOver(options, from, body, call.rawMetadata);
        return ACCEPTED;
      },
    },
  };
}
