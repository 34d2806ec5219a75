/**
 * Answers of a stream as messages: a partial answer is what is new or changed since the last one, the final answer is
 * everything; neither is larger than a packet may be. Clients join what they get by key.
 */
import { ProtoWriter, tagOf, WIRE_BYTES } from '../wire/protobuf.ts';

/** One element of an answer. */
export interface Element {
  /** What it is known by: a later element with the same key replaces it. */
  key: string;
  /** The element as a whole field of the message, or inside of a group: of the group's message. */
  bytes: Uint8Array;
  /** Elements of one group stand in one message of field 1 under this name in its field 1. */
  group?: string;
}

/** What an answer consists of. */
export interface Elements {
  elements: Element[];
  /** Fields that stand in every packet. */
  metrics: Uint8Array;
  /** Fields that stand in the last packet of the answer: whether it is whole. */
  status?: Uint8Array;
}

/** More than the field of a group takes beside its name and its elements. */
const GROUP_BYTES = 16;

export class Packets {
  readonly #bytesMax: number;
  readonly #sent = new Map<string, Uint8Array>();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax > 0 ? bytesMax : Number.POSITIVE_INFINITY;
  }

  /** At least one message, if only with the metrics: these show how far the query is. */
  *partial({ elements, metrics }: Elements): Generator<Uint8Array> {
    const fresh = elements.filter(({ key, bytes }) => {
      const known = this.#sent.get(key);
      return known === undefined || Buffer.compare(known, bytes) !== 0;
    });
    for (const { key, bytes } of fresh) this.#sent.set(key, bytes);
    yield* this.#split(fresh, metrics, EMPTY);
  }

  *final({ elements, metrics, status }: Elements): Generator<Uint8Array> {
    yield* this.#split(elements, metrics, status ?? EMPTY);
  }

  *#split(elements: Element[], metrics: Uint8Array, status: Uint8Array): Generator<Uint8Array> {
    let from = 0;
    while (from < elements.length) {
      let to = from;
      let bytes = metrics.length;
      do bytes += sizeOf(elements, to++, from);
      while (to < elements.length && bytes + sizeOf(elements, to, from) + status.length <= this.#bytesMax);
      if (to === elements.length) break;
      yield message(elements.slice(from, to), metrics, EMPTY);
      from = to;
    }
    yield message(elements.slice(from), metrics, status);
  }
}

const EMPTY = new Uint8Array();

function sizeOf(elements: Element[], at: number, from: number): number {
  const { bytes, group } = elements[at];
  if (group === undefined || (at > from && elements[at - 1].group === group)) return bytes.length;
  return bytes.length + GROUP_BYTES + Buffer.byteLength(group);
}

function message(elements: Element[], metrics: Uint8Array, status: Uint8Array): Uint8Array {
  const out = new ProtoWriter(metrics.length + status.length + 1024);
  for (let at = 0; at < elements.length; ) {
    const { group, bytes } = elements[at];
    if (group === undefined) {
      out.raw(bytes);
      at++;
      continue;
    }
    const mark = out.begin(tagOf(1, WIRE_BYTES), 2);
    out.stringField(tagOf(1, WIRE_BYTES), group);
    for (; at < elements.length && elements[at].group === group; at++) out.raw(elements[at].bytes);
    out.end(mark, 2);
  }
  out.raw(metrics);
  out.raw(status);
  return out.finish();
}
