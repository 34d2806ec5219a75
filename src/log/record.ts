/**
 * One record of the log (docs/formats/log.md). All integers are little-endian.
 *
 * ```
 *  0        4        8              16     17       18        20               20+t          20+t+n
 *  ┌────────┬────────┬──────────────┬──────┬────────┬─────────┬────────────────┬──────────────┐
 *  │ length │ crc-32 │ sequence f64 │ type │ tenant │ 0  0    │ tenant (UTF-8) │ body         │
 *  └────────┴────────┴──────────────┴──────┴─length─┴─────────┴────────────────┴──────────────┘
 *  length: bytes after the first 8; crc-32: of those bytes
 * ```
 */
import { crc32 } from 'node:zlib';

export const RECORD_HEAD_BYTES = 20;
/** A request's OTLP bytes. */
export const RECORD_SPANS = 1;
/** Everything of the tenant up to the sequence number in the body (f64) is in a durable block. */
export const RECORD_CUT = 2;
/** Larger lengths are taken for damage. */
export const RECORD_BYTES_MAX = 256 * 1024 * 1024;

export interface LogRecord {
  sequence: number;
  type: number;
  tenant: string;
  body: Uint8Array;
}

/** The head (with the tenant) that goes before `body`; both are written as they are. */
export function recordHead(sequence: number, type: number, tenant: Uint8Array, body: Uint8Array): Uint8Array {
  const head = new Uint8Array(RECORD_HEAD_BYTES + tenant.length);
  const view = new DataView(head.buffer);
  view.setUint32(0, head.length - 8 + body.length, true);
  view.setFloat64(8, sequence, true);
  head[16] = type;
  head[17] = tenant.length;
  head.set(tenant, RECORD_HEAD_BYTES);
  view.setUint32(4, crc32(body, crc32(head.subarray(8))), true);
  return head;
}

export type ParsedRecord =
  | { kind: 'record'; record: LogRecord; end: number }
  | { kind: 'torn' }
  | { kind: 'corrupt'; end: number; reason: string };

/** Reads the record at `at`. 'torn': the file ends inside it. 'corrupt': its checksum differs; `end` is where the next one should begin. */
export function parseRecord(bytes: Uint8Array, at: number): ParsedRecord {
  if (at + RECORD_HEAD_BYTES > bytes.length) return { kind: 'torn' };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(at, true);
  const end = at + 8 + length;
  if (length < RECORD_HEAD_BYTES - 8 || length > RECORD_BYTES_MAX)
    return { kind: 'corrupt', end: -1, reason: `its length is ${length}` };
  if (end > bytes.length) return { kind: 'torn' };
  if (crc32(bytes.subarray(at + 8, end)) !== view.getUint32(at + 4, true))
    return { kind: 'corrupt', end, reason: 'its checksum differs' };
  const tenantEnd = at + RECORD_HEAD_BYTES + bytes[at + 17];
  if (tenantEnd > end) return { kind: 'corrupt', end, reason: 'its tenant overruns it' };
  return {
    kind: 'record',
    end,
    record: {
      sequence: view.getFloat64(at + 8, true),
      type: bytes[at + 16],
      tenant: new TextDecoder().decode(bytes.subarray(at + RECORD_HEAD_BYTES, tenantEnd)),
      body: bytes.subarray(tenantEnd, end),
    },
  };
}
