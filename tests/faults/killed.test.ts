/**
 * kill -9, and a full disk, at the named points of cut, upload, compaction and retention. The short form goes to some of them;
 * `npm run faults` to all, again and again, with and without a repair in between.
 */
import { after, describe, test } from 'node:test';
import { s3Program, startS3Server } from '../contract/s3-server.fixture.ts';
import type { Cleanup } from '../process/server.fixture.ts';
import { SEED } from '../property.ts';
import { atPoint, noDisk } from './at-point.ts';
import { POINTS, SHORT } from './points.ts';

const LONG = Number(process.env.VIVACE_FAULTS ?? 0);
const REPETITIONS = Math.max(1, LONG);

const file: Cleanup = { after: (work) => after(work) };
const program = await s3Program();
const noS3 = 'missing' in program ? program.missing : undefined;
const s3 = LONG > 0 && 'file' in program ? await startS3Server(file, program.file, []) : undefined;

for (const fault of ['kill', 'full'] as const)
  describe(fault === 'kill' ? 'killed at a point' : 'a full disk at a point', () => {
    for (const [i, point] of POINTS.filter((each) => LONG > 0 || SHORT[fault](each)).entries())
      for (let repetition = 0; repetition < REPETITIONS; repetition++)
        test(
          `${point.name}, ${point.storage}${REPETITIONS > 1 ? `, ${repetition + 1}` : ''}`,
          { skip: (point.storage === 's3' && noS3) || (fault === 'full' && noDisk) || false },
          (t) => atPoint(t, { ...point, fault, repairs: (i + repetition) % 2 === 0, seed: SEED + repetition }, s3),
        );
  });
