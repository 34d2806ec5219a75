/** A table as lines of text. Columns that may shrink give way when the terminal is too narrow. */
import { cut, fit, widthOf } from './text.ts';

export interface TableColumn {
  title: string;
  align?: 'left' | 'right';
  /** May be cut, down to so many columns. */
  shrinkTo?: number;
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
  const widths = columns.map((column, index) =>
    Math.max(widthOf(column.title), ...rows.map((row) => widthOf(row[index] ?? ''))),
  );
  shrink(columns, widths, options.width);
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

function shrink(columns: readonly TableColumn[], widths: number[], width: number): void {
  let over = widths.reduce((sum, each) => sum + each, 0) + GAP.length * (columns.length - 1) - width;
  while (over > 0) {
    // The widest of those that may shrink gives one column, again and again: they end about equally wide.
    let widest = -1;
    for (let i = 0; i < columns.length; i++) {
      const least = columns[i].shrinkTo;
      if (least !== undefined && widths[i] > least && (widest < 0 || widths[i] > widths[widest])) widest = i;
    }
    if (widest < 0) return;
    widths[widest]--;
    over--;
  }
}

function within(cell: string, width: number, ellipsis = '…'): string {
  return widthOf(cell) <= width ? cell : cut(cell.replace(/\u001b\[[\d;]*m/g, ''), width, ellipsis);
}

/** Names on the left, values on the right. */
export function pairLines(pairs: readonly (readonly [string, string])[], paint: (text: string) => string): string[] {
  const width = Math.max(...pairs.map(([name]) => widthOf(name)));
  return pairs.map(([name, value]) => `${paint(fit(name, width))}  ${value}`.trimEnd());
}
