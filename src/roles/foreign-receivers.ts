/** The receivers of other protocols that one socket serves, made of their settings. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Cors } from '../config/receiver-servers.ts';
import type { Listener } from '../config/listeners.ts';
import type { Configuration } from '../config/load.ts';
import type { CorsOptions } from '../receive/cors.ts';
import type { HandOverOptions } from '../receive/hand-over.ts';
import { jaegerGrpc } from '../receive/jaeger-grpc.ts';
import { jaegerHttp } from '../receive/jaeger-http.ts';
import { opencensusGrpc, opencensusHttp } from '../receive/opencensus-servers.ts';
import { zipkinHttp } from '../receive/zipkin-http.ts';
import type { BodyBudget } from '../wire/body.ts';
import type { Decompressor } from '../wire/decompress.ts';
import type { GrpcService } from '../wire/grpc.ts';

export type HttpHandler = (req: IncomingMessage, res: ServerResponse) => boolean;

/** In the order in which they are to be asked. */
export function foreignReceivers(
  config: Configuration,
  wanted: Listener,
  options: HandOverOptions & { budget: BodyBudget; decompressor: Decompressor; nowMs: () => number },
): { http: HttpHandler[]; grpc: GrpcService[] } {
  const { jaeger, zipkin, opencensus } = config.distributor.receivers.foreign;
  const http: HttpHandler[] = [];
  const grpc: GrpcService[] = [];
  const alone = wanted.serves.length === 1;
  for (const { service, id } of wanted.receivers) {
    if (service === 'jaeger-http') {
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

export function corsOptions(cors: Cors): CorsOptions {
  return { allowedOrigins: cors.allowedOrigins, allowedHeaders: cors.allowedHeaders, maxAgeS: cors.maxAgeSeconds };
}
