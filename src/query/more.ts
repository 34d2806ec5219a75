/**
 * Attributes that have no column: of a block with more keys than it may have columns, and of a key that comes twice in one
 * span, event or link. They stand in the column `more`, one message a row with nothing in it but the attributes field:
 *
 *   ┌─────┬────────┬──────────┬─────┬────────┬──────────┬ ┄
 *   │ tag │ length │ KeyValue │ tag │ length │ KeyValue │     tag = field 9 of Span, 3 of Event or 4 of Link
 *   └─────┴────────┴──────────┴─────┴────────┴──────────┴ ┄
 */
import { eachField } from '../block/any-value.ts';
import type { Column, RowRange, Segment, Space } from '../block/segment.ts';

/** The field that holds attributes in the messages of this column. */
export const MORE_FIELD: Record<Space, number> = { span: 9, event: 3, link: 4 };

/** The column, or undefined where every attribute has a column of its own. */
export function moreColumn(segment: Segment, space: Space, range?: RowRange): Promise<Column | undefined> {
  return segment.column(
    space === 'span' ? { of: 'rare', field: 'more' } : { of: 'child', space, field: 'more' },
    range,
  );
}

/** The bytes of the first AnyValue that `key` (UTF-8) has in a message of the column; undefined when it has none. */
export function moreValue(message: Uint8Array, key: Uint8Array): Uint8Array | undefined {
  let found: Uint8Array | undefined;
  eachField(message, (_field, _wire, _low, _high, keyValue) => {
    if (found !== undefined) return;
    let isWanted = key.length === 0;
    let value = keyValue.subarray(0, 0);
    eachField(keyValue, (field, wire, _l, _h, content) => {
      if (wire !== 2) return;
      if (field === 1) isWanted = isEqual(content, key);
      else if (field === 2) value = content;
    });
    if (isWanted) found = value;
  });
  return found;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
