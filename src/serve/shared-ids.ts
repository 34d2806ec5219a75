/**
 * Zipkin lets the two sides of a call share one span id; viewers take such a trace for broken. As Tempo does, the server's
 * span is given an id of its own, the smallest that is free; it becomes a child of the client's, and what were children of the
 * shared id become its children.
 *
 *   client a2 ─┬─ server a2          client a2 ── server 1 ── work a3
 *              └─ work a3       ─▶
 */
import { ProtoReader, ProtoWriter, tagOf, WIRE_BYTES, WIRE_VARINT } from '../wire/protobuf.ts';

const RESOURCE_SPANS = tagOf(1, WIRE_BYTES);
const SCOPE_SPANS = tagOf(2, WIRE_BYTES);
const SPANS = tagOf(2, WIRE_BYTES);
const SPAN_ID = tagOf(2, WIRE_BYTES);
const PARENT_ID = tagOf(4, WIRE_BYTES);
const KIND = tagOf(6, WIRE_VARINT);
const SERVER = 2;
const CLIENT = 3;

/** OTLP `TracesData` of one trace, the same bytes where no id is shared. */
export function splitSharedIds(trace: Uint8Array): Uint8Array {
  const clients = new Set<string>();
  const servers = new Set<string>();
  const used = new Set<string>();
  eachSpan(trace, (span) => {
    const { id, kind } = headOf(span);
    used.add(id);
    if (kind === CLIENT) clients.add(id);
    else if (kind === SERVER) servers.add(id);
  });
  const shared = new Set([...servers].filter((id) => clients.has(id)));
  return shared.size === 0 ? trace : rewritten(trace, shared, used);
}

function rewritten(trace: Uint8Array, shared: Set<string>, used: Set<string>): Uint8Array {
  const idsOfServers: string[] = [];
  const newIds = new Map<string, string>();
  let last = 0;
  eachSpan(trace, (span) => {
    const { id, kind } = headOf(span);
    if (kind !== SERVER || !shared.has(id)) return;
    do last++;
    while (used.has(idOf(last)));
    idsOfServers.push(idOf(last));
    newIds.set(id, idOf(last));
  });
  let next = 0;
  const out = new ProtoWriter(trace.length + 64);
  copy(trace, RESOURCE_SPANS, out, (resourceSpans) =>
    copy(resourceSpans, SCOPE_SPANS, out, (scopeSpans) =>
      copy(scopeSpans, SPANS, out, (span) => {
        const { id, parent, kind } = headOf(span);
        const isServer = kind === SERVER && shared.has(id);
        const ownId = isServer ? idsOfServers[next++] : id;
        const above = isServer ? id : parent;
        const below = newIds.get(above);
        copySpan(span, out, ownId, below === undefined || below === ownId ? above : below);
      }),
    ),
  );
  return out.finish();
}

/** Ids as texts of a character a byte. */
function idOf(number: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(number, 4);
  return bytes.toString('latin1');
}

function headOf(span: Uint8Array): { id: string; parent: string; kind: number } {
  const head = { id: '', parent: '', kind: 0 };
  const reader = new ProtoReader(span);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === SPAN_ID) head.id = latin1(reader.bytesValue());
    else if (tag === PARENT_ID) head.parent = latin1(reader.bytesValue());
    else if (tag === KIND) head.kind = reader.varint();
    else reader.skip(tag);
  }
  return head;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

function eachSpan(trace: Uint8Array, visit: (span: Uint8Array) => void): void {
  each(trace, RESOURCE_SPANS, (resourceSpans) =>
    each(resourceSpans, SCOPE_SPANS, (scopeSpans) => each(scopeSpans, SPANS, visit)),
  );
}

function each(message: Uint8Array, wanted: number, visit: (value: Uint8Array) => void): void {
  const reader = new ProtoReader(message);
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === wanted) visit(reader.bytesValue());
    else reader.skip(tag);
  }
}

/** The message, with what `inner` writes in place of each field of the wanted tag. */
function copy(message: Uint8Array, wanted: number, out: ProtoWriter, inner: (value: Uint8Array) => void): void {
  const reader = new ProtoReader(message);
  for (let from = 0, tag = reader.tag(); tag !== 0; from = reader.pos, tag = reader.tag()) {
    if (tag !== wanted) {
      reader.skip(tag);
      out.raw(message, from, reader.pos);
      continue;
    }
    const mark = out.begin(tag, 2);
    inner(reader.bytesValue());
    out.end(mark, 2);
  }
}

function copySpan(span: Uint8Array, out: ProtoWriter, id: string, parent: string): void {
  const reader = new ProtoReader(span);
  for (let from = 0, tag = reader.tag(); tag !== 0; from = reader.pos, tag = reader.tag()) {
    reader.skip(tag);
    if (tag === SPAN_ID) {
      out.bytesField(SPAN_ID, Buffer.from(id, 'latin1'));
      if (parent !== '') out.bytesField(PARENT_ID, Buffer.from(parent, 'latin1'));
    } else if (tag !== PARENT_ID) out.raw(span, from, reader.pos);
  }
}
