/**
 * Loaded before the program (`NODE_OPTIONS=--import`), in every thread: the clock of JavaScript is as many milliseconds off as
 * the file `VIVACE_TEST_CLOCK` says. The clock of the file system stays, as it does on a folder that another machine serves.
 */
import fs from 'node:fs';

const file = process.env.VIVACE_TEST_CLOCK;
if (file !== undefined) {
  const Real = Date;
  const now = Real.now;
  let offsetMs = 0;
  let lookedMs = 0;
  const shifted = (): number => {
    const ms = now();
    if (ms - lookedMs > 20) {
      lookedMs = ms;
      try {
        offsetMs = Number(fs.readFileSync(file, 'utf8')) || 0;
      } catch {
        // As it was.
      }
    }
    return ms + offsetMs;
  };
  globalThis.Date = class extends Real {
    constructor(...args: unknown[]) {
      if (args.length === 0) super(shifted());
      else super(...(args as [number]));
    }
    static override now(): number {
      return shifted();
    }
  } as DateConstructor;
}
