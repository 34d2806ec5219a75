/** What the store holds of a tenant since its last block: columns, or requests as they came. */
import type { Appender } from './append.ts';
import type { LiveColumns, Mark } from './columns.ts';
import type { Pack } from './packs.ts';

export interface Held {
  id: number;
  tenant: string;
  firstSequence: number;
  lastSequence: number;
  firstMs: number;
  lastMs: number;
  /** Requests that wait for the log. */
  unanswered: number;
  /** Bytes that had been written to the log when it was begun. */
  begunAtByte: number;
}

/** Spans of a tenant in columns. */
export interface Segment extends Held {
  columns: LiveColumns;
  pack?: undefined;
  appender: Appender;
  durable: Mark;
}

/** Requests of a tenant without columns. */
export interface Packed extends Held {
  columns: undefined;
  pack: Pack;
  /** Traces that were begun. */
  traces: number;
  /** Traces among them were deleted. */
  hasDeleted: boolean;
}

export type Open = Segment | Packed;

export function hasSpans(held: Open): boolean {
  return held.columns === undefined ? held.pack.bytes > 0 : held.columns.rows.count > 0;
}

/** Whether there is something for a block. */
export function hasDurable(held: Open): boolean {
  return held.columns === undefined ? held.pack.bytes > 0 : held.durable.rows > 0;
}
