/** One Jaeger span in proto3's JSON, as Kafka carries it. Source: spec/ingestion.md §7. */
import { ProtoWriter } from '../wire/protobuf.ts';
import type { JaegerProto } from './jaeger-proto.ts';
import { JsonCursor } from './json-cursor.ts';
import { type JsonMessage, protoJson } from './proto-json.ts';

/** The span as an ExportTraceServiceRequest. Throws VivaceError 'undecodable'. */
export function jaegerJsonToOtlp(body: Uint8Array, jaeger: JaegerProto): Uint8Array<ArrayBuffer> {
  const json = new JsonCursor(body, 'Jaeger JSON');
  const out = new ProtoWriter(body.length);
  protoJson(json, out, SPAN);
  json.end();
  return jaeger.span(out.finish());
}

const KEY_VALUE: JsonMessage = {
  key: [1, 'string'],
  v_type: [2, { enum: { STRING: 0, BOOL: 1, INT64: 2, FLOAT64: 3, BINARY: 4 } }],
  v_str: [3, 'string'],
  v_bool: [4, 'bool'],
  v_int64: [5, 'int'],
  v_float64: [6, 'double'],
  v_binary: [7, 'bytes'],
};
const REFERENCE: JsonMessage = {
  trace_id: [1, 'bytes'],
  span_id: [2, 'bytes'],
  ref_type: [3, { enum: { CHILD_OF: 0, FOLLOWS_FROM: 1 } }],
};
const LOG: JsonMessage = { timestamp: [1, 'timestamp'], fields: [2, { list: { message: () => KEY_VALUE } }] };
const PROCESS: JsonMessage = { service_name: [1, 'string'], tags: [2, { list: { message: () => KEY_VALUE } }] };
const SPAN: JsonMessage = {
  trace_id: [1, 'bytes'],
  span_id: [2, 'bytes'],
  operation_name: [3, 'string'],
  references: [4, { list: { message: () => REFERENCE } }],
  flags: [5, 'uint'],
  start_time: [6, 'timestamp'],
  duration: [7, 'duration'],
  tags: [8, { list: { message: () => KEY_VALUE } }],
  logs: [9, { list: { message: () => LOG } }],
  process: [10, { message: () => PROCESS }],
  process_id: [11, 'string'],
  warnings: [12, { list: 'string' }],
};
