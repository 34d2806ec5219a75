/**
 * Durations as TraceQL writes them. Two notations, tried in this order:
 * whole numbers with each unit at most once from large to small (`1y2w3d4h5m6s7ms`, a year is 365 days), and Go's,
 * with fractions and units in any order (`1.5h`, `100us`).
 */

const nanos = {
  ns: 1n,
  us: 1_000n,
  '\u00b5s': 1_000n,
  '\u03bcs': 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
  d: 86_400_000_000_000n,
  w: 604_800_000_000_000n,
  y: 31_536_000_000_000_000n,
};
type Unit = keyof typeof nanos;

const int64Max = 9_223_372_036_854_775_807n;
/** More digits than this are out of range in every unit, and slow to turn into numbers. */
const digitsMax = 40;
const wholeUnits = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;
const wholeUnitNames: Unit[] = ['y', 'w', 'd', 'h', 'm', 's', 'ms'];
const goPart = /(\d*)(?:\.(\d*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/y;

/** Nanoseconds, or undefined when the text is no duration or leaves 64 bits. No sign. */
export function parseDuration(text: string): bigint | undefined {
  const whole = text === '' ? null : wholeUnits.exec(text);
  const ns = whole ? sumOfWholeUnits(whole) : sumOfGoParts(text);
  return ns !== undefined && ns <= int64Max ? ns : undefined;
}

/** Go's notation, which is also how answers and labels show durations: `1m30s`, `1.5ms`, `0s`. */
export function formatDuration(ns: bigint): string {
  if (ns === 0n) return '0s';
  if (ns < 0n) return `-${formatDuration(-ns)}`;
  if (ns < nanos.us) return `${ns}ns`;
  if (ns < nanos.ms) return `${decimal(ns, nanos.us)}\u00b5s`;
  if (ns < nanos.s) return `${decimal(ns, nanos.ms)}ms`;
  const hours = ns / nanos.h;
  const minutes = (ns % nanos.h) / nanos.m;
  const seconds = `${decimal(ns % nanos.m, nanos.s)}s`;
  if (hours > 0n) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0n ? `${minutes}m${seconds}` : seconds;
}

function sumOfWholeUnits(match: RegExpExecArray): bigint | undefined {
  let sum = 0n;
  for (const [i, unit] of wholeUnitNames.entries()) {
    const digits = match[i + 1];
    if (digits === undefined) continue;
    if (digits.length > digitsMax) return undefined;
    sum += BigInt(digits) * nanos[unit];
  }
  return sum;
}

function sumOfGoParts(text: string): bigint | undefined {
  let sum = 0n;
  goPart.lastIndex = 0;
  while (goPart.lastIndex < text.length) {
    const match = goPart.exec(text);
    if (!match) return undefined;
    const [, digits, fraction = '', unit] = match;
    if (digits === '' && fraction === '') return undefined;
    if (digits.length > digitsMax) return undefined;
    const exact = fraction.slice(0, digitsMax);
    sum += (BigInt(digits + exact) * nanos[unit as Unit]) / 10n ** BigInt(exact.length);
  }
  return text === '' ? undefined : sum;
}

/** `ns / unit` with as many decimals as it has. */
function decimal(ns: bigint, unit: bigint): string {
  const digits = String(unit).length - 1;
  const fraction = String(ns % unit)
    .padStart(digits, '0')
    .replace(/0+$/, '');
  return fraction === '' ? `${ns / unit}` : `${ns / unit}.${fraction}`;
}
