/**
 * The comparison of oracle.test.ts for as long as one likes:
 *   npm run oracle -- [--pairs 100000]
 * `VIVACE_SEED=random` looks where nobody has looked yet; a failure prints its seed, query and spans.
 */
import { parseArgs } from 'node:util';
import { SEED } from '../property.ts';
import { FEATURES } from './features.ts';
import { compareMany } from './run.ts';

const { values } = parseArgs({ options: { pairs: { type: 'string', default: '100000' } } });
const started = performance.now();
let shown = 0;
const tally = await compareMany({
  pairs: Number(values.pairs),
  features: FEATURES,
  progress: ({ pairs }) => {
    if (pairs < shown + 5000) return;
    shown = pairs;
    console.error(`${pairs} pairs, ${Math.round((performance.now() - started) / 1000)} s`);
  },
});
const { pairs, found, unspecified } = tally;
console.log(
  `${pairs} pairs agree (seed ${SEED}); ${found} find something, of ${unspecified} nobody says what is right`,
);
