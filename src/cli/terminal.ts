/** Where a command writes, and how: what it was started with, and the choices of its options. */
import { type Glyphs, glyphsOf } from './glyphs.ts';
import { type ColourChoice, coloursOf, createPaint, type Paint } from './paint.ts';

/** Standard output or error. */
export interface Output {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
  getColorDepth?(): number;
}

/** What a run of the program is given from outside. */
export interface World {
  /** The name that it was started under. */
  program: string;
  version: string;
  stdout: Output;
  stderr: Output;
  env: Record<string, string | undefined>;
  nowMs(): number;
  /** Does this when the command has ended. */
  onEnd(work: () => void): void;
}

/** What a table, a waterfall or a bar needs to know of the terminal. */
export interface Terminal {
  /** Writes lines to standard output. */
  print(lines: readonly string[]): void;
  /** Writes a line to standard error. */
  note(line: string): void;
  /** JSON instead of tables. */
  json: boolean;
  /** Of pictures; of tables, too, where `cutsTables`. */
  width: number;
  /** Infinity where nothing is cut: another program reads the table. */
  tableWidth: number;
  glyphs: Glyphs;
  paint: Paint;
}

export interface OutputOptions {
  json?: boolean;
  output?: 'table' | 'json';
  color?: ColourChoice;
  width?: number;
  ascii?: boolean;
}

const WIDTH_DEFAULT = 120;
const WIDTH_MAX = 1000;

/** `tempoWritesJson`: the command is one whose output is JSON in Tempo's program, which is what its name stands for. */
export function createTerminal(world: World, options: OutputOptions, tempoWritesJson: boolean): Terminal {
  const { stdout, env } = world;
  const isTerminal = stdout.isTTY === true;
  const colourBits = stdout.getColorDepth?.() ?? 1;
  const known = options.width ?? (isTerminal ? stdout.columns : Number(env.COLUMNS) || undefined);
  const width = Math.min(WIDTH_MAX, known ?? WIDTH_DEFAULT);
  const form = options.json ? 'json' : options.output;
  return {
    print: (lines) => {
      if (lines.length > 0) stdout.write(`${lines.join('\n')}\n`);
    },
    note: (line) => {
      world.stderr.write(`${line}\n`);
    },
    json: form === undefined ? tempoWritesJson && world.program === 'tempo-cli' : form === 'json',
    width,
    tableWidth: options.width !== undefined || isTerminal ? width : Number.POSITIVE_INFINITY,
    glyphs: glyphsOf(env, options.ascii === true),
    paint: createPaint(coloursOf(options.color ?? 'auto', env, { isTerminal, colourBits })),
  };
}
