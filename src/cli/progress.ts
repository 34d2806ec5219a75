/**
 * What long work is doing, on the last line of a terminal: a bar where it is known how much there is, the time where it is not.
 *
 *   searching ./data  ███████░░░░░░░░░░░░░  14/40 blocks  2.1s
 *
 * Nothing is drawn where standard error is no terminal, nor for work that is soon done.
 */
import type { Glyphs } from './glyphs.ts';
import { cut, widthOf } from './text.ts';
import { durationText } from './units.ts';

export interface Progress {
  /** So much of the total is done; redraws now and then. */
  update(done: number, total: number): void;
  /** Takes the line away. */
  end(): void;
}

export interface ProgressOptions {
  /** What is being done, and to what. */
  label: string;
  /** What is counted: `blocks`, `jobs`. */
  unit: string;
  /** Undefined where nothing may be drawn. */
  write: ((text: string) => unknown) | undefined;
  columns: number;
  glyphs: Glyphs;
  nowMs(): number;
}

const QUIET_MS = 400;
const EVERY_MS = 100;
const BAR_COLUMNS = 24;

export function startProgress(options: ProgressOptions): Progress {
  const { write, nowMs } = options;
  if (write === undefined) return { update: () => {}, end: () => {} };
  const startMs = nowMs();
  let drawnMs = 0;
  let drawn = false;
  let state = { done: 0, total: 0 };
  const draw = (): void => {
    const now = nowMs();
    if (now - startMs < QUIET_MS || now - drawnMs < EVERY_MS) return;
    drawnMs = now;
    drawn = true;
    write(`\r\u001b[2K${progressLine(options, state, now - startMs)}`);
  };
  // Waiting for a server leaves time for the clock; work in this process draws when it reports.
  const timer = setInterval(draw, EVERY_MS);
  timer.unref();
  return {
    update(done, total) {
      state = { done, total };
      draw();
    },
    end() {
      clearInterval(timer);
      if (drawn) write('\r\u001b[2K');
    },
  };
}

/** The line for so much work after so much time; one that is too long for the terminal is cut. */
export function progressLine(
  { label, unit, columns, glyphs }: Pick<ProgressOptions, 'label' | 'unit' | 'columns' | 'glyphs'>,
  { done, total }: { done: number; total: number },
  elapsedMs: number,
): string {
  const time = durationText(Math.round(elapsedMs / 100) * 1e8);
  if (total === 0) return cut(`${label}  ${time}`, columns - 1, glyphs.ellipsis);
  const filled = Math.round((BAR_COLUMNS * Math.min(done, total)) / total);
  const bar = glyphs.barFull.repeat(filled) + glyphs.barEmpty.repeat(BAR_COLUMNS - filled);
  const line = `${label}  ${bar}  ${done}/${total} ${unit}  ${time}`;
  return widthOf(line) < columns ? line : cut(`${label}  ${done}/${total} ${unit}`, columns - 1, glyphs.ellipsis);
}
