/**
 * What a file of several row groups says of each: which part of the file `traces` is its, and when its spans were. A file of one
 * says nothing: everything is that one's. docs/formats/block.md has the form.
 */
import type { ChecksPlace } from '../parquet/checks.ts';
import type { FileMetadata } from '../parquet/footer.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { BlockRef } from './catalog.ts';
import type { ByteRange } from './source.ts';

export const ROW_GROUPS_KEY = 'vivace.row_groups';

export interface RowGroupPlace {
  /** Of the file `traces`. */
  traces: ByteRange;
  /** Whole seconds since 1970 that contain every span. */
  startSeconds: number;
  endSeconds: number;
  /** Its share of data.parquet. */
  bytes: number;
  /** Checksums of what the format has none for, and the page locations; undefined in blocks of the first versions. */
  checks?: ChecksPlace;
}

export type WrittenPlace = Pick<RowGroupPlace, 'traces' | 'startSeconds' | 'endSeconds'>;

/** The value of the key. */
export function renderPlaces(places: readonly WrittenPlace[]): string {
  return JSON.stringify(
    places.map(({ traces, startSeconds, endSeconds }) => [traces.offset, traces.length, startSeconds, endSeconds]),
  );
}

/** One for each row group of the footer. Throws VivaceError 'undecodable' when they do not fit together. */
export function placesOf(
  { meta, startSeconds, endSeconds }: Pick<BlockRef, 'meta' | 'startSeconds' | 'endSeconds'>,
  metadata: FileMetadata,
): RowGroupPlace[] {
  const text = metadata.keyValue.get(ROW_GROUPS_KEY);
  const groups = metadata.rowGroups;
  const whole = [0, meta.vivace.tracesBytes, startSeconds, endSeconds];
  const places: unknown = text === undefined ? [whole] : JSON.parse(text);
  if (!Array.isArray(places) || places.length !== groups.length)
    throw new VivaceError('undecodable', `cannot read a block: its footer describes other row groups than it has`);
  return places.map(([offset, length, start, end]: number[], group) => {
    const from = group === 0 ? 0 : groups[group].columns[0].startOffset;
    const to = group + 1 < groups.length ? groups[group + 1].columns[0].startOffset : meta.size;
    return { traces: { offset, length }, startSeconds: start, endSeconds: end, bytes: to - from };
  });
}
