/**
 * The receipt of an answer: what it rests on, for people and programs that want to know whether it is all there is. It goes
 * out as a header of one line (a dictionary of RFC 9651):
 *
 *   X-Vivace-Receipt: complete, blocks=12, blocks-read=9, blocks-pruned=3, bytes=81920, bytes-read=4096, bytes-pruned=512,
 *     live-until=@1763731200, missing=("block 6f…: its checksum differs")
 *
 * Bodies stay as Tempo's clients know them, some of which refuse a member that they do not know; `receipt=true` asks for it
 * in the body, too.
 */
import type { Listener, Queries, Receipt } from './queries.ts';

export const RECEIPT_HEADER = 'X-Vivace-Receipt';

/** Names in the header; more are counted only, since headers have limits. */
const MISSING_MAX = 8;
const MISSING_CHARS_MAX = 200;

/** The same queries; `ear` is told what is said beside every answer. */
export function overheard(queries: Queries, ear: Omit<Listener, 'onProgress'>): Queries {
  const heard = <A>(listener: Listener<A> | undefined): Listener<A> => ({ ...listener, ...ear });
  return {
    ...(queries.searchBody && {
      searchBody: (request, form, signal, listener) => queries.searchBody!(request, form, signal, heard(listener)),
    }),
    trace: (request, signal, listener) => queries.trace(request, signal, heard(listener)),
    search: (request, signal, listener) => queries.search(request, signal, heard(listener)),
    tagNames: (request, signal, listener) => queries.tagNames(request, signal, heard(listener)),
    tagValues: (request, signal, listener) => queries.tagValues(request, signal, heard(listener)),
    metrics: (request, signal, listener) => queries.metrics(request, signal, heard(listener)),
    metricsBody: (request, form, signal, listener) => queries.metricsBody(request, form, signal, heard(listener)),
    metricsPartial: (request, signal, listener) => queries.metricsPartial(request, signal, heard(listener)),
  };
}

/** The JSON body with the receipt in its `metrics`, for those who ask for it. */
export function withReceiptInBody(body: string | Uint8Array, receipt: Receipt): string | Uint8Array {
  const bytes = Buffer.from(body);
  // Whatever a body holds, its own metrics stand behind it.
  const at = bytes.lastIndexOf('"metrics":{');
  if (at < 0) return body;
  const from = at + '"metrics":{'.length;
  const comma = bytes[from] === 0x7d ? '' : ',';
  return Buffer.concat([
    bytes.subarray(0, from),
    Buffer.from(`"receipt":${JSON.stringify(receipt)}${comma}`),
    bytes.subarray(from),
  ]);
}

/** One receipt of all parts of an answer. */
export function joinReceipts(receipts: readonly Receipt[]): Receipt {
  const sum = (of: (receipt: Receipt) => number): number => receipts.reduce((total, each) => total + of(each), 0);
  const untils = receipts.map(({ liveUntilMs }) => liveUntilMs).filter((ms) => ms !== undefined);
  return {
    blocks: {
      wanted: sum((r) => r.blocks.wanted),
      read: sum((r) => r.blocks.read),
      pruned: sum((r) => r.blocks.pruned),
    },
    bytes: { wanted: sum((r) => r.bytes.wanted), read: sum((r) => r.bytes.read), pruned: sum((r) => r.bytes.pruned) },
    ...(untils.length > 0 && { liveUntilMs: Math.min(...untils) }),
    missing: receipts.flatMap(({ missing }) => missing),
  };
}

/** The value of the header. */
export function receiptHeader({ blocks, bytes, liveUntilMs, missing }: Receipt): string {
  const members = [
    missing.length === 0 ? 'complete' : 'complete=?0',
    `blocks=${blocks.wanted}`,
    `blocks-read=${blocks.read}`,
    `blocks-pruned=${blocks.pruned}`,
    `bytes=${bytes.wanted}`,
    `bytes-read=${bytes.read}`,
    `bytes-pruned=${bytes.pruned}`,
  ];
  if (liveUntilMs !== undefined) members.push(`live-until=@${Math.floor(liveUntilMs / 1000)}`);
  if (missing.length > 0) {
    const shown = missing.slice(0, MISSING_MAX).map(({ what, why }) => quoted(`${what}: ${why}`));
    members.push(`missing=(${shown.join(' ')})`, `missing-count=${missing.length}`);
  }
  return members.join(', ');
}

/** A text of a header: printable ASCII only. */
function quoted(text: string): string {
  const plain = text.replace(/[^\x20-\x7e]/g, '?').slice(0, MISSING_CHARS_MAX);
  return `"${plain.replace(/["\\]/g, '\\$&')}"`;
}
