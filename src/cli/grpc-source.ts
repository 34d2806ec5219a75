/** A server asked over gRPC: `tempopb.StreamingQuerier`, whose answers come bit by bit, with how far it is. */
import {
  create,
  createFileRegistry,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonObject,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { parseGoDuration } from '../config/duration.ts';
import { VivaceError } from '../runtime/errors.ts';
import { DESCRIPTOR_FILES } from '../wire/descriptors.ts';
import { baseOf, type ServerOptions } from './server-source.ts';
import type { Route, Source } from './source.ts';
import { type StreamMessage, streamMerge } from './stream-merge.ts';

const METHODS: Record<Streamed, [method: string, request: string, response: string]> = {
  search: ['Search', 'SearchRequest', 'SearchResponse'],
  tags: ['SearchTagsV2', 'SearchTagsRequest', 'SearchTagsV2Response'],
  'tag-values': ['SearchTagValuesV2', 'SearchTagValuesRequest', 'SearchTagValuesV2Response'],
  'metrics-range': ['MetricsQueryRange', 'QueryRangeRequest', 'QueryRangeResponse'],
  'metrics-instant': ['MetricsQueryInstant', 'QueryInstantRequest', 'QueryInstantResponse'],
};

/** What is streamed. */
type Streamed = Exclude<Route, 'explain'>;

/** Longer than what servers send, which divide at 2 MiB. */
const MESSAGE_BYTES_MAX = 256 * 1024 * 1024;
/** As over HTTP: a range that is left out is the last hour for metrics; for the others the server chooses. */
const METRICS_RANGE_SECONDS = 3600;

export function grpcSource(
  options: ServerOptions & { nowMs: number; onJobs(done: number, total: number): void },
): Source {
  const { base, authorization } = baseOf(options);
  const url = new URL(base);
  const secure = url.protocol === 'https:';
  const address = `${url.hostname}:${url.port || (secure ? 443 : 80)}`;
  const tls = (): ReturnType<typeof credentials.createSsl> =>
    credentials.createSsl(null, null, null, { rejectUnauthorized: options.verifyTls });
  const client = new Client(address, secure ? tls() : credentials.createInsecure(), {
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  });
  const metadata = new Metadata();
  if (options.tenant !== undefined) metadata.set('x-scope-orgid', options.tenant);
  if (authorization !== undefined) metadata.set('authorization', authorization);
  for (const [key, value] of Object.entries(options.headers)) metadata.set(key.toLowerCase(), value);
  const types = createFileRegistry(
    create(FileDescriptorSetSchema, {
      file: DESCRIPTOR_FILES.map(({ base64 }) => fromBinary(FileDescriptorProtoSchema, Buffer.from(base64, 'base64'))),
    }),
  );
  const typeOf = (name: string): DescMessage => types.getMessage(`tempopb.${name}`)!;
  return {
    name: address,
    blocksOnly: false,
    ask(route, parameters, parameter = '') {
      if (route === 'explain') throw new VivaceError('unsupported', 'explanations are not streamed');
      const [method, request, response] = METHODS[route];
      const [asked, answered] = [typeOf(request), typeOf(response)];
      const merge = streamMerge(route);
      return new Promise((resolve, reject) => {
        const stream = client.makeServerStreamRequest(
          `/tempopb.StreamingQuerier/${method}`,
          (message: JsonObject) => Buffer.from(toBinary(asked, fromJson(asked, message))),
          (bytes: Buffer) => toJson(answered, fromBinary(answered, bytes)) as StreamMessage,
          requestOf(route, parameters, parameter, options.nowMs),
          metadata,
        );
        stream.on('data', (message: StreamMessage) => {
          merge.add(message);
          options.onJobs(message.metrics?.completedJobs ?? 0, message.metrics?.totalJobs ?? 0);
        });
        stream.on('error', (error: ServiceError) => reject(explained(address, error)));
        stream.on('end', () => resolve(JSON.stringify(merge.finish())));
      });
    },
    trace() {
      throw new VivaceError('unsupported', 'traces are not streamed; leave out --use-grpc');
    },
    close: () => client.close(),
  };
}

/** The parameters of the HTTP route as the message of the method (spec: docs/manual/api.md). */
function requestOf(route: Streamed, parameters: URLSearchParams, parameter: string, nowMs: number): JsonObject {
  const query = parameters.get('q') ?? '';
  const number = (name: string): number => Number(parameters.get(name) ?? 0);
  const [start, end] = [number('start'), number('end')];
  switch (route) {
    case 'search':
      return { Query: query, start, end, Limit: number('limit'), SpansPerSpanSet: number('spss') };
    case 'tags':
      return { scope: parameters.get('scope') ?? '', query, start, end };
    case 'tag-values':
      return { tagName: parameter, query, start, end };
    default: {
      const until = end || Math.floor(nowMs / 1000);
      const step = parameters.get('step');
      const ns = (seconds: number): string => `${seconds}000000000`;
      return {
        query,
        start: ns(start || until - METRICS_RANGE_SECONDS),
        end: ns(until),
        ...(route === 'metrics-range' && step !== null && { step: String(Math.round(stepMs(step) * 1e6)) }),
      };
    }
  }
}

/** A duration as in Go, or seconds, as over HTTP. */
function stepMs(text: string): number {
  return /^[\d.]+$/.test(text) ? 1000 * Number(text) : parseGoDuration(text);
}

function explained(address: string, { code, details }: ServiceError): VivaceError {
  const cures: Partial<Record<status, string>> = {
    [status.UNAVAILABLE]:
      '; is it the port of gRPC (9095 by default)? The port of HTTP streams only with stream_over_http_enabled: true',
    [status.UNIMPLEMENTED]:
      '; the port of HTTP streams only with stream_over_http_enabled: true, that of gRPC (9095 by default) always',
    [status.UNAUTHENTICATED]: '; name the tenant with --org-id, or credentials with --header',
  };
  const why = details.replace(/\.? Resolution note: $/, '');
  const what =
    code === status.UNAVAILABLE ? `cannot reach ${address} over gRPC` : `${address} answered ${status[code]}`;
  const text = `${what}: ${why}${cures[code] ?? ''}`;
  return new VivaceError(code === status.INVALID_ARGUMENT ? 'invalid' : 'unavailable', text);
}
