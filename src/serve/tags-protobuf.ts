/** Names and values of attributes as the protobuf messages of api.md §12.3. */
import { ProtoWriter, tagOf, WIRE_BYTES } from '../wire/protobuf.ts';
import type { TagMetrics, TagNamesAnswer, TagValue, TagValuesAnswer } from './queries.ts';
import { fieldOf, integer, nested, text } from './search-protobuf.ts';

/** `SearchTagsResponse` and `SearchTagValuesResponse`, which have the same shape. */
export function stringsProtobuf(list: string[], metrics: TagMetrics): Uint8Array {
  const out = new ProtoWriter(1024);
  for (const value of list) out.stringField(tagOf(1, WIRE_BYTES), value);
  nested(out, 2, () => writeTagMetrics(out, metrics));
  return out.finish();
}

/** `SearchTagsV2Response`; scopes without names are left out. */
export function tagNamesV2Protobuf(answer: TagNamesAnswer): Uint8Array {
  const out = new ProtoWriter(1024);
  for (const { name, tags } of answer.scopes) {
    if (tags.length === 0) continue;
    nested(out, 1, () => {
      text(out, 1, name);
      for (const tag of tags) out.stringField(tagOf(2, WIRE_BYTES), tag);
    });
  }
  nested(out, 2, () => writeTagMetrics(out, answer.metrics));
  return out.finish();
}

/** `SearchTagValuesV2Response`. */
export function tagValuesV2Protobuf(answer: TagValuesAnswer): Uint8Array {
  const out = new ProtoWriter(1024);
  for (const value of answer.values) nested(out, 1, () => writeTagValue(out, value));
  nested(out, 2, () => writeTagMetrics(out, answer.metrics));
  return out.finish();
}

/** One value as a field of the message. */
export function tagValueField(value: TagValue): Uint8Array {
  return fieldOf(1, (out) => writeTagValue(out, value));
}

/** A text as a field of the message, also when it is empty. */
export function stringField(field: number, value: string): Uint8Array {
  const out = new ProtoWriter(value.length + 8);
  out.stringField(tagOf(field, WIRE_BYTES), value);
  return out.finish();
}

/** `metrics` as a field of the message. */
export function tagMetricsField(metrics: TagMetrics): Uint8Array {
  return fieldOf(2, (out) => writeTagMetrics(out, metrics));
}

function writeTagValue(out: ProtoWriter, { type, value }: TagValue): void {
  text(out, 1, type);
  text(out, 2, value);
}

function writeTagMetrics(out: ProtoWriter, metrics: TagMetrics): void {
  integer(out, 1, metrics.inspectedBytes);
  integer(out, 2, metrics.totalJobs);
  integer(out, 3, metrics.completedJobs);
  integer(out, 4, metrics.totalBlocks);
  integer(out, 5, metrics.totalBlockBytes);
}
