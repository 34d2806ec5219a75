/**
 * A query reads its blocks one after the other, and of the next one mostly what it has read of this one. Where blocks are far
 * away, the next few are told so as soon as it is known, and need not be waited for when their turn comes.
 */
import type { Segment, Want } from './segment.ts';

/** What is read ahead when the query ends early is read in vain. */
const BLOCKS_AHEAD = 10;

/** Told of every whole column that is read of one of the blocks, and of its lines. */
export type OnRead = (what: Want | 'lines') => void;

/** The function to tell for the block at a place, all of one query. */
export function readAhead(blocks: readonly Segment[]): (at: number) => OnRead {
  const warmed = blocks.map(() => new Set<string>());
  return (at) => (what) => {
    const key = JSON.stringify(what);
    for (let next = at + 1; next < blocks.length && next <= at + BLOCKS_AHEAD; next++) {
      if (warmed[next].has(key)) continue;
      warmed[next].add(key);
      blocks[next].warm?.(what);
    }
  };
}
