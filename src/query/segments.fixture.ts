/**
 * Spans in both forms that a query meets: the live columns of requests that were just taken, and the block that is cut from
 * them into a real folder.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { onlyRowGroup } from '../block/only-row-group.fixture.ts';
import { createBlockCaches, OpenBlock } from '../block/open.ts';
import type { Segment } from '../block/segment.ts';
import { Appender } from '../cut/append.ts';
import { LiveColumns } from '../cut/columns.ts';
import { cutBlock } from '../cut/cut-block.ts';
import { joinedSegment } from '../cut/joined-segment.ts';
import { LiveSegment } from '../cut/live-segment.ts';
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT } from '../wire/protobuf.ts';
import { RepeatedSpanCache } from './repeated-spans.ts';
import { SplitTraceCache } from './split-traces.ts';
import type { Joining } from './units.ts';

/** bigint = int, number = double; a record is a kvlist. */
export type Value = string | bigint | number | boolean | Uint8Array | Value[] | { [key: string]: Value };
/** A list where a key comes twice. */
export type Attributes = { [key: string]: Value } | [string, Value][];

export interface SpanSpec {
  /** Numbers that become the last bytes of ids. */
  trace: number;
  span: number;
  parent?: number;
  name?: string;
  kind?: number;
  status?: number;
  message?: string;
  /** Milliseconds after `BASE_SECONDS`; lasts 1 ms unless said otherwise. */
  at?: number;
  ms?: number;
  resource?: Attributes;
  scope?: { name?: string; version?: string; attributes?: Attributes };
  attributes?: Attributes;
  events?: { name: string; at?: number; attributes?: Attributes }[];
  links?: { trace: number; span: number; attributes?: Attributes }[];
}

export const BASE_SECONDS = 1_700_000_000;
/** A range that holds every span. */
export const EVER = { startSeconds: 0, endSeconds: 4_000_000_000 };

/** The spans of some requests as a live segment and as a block; both go with the test. */
export function bothForms(t: TestContext, ...requests: SpanSpec[][]): Promise<{ live: Segment; block: Segment }> {
  return bothFormsPaged(t, 4, requests);
}

/** The same with so many rows a page of the block. */
export async function bothFormsPaged(
  t: TestContext,
  pageRows: number,
  requests: SpanSpec[][],
): Promise<{ live: Segment; block: Segment }> {
  const columns = new LiveColumns(64 * 1024 * 1024, 1);
  const appender = new Appender(columns, { attributeBytesMax: 2048, traceBytesMax: 0 });
  for (const spans of requests) appender.append(encodeRequest(spans));
  const snapshot = columns.snapshot(1, 'tenant');
  const blocksDirectory = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-query-'));
  t.after(() => fs.rmSync(blocksDirectory, { recursive: true }));
  const ref = await cutBlock(snapshot, {
    blocksDirectory,
    pageRows,
    createdBy: 'test',
    fsync: 'never',
    log: { instance: 'test', sequence: 1 },
    cutMs: Date.now(),
    pause: async () => {},
  });
  const block = onlyRowGroup(await OpenBlock.open(ref, createBlockCaches(16 * 1024 * 1024)));
  t.after(() => block.close());
  return { live: new LiveSegment(snapshot), block };
}

/** How traces in several segments are joined, as a reader thread does it. */
export function joiningOf(): Joining {
  return { segmentOf: joinedSegment, splits: new SplitTraceCache(), repeats: new RepeatedSpanCache() };
}

/** Sixteen bytes of hex. */
export function traceIdOf(trace: number): string {
  return trace.toString(16).padStart(32, '0');
}

/** One ExportTraceServiceRequest, each span in a ResourceSpans of its own. */
export function encodeRequest(spans: SpanSpec[]): Uint8Array {
  const writer = new ProtoWriter();
  for (const span of spans) {
    const resourceSpans = writer.begin(tagOf(1, WIRE_BYTES), 2);
    const resource = writer.begin(tagOf(1, WIRE_BYTES), 2);
    writeAttributes(writer, 1, span.resource);
    writer.end(resource, 2);
    const scopeSpans = writer.begin(tagOf(2, WIRE_BYTES), 2);
    const scope = writer.begin(tagOf(1, WIRE_BYTES), 2);
    if (span.scope?.name) writer.stringField(tagOf(1, WIRE_BYTES), span.scope.name);
    if (span.scope?.version) writer.stringField(tagOf(2, WIRE_BYTES), span.scope.version);
    writeAttributes(writer, 3, span.scope?.attributes);
    writer.end(scope, 2);
    writeSpan(writer, span);
    writer.end(scopeSpans, 2);
    writer.end(resourceSpans, 2);
  }
  return writer.finish();
}

function writeSpan(writer: ProtoWriter, span: SpanSpec): void {
  const mark = writer.begin(tagOf(2, WIRE_BYTES), 2);
  writer.bytesField(tagOf(1, WIRE_BYTES), Buffer.from(traceIdOf(span.trace), 'hex'));
  writer.bytesField(tagOf(2, WIRE_BYTES), spanId(span.span));
  if (span.parent !== undefined) writer.bytesField(tagOf(4, WIRE_BYTES), spanId(span.parent));
  writer.stringField(tagOf(5, WIRE_BYTES), span.name ?? '');
  writer.varintField(tagOf(6, WIRE_VARINT), span.kind ?? 1);
  writeTime(writer, 7, span.at ?? 0);
  writeTime(writer, 8, (span.at ?? 0) + (span.ms ?? 1));
  writeAttributes(writer, 9, span.attributes);
  for (const event of span.events ?? []) {
    const inner = writer.begin(tagOf(11, WIRE_BYTES), 2);
    writeTime(writer, 1, event.at ?? span.at ?? 0);
    writer.stringField(tagOf(2, WIRE_BYTES), event.name);
    writeAttributes(writer, 3, event.attributes);
    writer.end(inner, 2);
  }
  for (const link of span.links ?? []) {
    const inner = writer.begin(tagOf(13, WIRE_BYTES), 2);
    writer.bytesField(tagOf(1, WIRE_BYTES), Buffer.from(traceIdOf(link.trace), 'hex'));
    writer.bytesField(tagOf(2, WIRE_BYTES), spanId(link.span));
    writeAttributes(writer, 4, link.attributes);
    writer.end(inner, 2);
  }
  const status = writer.begin(tagOf(15, WIRE_BYTES), 2);
  if (span.message) writer.stringField(tagOf(2, WIRE_BYTES), span.message);
  writer.varintField(tagOf(3, WIRE_VARINT), span.status ?? 0);
  writer.end(status, 2);
  writer.end(mark, 2);
}

function spanId(span: number): Uint8Array {
  return Buffer.from(span.toString(16).padStart(16, '0'), 'hex');
}

function writeTime(writer: ProtoWriter, field: number, ms: number): void {
  const ns = BigInt(BASE_SECONDS) * 1_000_000_000n + BigInt(Math.round(ms * 1e6));
  writer.varint(tagOf(field, WIRE_FIXED64));
  writer.fixed32(Number(ns & 0xffffffffn));
  writer.fixed32(Number(ns >> 32n));
}

function writeAttributes(writer: ProtoWriter, field: number, attributes: Attributes = []): void {
  for (const [key, value] of Array.isArray(attributes) ? attributes : Object.entries(attributes)) {
    const mark = writer.begin(tagOf(field, WIRE_BYTES), 2);
    writer.stringField(tagOf(1, WIRE_BYTES), key);
    const any = writer.begin(tagOf(2, WIRE_BYTES), 2);
    writeValue(writer, value);
    writer.end(any, 2);
    writer.end(mark, 2);
  }
}

function writeValue(writer: ProtoWriter, value: Value): void {
  if (typeof value === 'string') writer.stringField(tagOf(1, WIRE_BYTES), value);
  else if (typeof value === 'boolean') writer.varintField(tagOf(2, WIRE_VARINT), value ? 1 : 0);
  else if (typeof value === 'bigint') {
    writer.varint(tagOf(3, WIRE_VARINT));
    writer.varint64(Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn));
  } else if (typeof value === 'number') {
    writer.varint(tagOf(4, WIRE_FIXED64));
    writer.double(value);
  } else if (value instanceof Uint8Array) writer.bytesField(tagOf(7, WIRE_BYTES), value);
  else if (Array.isArray(value)) {
    const array = writer.begin(tagOf(5, WIRE_BYTES), 2);
    for (const each of value) {
      const element = writer.begin(tagOf(1, WIRE_BYTES), 2);
      writeValue(writer, each);
      writer.end(element, 2);
    }
    writer.end(array, 2);
  } else {
    const map = writer.begin(tagOf(6, WIRE_BYTES), 2);
    writeAttributes(writer, 1, value);
    writer.end(map, 2);
  }
}
