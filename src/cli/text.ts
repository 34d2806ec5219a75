/** Text from spans on a terminal: its width in columns, cut and filled to a width, and harmless. */
import columnsOf from 'fast-string-truncated-width';

/**
 * Control characters, which a terminal would obey, and marks that turn the direction of writing: names and values come from
 * whoever sends spans.
 */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** The text on one line, with everything that is not shown as itself written as an escape. */
export function clean(text: string): string {
  return text.replace(UNSAFE, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    if (character === '\r') return '\\r';
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** Columns that the text takes; colour codes take none, wide characters two. */
export function widthOf(text: string): number {
  return PLAIN.test(text) ? text.length : columnsOf(text).width;
}

const PLAIN = /^[\u0020-\u007e]*$/;
const characters = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** The text, which is not painted, in at most so many columns; one that was cut ends with the ellipsis. */
export function cut(text: string, columns: number, ellipsis = '…'): string {
  if (columns < ellipsis.length) return '';
  if (widthOf(text) <= columns) return text;
  let kept = '';
  let room = columns - ellipsis.length;
  for (const { segment } of characters.segment(text)) {
    room -= widthOf(segment);
    if (room < 0) break;
    kept += segment;
  }
  return kept + ellipsis;
}

/** The same, with the ellipsis in the middle: for texts that differ at their ends. */
export function cutMiddle(text: string, columns: number, ellipsis = '…'): string {
  if (widthOf(text) <= columns) return text;
  const behind = Math.floor((columns - ellipsis.length) / 2);
  const tail: string[] = [];
  let room = behind;
  for (const { segment } of Array.from(characters.segment(text)).toReversed()) {
    room -= widthOf(segment);
    if (room < 0) break;
    tail.unshift(segment);
  }
  return cut(text, columns - behind, ellipsis) + tail.join('');
}

/** The text in exactly so many columns. */
export function fit(text: string, columns: number, ellipsis = '…'): string {
  const short = cut(text, columns, ellipsis);
  return short + ' '.repeat(Math.max(0, columns - widthOf(short)));
}

/** The same, at the right end. */
export function fitRight(text: string, columns: number, ellipsis = '…'): string {
  const short = cut(text, columns, ellipsis);
  return ' '.repeat(Math.max(0, columns - widthOf(short))) + short;
}
