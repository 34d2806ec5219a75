/**
 * Traces that lie in several processes on one folder, so that whoever is asked can look at each as a whole. What a process has
 * not cut yet the others see only by asking it:
 *
 *   asked process              each of the others
 *     │ which traces live? ──────▶ ids of live traces
 *     │ its reader: which of them are also here, in blocks, or with another
 *     │ those, please ───────────▶ their spans, as OTLP
 *     │ the question, without ───▶ what it finds in the other traces
 *     ▼ the question, over blocks, its own live segments and what was brought
 */
import type { Segment } from '../block/segment.ts';
import type { SplitTraceCache } from '../query/split-traces.ts';
import { collectTraces } from '../query/trace.ts';

/** A live segment of another process: a name of its own, and 16 bytes a trace, to which more may come. */
export interface LiveIds {
  name: string;
  ids: Uint8Array;
}

export type PartsRequest = {
  tenant: string;
  /** Leave blocks alone, or take those of a range. */
  recentOnly: boolean;
  startSeconds?: number;
  endSeconds?: number;
} & (
  | { want: 'ids' }
  /** By process. */
  | { want: 'split'; lives: LiveIds[][] }
  | { want: 'spans'; ids: Uint8Array; bytesMax: number }
);

export type PartsAnswer =
  | { want: 'ids'; lives: LiveIds[] }
  /** By process the ids of its traces that are elsewhere, too. */
  | { want: 'split'; ids: Uint8Array[] }
  /** Those of the traces that fitted, and their spans as TracesData. */
  | { want: 'spans'; ids: Uint8Array; trace: Uint8Array };

/** Traces that are collected between two looks at how much there is. */
const TRACES_AT_ONCE = 64;

export async function answerParts(
  request: PartsRequest,
  segments: readonly Segment[],
  splits: SplitTraceCache,
  stop: () => void,
): Promise<PartsAnswer> {
  switch (request.want) {
    case 'ids': {
      const lives: LiveIds[] = [];
      for (const segment of segments) lives.push({ name: segment.name, ids: (await segment.traceIds()).slice() });
      return { want: 'ids', lives };
    }
    case 'split':
      return { want: 'split', ids: await splitIds(request.lives, segments, splits, stop) };
    case 'spans': {
      const taken: Uint8Array[] = [];
      const parts: Uint8Array[] = [];
      let bytes = 0;
      for (let from = 0; from < request.ids.length && bytes < request.bytesMax; from += 16 * TRACES_AT_ONCE) {
        stop();
        const ids = request.ids.subarray(from, from + 16 * TRACES_AT_ONCE);
        const each = Array.from({ length: ids.length / 16 }, (_, i) => ids.subarray(16 * i, 16 * i + 16));
        const part = await collectTraces(segments, each, stop);
        bytes += part.length;
        taken.push(ids);
        parts.push(part);
      }
      return { want: 'spans', ids: new Uint8Array(Buffer.concat(taken)), trace: new Uint8Array(Buffer.concat(parts)) };
    }
  }
}

async function splitIds(
  lives: LiveIds[][],
  segments: readonly Segment[],
  splits: SplitTraceCache,
  stop: () => void,
): Promise<Uint8Array[]> {
  const theirs = lives.flatMap((list, process) =>
    list.map(({ name, ids }) => ({ process, name, live: true, traceIds: async () => ids })),
  );
  const { ids, places } = await splits.ofLive([...theirs, ...segments], stop);
  const found = lives.map(() => new Set<number>());
  theirs.forEach(({ process }, at) => {
    for (const split of places[at].splits) found[process].add(split);
  });
  return found.map((of) => new Uint8Array(Buffer.concat([...of].map((split) => ids[split]))));
}
