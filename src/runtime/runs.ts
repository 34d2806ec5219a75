/**
 * Loops over all rows of a block, a run of rows at a time. A loop that is entered once a block is compiled while it runs, and what is
 * compiled so is lost with the next collection of garbage: for every block anew, some of them five times in twenty blocks. A function
 * that does a run and is called again for the next one is compiled once.
 */
export const RUN_ROWS = 512;

/** Calls `work` with [from, to) of one run after the other until `count`, and with `more`. `work` should be a loop and nothing else. */
export function inRuns<More extends unknown[]>(
  count: number,
  work: (from: number, to: number, ...more: More) => void,
  ...more: More
): void {
  for (let from = 0; from < count; from += RUN_ROWS) work(from, Math.min(count, from + RUN_ROWS), ...more);
}
