/**
 * Gives memory back after work. A thread that has nothing to do allocates nothing, so its garbage collector never runs, and
 * what the last load or the last wide query left stays resident for days (100 MiB and more in a process of one pod).
 */

const PERIOD_MS = 5000;
/** A thread that ran for less than this in a period is idle. */
const IDLE_MS_MAX = 100;
/** Less work than this left nothing worth collecting. */
const WORK_MS_MIN = 200;

/**
 * Collects the calling thread's garbage once after each stretch of work, when the thread has been idle for a few seconds.
 * Needs `--expose-gc`, which the launcher gives; without it nothing happens. Returns what ends it.
 */
export function collectWhenIdle(): () => void {
  const collect = globalThis.gc;
  if (collect === undefined) return () => {};
  let before = performance.eventLoopUtilization();
  let workMs = 0;
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization();
    const activeMs = performance.eventLoopUtilization(now, before).active;
    before = now;
    if (activeMs > IDLE_MS_MAX) workMs += activeMs;
    else if (workMs >= WORK_MS_MIN) {
      workMs = 0;
      collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    }
  }, PERIOD_MS);
  timer.unref();
  return () => clearInterval(timer);
}
