/** grpc.health.v1.Health. Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md */
import { setTimeout as sleep } from 'node:timers/promises';
import { VivaceError } from '../runtime/errors.ts';
import type { GrpcCall, GrpcService } from './grpc.ts';
import { ProtoReader, tagOf, WIRE_BYTES, WIRE_VARINT } from './protobuf.ts';

const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;

/** A watcher learns of a change at the latest after this time. */
const WATCH_MS = 1000;

/**
 * The service for a router. `serving` answers for a full service name, '' being the whole server: true or false, or
 * undefined for a service that does not exist.
 */
export function grpcHealth(serving: (service: string) => boolean | undefined): GrpcService {
  async function check(request: Uint8Array): Promise<Uint8Array> {
    const service = serviceOf(request);
    const status = serving(service);
    if (status === undefined) throw new VivaceError('not-found', `unknown service "${service}"`);
    return response(status ? SERVING : NOT_SERVING);
  }

  async function* watch(request: Uint8Array, call: GrpcCall): AsyncGenerator<Uint8Array> {
    const service = serviceOf(request);
    const { signal } = call;
    let last = -1;
    while (!signal.aborted) {
      const now = serving(service);
      const status = now === undefined ? SERVICE_UNKNOWN : now ? SERVING : NOT_SERVING;
      if (status !== last) yield response((last = status));
      await sleep(WATCH_MS, undefined, { signal, ref: false }).catch(ignore);
    }
  }

  return {
    '/grpc.health.v1.Health/Check': { kind: 'unary', maxRequestBytes: 4096, handle: check },
    '/grpc.health.v1.Health/Watch': { kind: 'server-stream', maxRequestBytes: 4096, handle: watch },
  };
}

/** HealthCheckRequest { 1 service }. */
function serviceOf(request: Uint8Array): string {
  const reader = new ProtoReader(request);
  let service = '';
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === tagOf(1, WIRE_BYTES)) service = reader.stringValue();
    else reader.skip(tag);
  }
  return service;
}

/** HealthCheckResponse { 1 status }. */
function response(status: number): Uint8Array {
  return Uint8Array.of(tagOf(1, WIRE_VARINT), status);
}

function ignore(): void {}
