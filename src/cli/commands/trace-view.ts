/** Prints a trace that was found, or says that it was not: what the commands have in common that show one. */
import type { Command } from 'commander';
import { otlpToJson } from '../../wire/otlp-to-json.ts';
import { count } from './shared-options.ts';
import type { Source, TraceFound } from '../source.ts';
import { spanDetailLines } from '../span-details.ts';
import type { Terminal } from '../terminal.ts';
import { readTrace } from '../trace-spans.ts';
import { waterfall } from '../waterfall.ts';

export interface TraceViewOptions {
  maxSpans?: number;
  span?: string;
  v1?: boolean;
}

const SPANS_MAX_DEFAULT = 200;

export function traceViewOptions(command: Command): Command {
  return command
    .option('--max-spans <number>', `spans shown at most, 0 for all (${SPANS_MAX_DEFAULT})`, count('--max-spans', 0))
    .option('--span <id>', 'show everything about this span instead');
}

/** The exit code: 0 when there is a trace, 1 when there is none. */
export function showTrace(
  id: string,
  found: TraceFound | undefined,
  source: Pick<Source, 'name' | 'blocksOnly'>,
  terminal: Terminal,
  options: TraceViewOptions,
): number {
  if (found === undefined) {
    const newest = source.blocksOnly ? '; only blocks were read, and the newest spans may not be in one yet' : '';
    terminal.note(`trace ${id} not found in ${source.name}${newest}`);
    if (terminal.json) terminal.print(['{}']);
    return 1;
  }
  if (found.partial !== undefined) terminal.note(`only a part of the trace: ${found.partial}`);
  if (terminal.json) {
    const json = otlpToJson(found.bytes, options.v1 === true ? 'batches' : 'resourceSpans');
    terminal.print([Buffer.from(json).toString('utf8')]);
    return 0;
  }
  const trace = readTrace(found.bytes);
  if (options.span !== undefined) {
    const lines = spanDetailLines(trace, options.span.toLowerCase(), terminal);
    if (lines === undefined) {
      terminal.note(`span ${options.span} not found in trace ${trace.id}`);
      return 1;
    }
    terminal.print(lines);
    return 0;
  }
  terminal.print(waterfall(trace, { ...terminal, spansMax: options.maxSpans ?? SPANS_MAX_DEFAULT }));
  return 0;
}
