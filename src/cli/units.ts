/** Quantities as people read them: three digits, the unit right behind. */

const NS_PER_S = 1e9;

/** `850ns`, `45.1µs`, `310ms`, `1.24s`, `2m03s`, `5h07m`, `3d04h`. */
export function durationText(ns: number): string {
  if (!Number.isFinite(ns)) return '-';
  if (ns < 0) return `-${durationText(-ns)}`;
  if (ns < 1e3) return `${Math.round(ns)}ns`;
  for (const [limit, unit, each] of [
    [1e6, 'µs', 1e3],
    [1e9, 'ms', 1e6],
    [60e9, 's', 1e9],
  ] as const) {
    const text = threeDigits(ns / each);
    // What rounds up to the next unit is written in it.
    if (ns < limit && !(Number(text) * each >= limit)) return text + unit;
  }
  const seconds = Math.round(ns / NS_PER_S);
  const pad = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  if (seconds < 60) return '1.00s'.replace('1.00', threeDigits(ns / NS_PER_S));
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${pad(seconds % 60)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h${pad((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d${pad((seconds % 86_400) / 3600)}h`;
}

function threeDigits(value: number): string {
  if (value >= 99.95) return String(Math.round(value));
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

/** `512B`, `1.25KiB`, `38.0MiB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes}B`;
  let value = bytes;
  let unit = -1;
  while (value >= 1023.5 && unit < 4) {
    value /= 1024;
    unit++;
  }
  return `${threeDigits(value)}${['KiB', 'MiB', 'GiB', 'TiB', 'PiB'][unit]}`;
}

/** `12,345`. */
export function countText(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 span`, `3 spans`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${countText(count)} ${count === 1 ? one : many}`;
}

/** A number of a series: up to four digits that count. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e15 || size < 1e-4) return value.toExponential(2);
  if (size >= 1000) return Number.isInteger(value) ? String(value) : value.toFixed(0);
  return String(Number(value.toPrecision(4)));
}

/** `2026-11-21 13:45:01.123`, UTC. */
export function timeText(ms: number): string {
  if (!Number.isFinite(ms) || Math.abs(ms) > 8.64e15) return '-';
  return new Date(ms).toISOString().replace('T', ' ').slice(0, -1);
}

/** `2026-11-21T13:45:01Z`. */
export function secondText(seconds: number): string {
  if (!Number.isFinite(seconds) || Math.abs(seconds) > 8.64e12) return '-';
  return `${new Date(Math.floor(seconds) * 1000).toISOString().slice(0, 19)}Z`;
}
