/** A table as lines of text. Columns that may shrink give way when the terminal is too narrow. */
import type { Terminal } from './terminal.ts';
import { cut, fit, widthOf } from './text.ts';

export interface TableColumn {
  title: string;
  align?: 'left' | 'right';
  /** May be cut, down to so many columns. */
  shrinkTo?: number;
  /** May be left out when all cutting does not help, those with the greatest number first. */
  dropRank?: number;
}

export interface TableOptions {
  /** Columns of the terminal; Infinity cuts nothing. */
  width: number;
  /** Of titles; none are painted without it. */
  heading?: (text: string) => string;
  ellipsis?: string;
}

/** Cells may be painted; one that is cut loses its paint. */
export function tableLines(
  columns: readonly TableColumn[],
  rows: readonly string[][],
  options: TableOptions,
): string[] {
  const heading = options.heading ?? ((text) => text);
  const natural = columns.map((column, index) =>
    rows.reduce((widest, row) => Math.max(widest, widthOf(row[index] ?? '')), widthOf(column.title)),
  );
  const kept = keptColumns(columns, natural, options.width);
  if (kept.length < columns.length)
    return tableLines(
      kept.map((index) => columns[index]),
      rows.map((row) => kept.map((index) => row[index] ?? '')),
      options,
    );
  const widths = shrunk(columns, natural, options.width);
  const line = (cells: readonly string[], paint: (text: string) => string): string => {
    let text = '';
    for (let i = 0; i < columns.length; i++) {
      const cell = within(cells[i] ?? '', widths[i], options.ellipsis);
      const filled =
        columns[i].align === 'right'
          ? ' '.repeat(Math.max(0, widths[i] - widthOf(cell))) + paint(cell)
          : paint(cell) + (i === columns.length - 1 ? '' : ' '.repeat(Math.max(0, widths[i] - widthOf(cell))));
      text += (i === 0 ? '' : GAP) + filled;
    }
    return text.trimEnd();
  };
  return [
    line(
      columns.map(({ title }) => title),
      heading,
    ),
    ...rows.map((row) => line(row, (text) => text)),
  ];
}

const GAP = '  ';

/** Numbers of the columns that have room. */
function keptColumns(columns: readonly TableColumn[], natural: readonly number[], width: number): number[] {
  const kept = columns.map((_, index) => index);
  const least = (index: number): number => Math.min(natural[index], columns[index].shrinkTo ?? natural[index]);
  while (kept.reduce((sum, index) => sum + least(index) + GAP.length, -GAP.length) > width) {
    const first = kept.reduce((best, index) => {
      const rank = columns[index].dropRank;
      return rank !== undefined && (best < 0 || rank > columns[best].dropRank!) ? index : best;
    }, -1);
    if (first < 0) break;
    kept.splice(kept.indexOf(first), 1);
  }
  return kept;
}

function shrunk(columns: readonly TableColumn[], natural: readonly number[], width: number): number[] {
  const widths = [...natural];
  let over = widths.reduce((sum, each) => sum + each, 0) + GAP.length * (columns.length - 1) - width;
  while (over > 0) {
    // The widest of those that may shrink gives one column, again and again: they end about equally wide.
    let widest = -1;
    for (let i = 0; i < columns.length; i++) {
      const least = columns[i].shrinkTo;
      if (least !== undefined && widths[i] > least && (widest < 0 || widths[i] > widths[widest])) widest = i;
    }
    if (widest < 0) break;
    widths[widest]--;
    over--;
  }
  return widths;
}

function within(cell: string, width: number, ellipsis = '…'): string {
  return widthOf(cell) <= width ? cell : cut(cell.replace(/\u001b\[[\d;]*m/g, ''), width, ellipsis);
}

/** The table as this terminal shows it. */
export function terminalTable(
  columns: readonly TableColumn[],
  rows: readonly string[][],
  { tableWidth, paint, glyphs }: Pick<Terminal, 'tableWidth' | 'paint' | 'glyphs'>,
): string[] {
  const heading = (title: string): string => paint.style('dim', title);
  return tableLines(columns, rows, { width: tableWidth, heading, ellipsis: glyphs.ellipsis });
}

/** Names on the left, values on the right. */
export function pairLines(pairs: readonly (readonly [string, string])[], paint: (text: string) => string): string[] {
  const width = Math.max(...pairs.map(([name]) => widthOf(name)));
  return pairs.map(([name, value]) => `${paint(fit(name, width))}  ${value}`.trimEnd());
}
