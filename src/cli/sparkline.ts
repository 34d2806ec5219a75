/** A series as one line of blocks, from 0 (or the least value below it) to its maximum. */

/** A column of a short series is repeated, up to so often. */
const REPEAT_MAX = 4;

/** `values` in order of time, undefined where there is none; more than `width` are joined by their maximum. */
export function sparkline(values: readonly (number | undefined)[], width: number, levels: string): string {
  const steps = [...levels];
  const columns = Math.min(width, values.length);
  if (columns <= 0) return '';
  const joined: (number | undefined)[] = [];
  for (let i = 0; i < columns; i++) {
    const from = Math.floor((i * values.length) / columns);
    const to = Math.floor(((i + 1) * values.length) / columns);
    const part = values.slice(from, to).filter((value) => value !== undefined && Number.isFinite(value)) as number[];
    joined.push(part.length === 0 ? undefined : Math.max(...part));
  }
  const known = joined.filter((value) => value !== undefined);
  const low = Math.min(0, ...known);
  const high = Math.max(0, ...known);
  const repeat = Math.max(1, Math.min(REPEAT_MAX, Math.floor(width / columns)));
  return joined
    .map((value) => {
      if (value === undefined) return ' '.repeat(repeat);
      if (high === low) return steps[1].repeat(repeat);
      // Whatever is not the least is seen.
      const share = (value - low) / (high - low);
      return steps[Math.min(steps.length - 1, 1 + Math.floor(share * (steps.length - 1)))].repeat(repeat);
    })
    .join('');
}
