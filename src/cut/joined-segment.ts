/** A segment of bytes that were put together by a query: they go through the columns that requests go through. */
import type { Segment } from '../block/segment.ts';
import { Appender } from './append.ts';
import { LiveColumns } from './columns.ts';
import { LiveSegment } from './live-segment.ts';

/** Beyond this the bytes are refused (VivaceError 'too-large'); memory is taken as it fills. */
const JOINED_BYTES_MAX = 512 * 1024 * 1024;

/**
 * The spans of OTLP TracesData as a segment of its own, in memory of its own. Who lets it be remembered by its name gives it a
 * number that no other has.
 */
export function joinedSegment(tracesData: Uint8Array, number = 0): Segment {
  const columns = new LiveColumns(JOINED_BYTES_MAX, 0);
  new Appender(columns, { attributeBytesMax: 0, traceBytesMax: 0 }).append(tracesData);
  return new LiveSegment(columns.snapshot(number, ''));
}
