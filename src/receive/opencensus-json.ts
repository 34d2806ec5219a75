/** The JSON of OpenCensus' gateway: one or more requests in a row. Source: spec/ingestion.md §6. */
import { ProtoWriter } from '../wire/protobuf.ts';
import { JsonCursor } from './json-cursor.ts';
import { type JsonMessage, type JsonType, protoJson } from './proto-json.ts';

/** Each object as the bytes of an ExportTraceServiceRequest. Throws VivaceError 'undecodable'; none is an error, too. */
export function opencensusJsonMessages(body: Uint8Array): Uint8Array[] {
  const json = new JsonCursor(body, 'OpenCensus JSON');
  const messages: Uint8Array[] = [];
  do {
    const out = new ProtoWriter(1024);
    protoJson(json, out, REQUEST);
    messages.push(out.finish());
  } while (json.peek() >= 0);
  return messages;
}

const message = (of: () => JsonMessage): JsonType => ({ message: of });
const list = (of: () => JsonMessage): JsonType => ({ list: { message: of } });

const TRUNCATABLE: JsonMessage = { value: [1, 'string'], truncated_byte_count: [2, 'int'] };
const ATTRIBUTE_VALUE: JsonMessage = {
  string_value: [1, message(() => TRUNCATABLE)],
  int_value: [2, 'int'],
  bool_value: [3, 'bool'],
  double_value: [4, 'double'],
};
const ATTRIBUTES: JsonMessage = {
  attribute_map: [1, { map: { message: () => ATTRIBUTE_VALUE } }],
  dropped_attributes_count: [2, 'int'],
};
const ANNOTATION: JsonMessage = {
  description: [1, message(() => TRUNCATABLE)],
  attributes: [2, message(() => ATTRIBUTES)],
};
const MESSAGE_EVENT: JsonMessage = {
  type: [1, { enum: { TYPE_UNSPECIFIED: 0, SENT: 1, RECEIVED: 2 } }],
  id: [2, 'uint'],
  uncompressed_size: [3, 'uint'],
  compressed_size: [4, 'uint'],
};
const TIME_EVENT: JsonMessage = {
  time: [1, 'timestamp'],
  annotation: [2, message(() => ANNOTATION)],
  message_event: [3, message(() => MESSAGE_EVENT)],
};
const TIME_EVENTS: JsonMessage = {
  time_event: [1, list(() => TIME_EVENT)],
  dropped_annotations_count: [2, 'int'],
  dropped_message_events_count: [3, 'int'],
};
const ENTRY: JsonMessage = { key: [1, 'string'], value: [2, 'string'] };
const TRACE_STATE: JsonMessage = { entries: [1, list(() => ENTRY)] };
const LINK: JsonMessage = {
  trace_id: [1, 'bytes'],
  span_id: [2, 'bytes'],
  type: [3, { enum: { TYPE_UNSPECIFIED: 0, CHILD_LINKED_SPAN: 1, PARENT_LINKED_SPAN: 2 } }],
  attributes: [4, message(() => ATTRIBUTES)],
  tracestate: [5, message(() => TRACE_STATE)],
};
const LINKS: JsonMessage = { link: [1, list(() => LINK)], dropped_links_count: [2, 'int'] };
const RESOURCE: JsonMessage = { type: [1, 'string'], labels: [2, { map: 'string' }] };
const SPAN: JsonMessage = {
  trace_id: [1, 'bytes'],
  span_id: [2, 'bytes'],
  parent_span_id: [3, 'bytes'],
  name: [4, message(() => TRUNCATABLE)],
  start_time: [5, 'timestamp'],
  end_time: [6, 'timestamp'],
  attributes: [7, message(() => ATTRIBUTES)],
  time_events: [9, message(() => TIME_EVENTS)],
  links: [10, message(() => LINKS)],
  status: [11, message(() => ({ code: [1, 'int'], message: [2, 'string'] }))],
  same_process_as_parent_span: [12, 'boolValue'],
  child_span_count: [13, 'uint32Value'],
  kind: [14, { enum: { SPAN_KIND_UNSPECIFIED: 0, SERVER: 1, CLIENT: 2 } }],
  tracestate: [15, message(() => TRACE_STATE)],
  resource: [16, message(() => RESOURCE)],
};
const LANGUAGES = [
  'LANGUAGE_UNSPECIFIED',
  'CPP',
  'C_SHARP',
  'ERLANG',
  'GO_LANG',
  'JAVA',
  'NODE_JS',
  'PHP',
  'PYTHON',
  'RUBY',
  'WEB_JS',
];
const NODE: JsonMessage = {
  identifier: [1, message(() => ({ host_name: [1, 'string'], pid: [2, 'uint'], start_timestamp: [3, 'timestamp'] }))],
  library_info: [
    2,
    message(() => ({
      language: [1, { enum: Object.fromEntries(LANGUAGES.map((name, i) => [name, i])) }],
      exporter_version: [2, 'string'],
      core_library_version: [3, 'string'],
    })),
  ],
  service_info: [3, message(() => ({ name: [1, 'string'] }))],
  attributes: [4, { map: 'string' }],
};
const REQUEST: JsonMessage = {
  node: [1, message(() => NODE)],
  spans: [2, list(() => SPAN)],
  resource: [3, message(() => RESOURCE)],
};
