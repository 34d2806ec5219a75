/**
 * The two duration syntaxes of a Tempo configuration. Go's is a sequence of decimals with a unit (`1h30m`, `1.5s`, `0`),
 * Prometheus's one of whole numbers from years down to milliseconds (`1d12h`, `2w`). Values are milliseconds.
 */
import { VivaceError } from '../runtime/errors.ts';

const goUnitMs: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

const promUnitsMs: readonly [string, number][] = [
  ['y', 31_536_000_000],
  ['w', 604_800_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
];

const durationCharactersMax = 100;

/** What an unlimited duration is in Go: the greatest number of nanoseconds. */
const infiniteText = '2562047h47m16.854775807s';

/** Throws `invalid` with Go's words when `text` is not a duration. */
export function parseGoDuration(text: string): number {
  if (text.length > durationCharactersMax) throw new VivaceError('invalid', 'time: invalid duration: it is too long');
  if (text === infiniteText) return Number.POSITIVE_INFINITY;
  const sign = text.startsWith('-') ? -1 : 1;
  const rest = text.replace(/^[-+]/, '');
  if (rest === '0') return 0;
  let ms = 0;
  let at = 0;
  while (at < rest.length) {
    const number = /^(?:\d+\.?\d*|\.\d+)/.exec(rest.slice(at, at + 64))?.[0];
    if (number === undefined) throw new VivaceError('invalid', `time: invalid duration ${JSON.stringify(text)}`);
    at += number.length;
    const unit = /^[^\d.]+/.exec(rest.slice(at, at + 64))?.[0];
    if (unit === undefined) throw new VivaceError('invalid', `time: missing unit in duration ${JSON.stringify(text)}`);
    const unitMs = Object.hasOwn(goUnitMs, unit) ? goUnitMs[unit] : undefined;
    if (unitMs === undefined) {
      throw new VivaceError(
        'invalid',
        `time: unknown unit ${JSON.stringify(unit)} in duration ${JSON.stringify(text)}${dayHint(unit)}`,
      );
    }
    at += unit.length;
    ms += Number(number) * unitMs;
  }
  if (rest === '') throw new VivaceError('invalid', `time: invalid duration ${JSON.stringify(text)}`);
  return sign * ms;
}

function dayHint(unit: string): string {
  if (unit === 'd') return ' (write days as hours: 1d is 24h)';
  return unit === 'w' ? ' (write weeks as hours: 1w is 168h)' : '';
}

/** Throws `invalid` with Prometheus's words. Go's syntax is taken too, since every key of this kind once had it. */
export function parsePromDuration(text: string): number {
  if (text === '0') return 0;
  if (text === '') throw new VivaceError('invalid', 'empty duration string');
  let rest = text;
  let ms = 0;
  for (const [unit, unitMs] of promUnitsMs) {
    const found = new RegExp(`^(\\d{1,15})${unit}(?![a-z])`).exec(rest);
    if (!found) continue;
    ms += Number(found[1]) * unitMs;
    rest = rest.slice(found[0].length);
  }
  if (rest === '') return ms;
  try {
    return parseGoDuration(text);
  } catch {
    throw new VivaceError('invalid', `not a valid duration string: ${JSON.stringify(text)}`);
  }
}

/** Of a request: how long back something reaches. Throws `invalid` with Prometheus's words, for what is negative, too. */
export function parseSince(text: string): number {
  const ms = parsePromDuration(text);
  if (ms < 0) throw new VivaceError('invalid', `not a valid duration string: ${JSON.stringify(text)}`);
  return ms;
}

/** As Go prints it: `168h0m0s`, `1m30s`, `250ms`, `0s`. */
export function formatGoDuration(ms: number): string {
  if (ms === Number.POSITIVE_INFINITY) return infiniteText;
  if (ms === 0) return '0s';
  const sign = ms < 0 ? '-' : '';
  const size = Math.abs(ms);
  if (size < 1e-3) return `${sign}${trimmed(size * 1e6)}ns`;
  if (size < 1) return `${sign}${trimmed(size * 1e3)}µs`;
  if (size < 1000) return `${sign}${trimmed(size)}ms`;
  const hours = Math.floor(size / 3_600_000);
  const minutes = Math.floor((size % 3_600_000) / 60_000);
  const seconds = trimmed((size % 60_000) / 1000);
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${sign}${minutes}m${seconds}s` : `${sign}${seconds}s`;
}

/** As Prometheus prints it: years, weeks and days only when nothing smaller is left, `1d12h`, `0s`. */
export function formatPromDuration(ms: number): string {
  if (ms === 0) return '0s';
  let rest = Math.round(ms);
  let text = '';
  for (const [unit, unitMs] of promUnitsMs) {
    const exactOnly = unit === 'y' || unit === 'w';
    if (exactOnly && rest % unitMs !== 0) continue;
    const count = Math.floor(rest / unitMs);
    if (count === 0) continue;
    text += `${count}${unit}`;
    rest -= count * unitMs;
  }
  return text;
}

function trimmed(value: number): string {
  return String(Number(value.toFixed(9)));
}
