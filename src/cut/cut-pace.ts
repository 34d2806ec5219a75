/**
 * When tenants are cut for the length of the log. A file of the log goes when all that is in it is in blocks, so what counts is how long the
 * log has become since each tenant was begun: its age in bytes. Cut as late as possible, tenants get few and large blocks; but ten
 * thousand that began together, as after a start, cannot be cut all at once when they are old.
 *
 * ```
 *   age  0 ─────────── ¼ ─────────── ½ ─────────── ¾ ─────────── 1 of the log's bound
 *                      ├── all of one age: cut evenly ──┤          │
 *                         evenly spread: each at its end ┘         └ requests wait
 * ```
 * By the age of three quarters each is to be cut, and no more are to be cut at a time than it takes to cut all while half of the log is written.
 */
import type { Held } from './held.ts';

const DEADLINE_PART = 0.75;
/** A log of this part of its bound has requests wait soon. */
const URGENT_PART = 0.85;
/** So much of all tenants behind their time takes all slices there are. */
const BEHIND_PART = 0.25;
const ALL_PART = 0.5;

/** How many are to be cut now, the oldest first, of those that are open in the order in which they were begun. */
export function cutsDueOf(open: ReadonlyMap<string, Held>, writtenBytes: number, logBytesMax: number): number {
  const ages = Float64Array.from(open.values(), (held) => writtenBytes - held.begunAtByte);
  return cutsDue(ages, logBytesMax);
}

/** The same. `agesBytes`: of all, the oldest first. */
export function cutsDue(agesBytes: ArrayLike<number>, logBytesMax: number): number {
  const cutsPerByte = agesBytes.length / (ALL_PART * logBytesMax);
  let due = 0;
  for (let i = 0; i < agesBytes.length; i++) {
    const timeBytes = Math.max(0, DEADLINE_PART * logBytesMax - agesBytes[i]);
    due = Math.max(due, i + 1 - timeBytes * cutsPerByte);
  }
  return Math.floor(due);
}

/**
 * How many of the cuts that are under way work between two turns of the thread (cut-slices.ts), of at most `most`: one, and the more the
 * further they are behind. `due` of `open` tenants should be under way and are not; `logPart` of its bound is the log long.
 */
export function slicesPerTurn(due: number, open: number, logPart: number, most: number): number {
  if (logPart > URGENT_PART) return most;
  return Math.min(most, 1 + Math.floor((due * most) / (BEHIND_PART * Math.max(1, open))));
}
