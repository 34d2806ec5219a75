/** Writes the spans of a table as a block of one row group, in slices, so that the thread can do something else between them. */
import type { BlockFacts, BlockSink } from './sink.ts';
import type { SpanTable } from './table.ts';
import { type BlockMemory, writeBlock } from './write.ts';

export interface WriteTableOptions {
  pageRows: number;
  createdBy: string;
  memory?: BlockMemory;
  /** Gives the thread to others; called every few milliseconds of work. */
  pause: () => Promise<void>;
}

/** Milliseconds of work after which the thread is let go. */
const SLICE_MS = 4;

/** The table must have rows. */
export async function writeTable(table: SpanTable, sink: BlockSink, options: WriteTableOptions): Promise<BlockFacts> {
  let ready: Uint8Array[] = [];
  const steps = writeBlock(table, { ...options, write: (bytes) => ready.push(bytes) });
  let began = performance.now();
  for (;;) {
    const step = steps.next();
    const buffers = ready;
    ready = [];
    for (const buffer of buffers) await sink.data(buffer);
    if (step.done) {
      const { traces, facts } = step.value;
      await sink.traces(traces);
      return facts;
    }
    if (step.value !== undefined) await step.value;
    if (performance.now() - began > SLICE_MS) {
      await options.pause();
      began = performance.now();
    }
  }
}
