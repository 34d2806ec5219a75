/** What lines and bars are drawn with: the characters of Unicode, or those that every terminal has. */

export interface Glyphs {
  ellipsis: string;
  /** A part of a span on the critical path, and one that is not. */
  critical: string;
  span: string;
  /** A span too short for a column. */
  instant: string;
  error: string;
  /** Of the tree, two columns each: a child with siblings below, the last child, a line passing by, nothing. */
  branch: string;
  last: string;
  pass: string;
  blank: string;
  /** Stands for levels that are not shown. */
  skipped: string;
  rule: string;
  tick: string;
  /** Empty to full, for sparklines. */
  levels: string;
  /** Empty and full, for bars of progress and of shares. */
  barEmpty: string;
  barFull: string;
  times: string;
}

export const UNICODE: Glyphs = {
  ellipsis: '…',
  critical: '█',
  span: '━',
  instant: '╸',
  error: '✗',
  branch: '├╴',
  last: '└╴',
  pass: '│ ',
  blank: '  ',
  skipped: '⋯',
  rule: '─',
  tick: '│',
  levels: ' ▁▂▃▄▅▆▇█',
  barEmpty: '░',
  barFull: '█',
  times: '×',
};

export const ASCII: Glyphs = {
  ellipsis: '~',
  critical: '#',
  span: '=',
  instant: '|',
  error: '!',
  branch: '|-',
  last: '`-',
  pass: '| ',
  blank: '  ',
  skipped: '..',
  rule: '-',
  tick: '|',
  levels: ' .:-=+*#@',
  barEmpty: '.',
  barFull: '#',
  times: 'x',
};

/** ASCII where the locale says that the terminal knows nothing else; a locale that says nothing is taken for UTF-8. */
export function glyphsOf(env: Record<string, string | undefined>, ascii: boolean): Glyphs {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  return ascii || (locale !== '' && !/utf-?8/i.test(locale)) ? ASCII : UNICODE;
}
