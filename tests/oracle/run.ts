/** Many pairs of spans and queries, asked in every form; the first on which engine and evaluator differ is made small. */
import fc from '../property.ts';
import { type Features, queryText } from './arbitrary-queries.ts';
import { type Dataset, dataset } from './arbitrary-spans.ts';
import { FORMS, type Form, formsOf } from './forms.ts';
import { expectedLines, foundLines } from './judge.ts';
import { modelOf } from './model.ts';

/** Most queries that are asked of one data set: making blocks costs more than asking. */
const QUERIES_MAX = 25;
/** What fast-check makes of that on average. */
const QUERIES = 8;

export interface Tally {
  pairs: number;
  /** The language does not say what is right. */
  unspecified: number;
  /** Pairs that find something. */
  found: number;
}

export interface CompareOptions {
  /** About how many. */
  pairs: number;
  features: Features;
  forms?: readonly Form[];
  /** After every data set. */
  progress?: (tally: Tally) => void;
}

/** Throws at the first difference, with the smallest query and spans that show it. */
export async function compareMany({ pairs, features, forms = FORMS, progress }: CompareOptions): Promise<Tally> {
  const tally: Tally = { pairs: 0, unspecified: 0, found: 0 };
  const queries = fc.array(queryText(features), { minLength: 1, maxLength: QUERIES_MAX, size: 'max' });
  const property = fc.asyncProperty(dataset, queries, async (data, texts) => {
    await check(data, texts, forms, tally);
    progress?.(tally);
  });
  await fc.assert(property, { numRuns: Math.ceil(pairs / QUERIES) });
  return tally;
}

async function check(data: Dataset, texts: string[], names: readonly Form[], tally: Tally): Promise<void> {
  const model = modelOf(data.requests);
  const forms = await formsOf(data);
  try {
    for (const text of texts) {
      tally.pairs++;
      const expected = expectedLines(text, model);
      if (expected === undefined) tally.unspecified++;
      else if (expected.length > 0) tally.found++;
      for (const name of names) {
        const found = await foundLines(text, forms.segments[name], model);
        if (expected === undefined || JSON.stringify(found) === JSON.stringify(expected)) continue;
        throw new Error(`${name}: ${text}\n  expected ${lines(expected)}\n  found    ${lines(found)}`);
      }
    }
  } finally {
    forms.close();
  }
}

function lines(list: string[] | string): string {
  return typeof list === 'string' ? list : list.length === 0 ? 'nothing' : list.join('\n           ');
}
