/** The named points of work that must survive the end of the process there (src/runtime/reached.ts), and what leads to each. */
import { UPLOAD_POINTS } from '../../src/block/upload.ts';
import { CUT_POINTS } from '../../src/block/write-folder.ts';
import { BUCKET_MERGE_POINTS } from '../../src/compact/bucket-merge.ts';
import { MERGE_POINTS } from '../../src/compact/merge-blocks.ts';

export interface Point {
  name: string;
  work: 'cut' | 'merge' | 'expire' | 'rules' | 'erase';
  storage: 'folder' | 's3';
}

const named = (prefix: string, names: readonly string[], work: Point['work'], storage: Point['storage']): Point[] =>
  names.map((name) => ({ name: `${prefix} ${name}`, work, storage }));

export const POINTS: readonly Point[] = [
  ...named('cut', [...CUT_POINTS, 'noted', 'released'], 'cut', 'folder'),
  ...named('compaction', MERGE_POINTS, 'merge', 'folder'),
  ...named('retention', ['marked', 'removed'], 'expire', 'folder'),
  ...named('upload', [...UPLOAD_POINTS, 'removed'], 'cut', 's3'),
  ...named('bucket compaction', [...BUCKET_MERGE_POINTS, 'marked'], 'merge', 's3'),
  ...named('retention', ['copied', 'marked', 'cleared'], 'expire', 's3'),
  ...named('rules', MERGE_POINTS, 'rules', 'folder'),
  ...named('bucket rules', BUCKET_MERGE_POINTS, 'rules', 's3'),
  ...named('erasing', MERGE_POINTS, 'erase', 'folder'),
  ...named('bucket erasing', [...BUCKET_MERGE_POINTS, 'marked'], 'erase', 's3'),
];

/** Those of the short form; being killed while uploading, merging and erasing has tests of its own in tests/process. */
export const SHORT: Record<'kill' | 'full', (point: Point) => boolean> = {
  kill: ({ name, storage }) => storage === 'folder' && /^(?:cut|retention)/.test(name),
  full: ({ name, storage }) =>
    storage === 'folder' && /^(?:cut files|cut noted|(?:compaction|rules|erasing) written)$/.test(name),
};
