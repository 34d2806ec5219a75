/**
 * 64-bit values of DELTA_BINARY_PACKED (delta.ts) as distances from the first one: doubles, which are exact while they are below
 * 2^53. Times and durations are compared and counted in this form; words of 64 bits are only made of what is shown.
 *
 *   first value 1795289387004117000      distances 0 · 1200 · 3120 · −88000 · …
 */
import { checkMiniblock, type DeltaInput, openDelta, startBlock } from './delta.ts';
import { sumBits } from './delta-sums.ts';
import { sumOfBits } from './delta-totals.ts';

/** Widest difference that is read in this way. */
export const WIDTH_MAX = 44;
const DELTA_MAX = 2 ** WIDTH_MAX;
const MINIBLOCK_VALUES_MAX = 128;
/**
 * From a sum below this the deltas of one miniblock lead to none that is not exact, nor with 32 bits more of the first value:
 * 2^51 + 128 · (2^44 + 2^44) + 2^32 < 2^53.
 */
const EXACT = 2 ** 51;

/** No distance from a number with a smaller high word than this leads out of 64 bits. */
const HIGH_MAX = 2 ** 31 - 2 ** 22;

/** The first value, as words. */
export interface FirstValue {
  low: number;
  high: number;
}

/**
 * Decodes `count` int64 values (at least one) from bytes[from, to): out[i] becomes the distance of value i from the first. `out` has
 * room for DISTANCES_ROOM more. Undefined where distances are not exact; the values are then for decodeDeltaInt64.
 * @throws VivaceError `undecodable`
 */
export function decodeDeltaDistances(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
  count: number,
  out: Float64Array,
): FirstValue | undefined {
  const input = openDelta(bytes, view, from, to, count);
  if (input.miniblockValues > MINIBLOCK_VALUES_MAX) return undefined;
  // Differences are modulo 2^64: the least number may stand next to the greatest.
  if (Math.abs(input.high) > HIGH_MAX) return undefined;
  const first = { low: input.low, high: input.high };
  out[0] = 0;
  for (let done = 1, sum = 0; done < count; ) {
    const least = leastOf(input);
    for (let m = 0; m < input.miniblocks && done < count; m++) {
      const n = Math.min(input.miniblockValues, count - done);
      sum = sumMiniblock(input, input.bytes[input.widthsAt + m], n, sum, least, out, done);
      if (!(Math.abs(sum) < EXACT)) return undefined;
      done += n;
    }
  }
  return first;
}

/** What distances may be written beyond the last value: the rest of a miniblock. */
export const DISTANCES_ROOM = MINIBLOCK_VALUES_MAX;

/**
 * The same for some values only: those at the first `found` places (ascending, below `count`) into `out`, two words each from value
 * `outAt` on. False where that cannot be done exactly; the values are then for decodeDeltaInt64.
 * @throws VivaceError `undecodable`
 */
export function decodeDeltaInt64At(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
  count: number,
  places: Uint32Array,
  found: number,
  out: Int32Array,
  outAt: number,
): boolean {
  const input = openDelta(bytes, view, from, to, count);
  if (input.miniblockValues > MINIBLOCK_VALUES_MAX) return false;
  const { low, high } = input;
  let filled = 0;
  if (found > 0 && places[0] === 0) putSum(out, outAt + filled++, low, high, 0);
  for (let done = 1, sum = 0; done < count && filled < found; ) {
    const least = leastOf(input);
    for (let m = 0; m < input.miniblocks && filled < found; m++) {
      const n = Math.min(input.miniblockValues, count - done);
      const width = input.bytes[input.widthsAt + m];
      const isWanted = places[filled] < done + n;
      sum = isWanted
        ? sumMiniblock(input, width, n, sum, least, miniblock, 0)
        : passMiniblock(input, width, n, sum, least);
      if (!(Math.abs(sum) < EXACT)) return false;
      for (; filled < found && places[filled] < done + n; filled++)
        putSum(out, outAt + filled, low, high, miniblock[places[filled] - done]);
      done += n;
    }
  }
  return true;
}

const miniblock = new Float64Array(MINIBLOCK_VALUES_MAX);

/** Writes base + sum, modulo 2^64, as value `index`. */
function putSum(out: Int32Array, index: number, baseLow: number, baseHigh: number, sum: number): void {
  const sumHigh = Math.floor(sum / 4294967296);
  const low = (baseLow >>> 0) + (sum - sumHigh * 4294967296);
  out[2 * index] = low | 0;
  out[2 * index + 1] = (baseHigh + sumHigh + (low >= 4294967296 ? 1 : 0)) | 0;
}

/** Begins a block; its smallest difference, NaN where it is too large. */
function leastOf(input: DeltaInput): number {
  startBlock(input);
  const least = input.high * 4294967296 + (input.low >>> 0);
  return Math.abs(least) < DELTA_MAX ? least : Number.NaN;
}

/** The sums of the miniblock at hand, of which `n` count, to `out` from `at`; the sum after it, NaN where one is not exact. */
function sumMiniblock(
  input: DeltaInput,
  width: number,
  n: number,
  sum: number,
  least: number,
  out: Float64Array,
  at: number,
): number {
  if (width > WIDTH_MAX) return Number.NaN;
  checkMiniblock(input, width, n);
  const groups = input.miniblockValues / 8;
  const size = groups * width;
  if (input.at + size <= input.to) {
    sumBits(width, input.view, input.at, out, at, groups, sum, least);
    input.at += size;
  } else {
    // Some writers cut the last miniblock off after its last value.
    const padded = new Uint8Array(size);
    padded.set(input.bytes.subarray(input.at, input.to));
    sumBits(width, new DataView(padded.buffer), 0, out, at, groups, sum, least);
    input.at = input.to;
  }
  return out[at + n - 1];
}

/** The sum after a miniblock before the last one, none of whose values is wanted. */
function passMiniblock(input: DeltaInput, width: number, n: number, sum: number, least: number): number {
  if (width > WIDTH_MAX) return Number.NaN;
  checkMiniblock(input, width, n);
  const groups = input.miniblockValues / 8;
  const { view, at } = input;
  input.at += groups * width;
  return sumOfBits(width, view, at, groups, sum, least);
}
