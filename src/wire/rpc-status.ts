/**
 * The codes of gRPC and what travels with them: google.rpc.Status with RetryInfo, in protobuf and JSON, and the
 * translation of our errors and of HTTP statuses. Source: spec/ingestion.md §3.4–3.6,
 * https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto
 */
import { type ErrorCode, messageOf, VivaceError } from '../runtime/errors.ts';
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_VARINT } from './protobuf.ts';

export const GRPC_OK = 0;
export const GRPC_CANCELLED = 1;
export const GRPC_UNKNOWN = 2;
export const GRPC_INVALID_ARGUMENT = 3;
export const GRPC_DEADLINE_EXCEEDED = 4;
export const GRPC_NOT_FOUND = 5;
export const GRPC_RESOURCE_EXHAUSTED = 8;
export const GRPC_UNIMPLEMENTED = 12;
export const GRPC_INTERNAL = 13;
export const GRPC_UNAVAILABLE = 14;

const GRPC_OF_ERROR: Record<ErrorCode, number> = {
  undecodable: GRPC_INTERNAL,
  invalid: GRPC_INVALID_ARGUMENT,
  'too-large': GRPC_RESOURCE_EXHAUSTED,
  exhausted: GRPC_RESOURCE_EXHAUSTED,
  unavailable: GRPC_UNAVAILABLE,
  'no-tenant': GRPC_UNAVAILABLE,
  unauthenticated: 16,
  denied: 7,
  'not-found': GRPC_NOT_FOUND,
  unsupported: GRPC_UNIMPLEMENTED,
  precondition: 9,
  cancelled: GRPC_CANCELLED,
  deadline: GRPC_DEADLINE_EXCEEDED,
  internal: GRPC_INTERNAL,
};

/** What a failed call tells its client. */
export interface RpcStatus {
  code: number;
  message: string;
  /** Asks the client to come back after this time; absent: no RetryInfo. */
  retryAfterMs?: number;
}

/** Fails a call with a code that VivaceError has no word for. */
export class RpcFailure extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = 'RpcFailure';
    this.code = code;
  }
}

/** Anything thrown as the status of a gRPC call. What is neither VivaceError nor RpcFailure is internal. */
export function statusOfError(error: unknown): RpcStatus {
  if (error instanceof VivaceError)
    return { code: GRPC_OF_ERROR[error.code], message: error.message, retryAfterMs: error.retryAfterMs };
  return { code: error instanceof RpcFailure ? error.code : GRPC_INTERNAL, message: messageOf(error) };
}

/** google.rpc.Status { 1 code, 2 message, 3 details Any* }. */
export function statusBytes(status: RpcStatus): Uint8Array<ArrayBuffer> {
  const out = new ProtoWriter(status.message.length + 96);
  if (status.code !== 0) out.varintField(tagOf(1, WIRE_VARINT), status.code);
  if (status.message !== '') out.stringField(tagOf(2, WIRE_BYTES), status.message);
  if (status.retryAfterMs !== undefined) {
    const any = out.begin(tagOf(3, WIRE_BYTES));
    out.stringField(tagOf(1, WIRE_BYTES), RETRY_INFO);
    const info = out.begin(tagOf(2, WIRE_BYTES));
    const duration = out.begin(tagOf(1, WIRE_BYTES));
    const seconds = Math.floor(status.retryAfterMs / 1000);
    const nanos = Math.round((status.retryAfterMs - seconds * 1000) * 1e6);
    if (seconds !== 0) out.varintField(tagOf(1, WIRE_VARINT), seconds);
    if (nanos !== 0) out.varintField(tagOf(2, WIRE_VARINT), nanos);
    out.end(duration);
    out.end(info);
    out.end(any);
  }
  return out.finish();
}

const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo';

/** The same in proto3 JSON: zero-valued members are left out. */
export function statusJson(status: RpcStatus): string {
  const details =
    status.retryAfterMs === undefined
      ? undefined
      : [{ '@type': RETRY_INFO, retryDelay: `${+(status.retryAfterMs / 1000).toFixed(9)}s` }];
  return JSON.stringify({ code: status.code || undefined, message: status.message || undefined, details });
}

/** `grpc-message`: percent-encoded UTF-8, only printable ASCII without '%' stays. Bounded, for headers have limits. */
export function percentEncode(message: string): string {
  let text = '';
  for (const byte of Buffer.from(message.slice(0, 1024), 'utf8'))
    text +=
      byte >= 0x20 && byte < 0x7f && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return text;
}
