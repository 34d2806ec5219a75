/** The receivers that one socket serves, made of their settings. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Cors } from '../config/receiver-servers.ts';
import type { Listener } from '../config/listeners.ts';
import type { Configuration } from '../config/load.ts';
import type { Accept } from '../receive/accept.ts';
import type { CorsOptions } from '../receive/cors.ts';
import type { HandOverOptions } from '../receive/hand-over.ts';
import { repairIds } from '../receive/id-repair.ts';
import { jaegerGrpc } from '../receive/jaeger-grpc.ts';
import { jaegerHttp } from '../receive/jaeger-http.ts';
import { opencensusGrpc, opencensusHttp } from '../receive/opencensus-servers.ts';
import { otlpGrpc } from '../receive/otlp-grpc.ts';
import { otlpHttp } from '../receive/otlp-http.ts';
import { zipkinHttp } from '../receive/zipkin-http.ts';
import type { BodyBudget } from '../wire/body.ts';
import type { Decompressor } from '../wire/decompress.ts';
import type { GrpcService } from '../wire/grpc.ts';

export type HttpHandler = (req: IncomingMessage, res: ServerResponse) => boolean;

/** In the order in which they are to be asked. */
export function receiversAt(
  config: Configuration,
  wanted: Listener,
  options: HandOverOptions & { budget: BodyBudget; decompressor: Decompressor; nowMs: () => number },
): { http: HttpHandler[]; grpc: GrpcService[] } {
  const { otlp, otlpNamed, foreign } = config.distributor.receivers;
  const { jaeger, zipkin, opencensus } = foreign;
  const http: HttpHandler[] = [];
  const grpc: GrpcService[] = [];
  const alone = wanted.serves.length === 1;
  for (const { service, id } of wanted.receivers) {
    if (service === 'otlp-http' || service === 'otlp-grpc') {
      const settings = id === 'otlp' ? otlp : otlpNamed[id.slice('otlp/'.length)];
      const receiver = `${id}/otlp_receiver`;
      if (service === 'otlp-grpc') {
        const messageBytesMax = settings.grpc?.maxReceiveMessageBytes;
        const accept = acceptRepaired(options.accept);
        grpc.push(otlpGrpc({ ...options, accept, messageBytesMax, from: { receiver, transport: 'grpc' } }));
      } else if (settings.http !== undefined)
        http.push(
          otlpHttp({
            ...options,
            path: settings.http.tracesUrlPath,
            bodyBytesMax: settings.http.maxRequestBodySizeBytes,
            cors: corsOptions(settings.http.cors),
            compressionAlgorithms: settings.http.compressionAlgorithms,
            from: { receiver, transport: 'http' },
          }),
        );
    } else if (service === 'jaeger-http') {
      const { thriftHttp } = jaeger[id];
      if (thriftHttp === undefined) continue;
      http.push(
        jaegerHttp({
          ...options,
          alone,
          bodyBytesMax: thriftHttp.maxRequestBodySizeBytes,
          compressionAlgorithms: thriftHttp.compressionAlgorithms,
          cors: corsOptions(thriftHttp.cors),
          from: { receiver: `${id}/jaeger_receiver`, transport: 'collector_http' },
        }),
      );
    } else if (service === 'jaeger-grpc')
      grpc.push(
        jaegerGrpc({
          ...options,
          messageBytesMax: jaeger[id].grpc?.maxReceiveMessageBytes,
          from: { receiver: `${id}/jaeger_receiver`, transport: 'grpc' },
        }),
      );
    else if (service === 'zipkin')
      http.push(
        zipkinHttp({
          ...options,
          alone,
          bodyBytesMax: zipkin[id].maxRequestBodySizeBytes,
          compressionAlgorithms: zipkin[id].compressionAlgorithms,
          cors: corsOptions(zipkin[id].cors),
          parseStringTags: zipkin[id].parseStringTags,
          receiver: `${id}/zipkin_receiver`,
        }),
      );
    else if (service === 'opencensus') {
      const settings = {
        ...options,
        messageBytesMax: opencensus[id].maxReceiveMessageBytes,
        receiver: `${id}/opencensus_receiver`,
      };
      grpc.push(opencensusGrpc(settings));
      http.push(opencensusHttp({ ...settings, alone, cors: corsOptions(opencensus[id].cors) }));
    }
  }
  return { http, grpc };
}

function corsOptions(cors: Cors): CorsOptions {
  return { allowedOrigins: cors.allowedOrigins, allowedHeaders: cors.allowedHeaders, maxAgeS: cors.maxAgeSeconds };
}

/** grpcurl turns the hex ids of an OTLP/JSON file into base64: such requests are refused, repaired and taken. */
function acceptRepaired(accept: Accept): Accept {
  return async (tenant, body, from) => {
    const repaired = body.length < 1 << 16 ? repairIds(body) : undefined;
    return accept(tenant, repaired ?? body, from);
  };
}
