/** Series of a metrics query, in the JSON of the API: a line each, with a small chart of it. */
import { anyText, type ApiValue } from './api-value.ts';
import { sparkline } from './sparkline.ts';
import { terminalTable } from './table.ts';
import type { Terminal } from './terminal.ts';
import { clean, cutMiddle, widthOf } from './text.ts';
import { counted, durationText, numberText, timeText } from './units.ts';

interface Label {
  key: string;
  value?: ApiValue;
}

interface RangeBody {
  series?: { labels?: Label[]; samples?: { timestampMs: string; value?: number | string }[] }[];
  message?: string;
}

interface InstantBody {
  series?: { labels?: Label[]; value?: number | string }[];
  message?: string;
}

export interface MetricsLines {
  lines: string[];
  /** For standard error. */
  summary: string;
}

type Look = Pick<Terminal, 'width' | 'tableWidth' | 'paint' | 'glyphs'>;

const CHART_COLUMNS_MIN = 12;
const CHART_COLUMNS_MAX = 120;
const LABEL_COLUMNS_MIN = 16;

/** `/api/metrics/query_range`. All series share the times of the chart, each has its own scale from 0. */
export function rangeLines(text: string, look: Look): MetricsLines {
  const body = JSON.parse(text) as RangeBody;
  const series = (body.series ?? []).map(({ labels = [], samples = [] }) => ({
    name: labelsText(labels),
    // A value of 0 is left out of the JSON.
    samples: new Map(samples.map(({ timestampMs, value = 0 }) => [Number(timestampMs), Number(value)])),
  }));
  const times = [...new Set(series.flatMap(({ samples }) => [...samples.keys()]))].sort((a, b) => a - b);
  if (series.length === 0 || times.length === 0) return { lines: [], summary: noted('no series', body.message) };
  const grid = gridOf(times);
  const numbers = series.map(({ samples }) =>
    statistics([...samples].sort(([a], [b]) => a - b).map(([, value]) => value)),
  );
  const order = series
    .map((_, index) => index)
    .sort((a, b) => numbers[b].max - numbers[a].max || (series[a].name < series[b].name ? -1 : 1));
  const cells = order.map((index) => [series[index].name, ...numbers[index].cells]);
  const numberColumns = [1, 2, 3, 4].map((column) => Math.max(4, ...cells.map((row) => widthOf(row[column]))));
  const fixed = numberColumns.reduce((sum, width) => sum + width + 2, 2);
  const longest = Math.max(6, ...cells.map(([name]) => widthOf(name)));
  // The chart gets what names and numbers leave, and at least a little.
  const chartColumns = Math.min(CHART_COLUMNS_MAX, Math.max(CHART_COLUMNS_MIN, look.width - fixed - longest));
  const nameColumns = Math.max(LABEL_COLUMNS_MIN, look.width - fixed - chartColumns);
  const rows = cells.map((row, at) => {
    const values = grid.map((time) => series[order[at]].samples.get(time));
    return [
      Number.isFinite(look.tableWidth) ? cutMiddle(row[0], nameColumns, look.glyphs.ellipsis) : row[0],
      ...row.slice(1),
      look.paint.service(at, sparkline(values, chartColumns, look.glyphs.levels)),
    ];
  });
  const columns = [
    { title: 'series', shrinkTo: LABEL_COLUMNS_MIN },
    ...['min', 'avg', 'max', 'last'].map((title) => ({ title, align: 'right' as const })),
    { title: 'chart' },
  ];
  const lines = terminalTable(columns, rows, look);
  const step = grid.length > 1 ? `, every ${durationText((grid[1] - grid[0]) * 1e6)}` : '';
  const range = `${timeText(times[0])} to ${timeText(times[times.length - 1])} UTC${step}`;
  return { lines, summary: noted(`${counted(series.length, 'series', 'series')}, ${range}`, body.message) };
}

/** `/api/metrics/query`: greatest first. */
export function instantLines(text: string, look: Look): MetricsLines {
  const body = JSON.parse(text) as InstantBody;
  const series = (body.series ?? []).map(({ labels = [], value = 0 }) => ({
    name: labelsText(labels),
    value: Number(value),
  }));
  if (series.length === 0) return { lines: [], summary: noted('no series', body.message) };
  series.sort((a, b) => b.value - a.value || (a.name < b.name ? -1 : 1));
  const greatest = Math.max(...series.map(({ value }) => value));
  const rows = series.map(({ name, value }, index) => {
    const share = greatest > 0 && value > 0 ? Math.round((20 * value) / greatest) : 0;
    return [name, numberText(value), look.paint.service(index, look.glyphs.barFull.repeat(share))];
  });
  const columns = [
    { title: 'series', shrinkTo: LABEL_COLUMNS_MIN },
    { title: 'value', align: 'right' as const },
    { title: '' },
  ];
  const lines = terminalTable(columns, rows, look);
  return { lines, summary: noted(counted(series.length, 'series', 'series'), body.message) };
}

/** Every step from the first time to the last: the smallest distance of two times is the step. */
function gridOf(times: readonly number[]): number[] {
  let step = Number.POSITIVE_INFINITY;
  for (let i = 1; i < times.length; i++) step = Math.min(step, times[i] - times[i - 1]);
  const last = times[times.length - 1];
  // Times that are no multiples of each other, or very many, stand next to each other as they are.
  if (
    !Number.isFinite(step) ||
    (last - times[0]) / step > 20_000 ||
    times.some((time) => (time - times[0]) % step !== 0)
  )
    return [...times];
  return Array.from({ length: (last - times[0]) / step + 1 }, (_, i) => times[0] + i * step);
}

function statistics(values: readonly number[]): { max: number; cells: string[] } {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return { max: Number.NEGATIVE_INFINITY, cells: ['-', '-', '-', '-'] };
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  let sum = 0;
  for (const value of finite) {
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
  }
  return { max, cells: [min, sum / finite.length, max, finite[finite.length - 1]].map(numberText) };
}

function labelsText(labels: readonly Label[]): string {
  // A series without groups bears the name of its function, as Prometheus writes it.
  if (labels.length === 1 && labels[0].key === '__name__') return clean(anyText(labels[0].value));
  return `{${labels.map(({ key, value }) => `${clean(key)}=${clean(anyText(value))}`).join(', ')}}`;
}

function noted(summary: string, message: string | undefined): string {
  return message === undefined || message === '' ? summary : `${summary}; ${clean(message)}`;
}
