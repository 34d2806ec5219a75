/** Many pairs of spans and queries, asked in every form; the first on which engine and evaluator differ is made small. */
import { parseQuery } from '../../src/traceql/parse.ts';
import { printField, printReference } from '../../src/traceql/print.ts';
import fc from '../property.ts';
import { type Features, metricsText, queryText } from './arbitrary-queries.ts';
import { tagQuestion } from './arbitrary-tags.ts';
import { type Dataset, dataset } from './arbitrary-spans.ts';
import { FORMS, formsOf } from './forms.ts';
import { joiningOf } from '../../src/query/segments.fixture.ts';
import { expectedLines, expectedSeries, foundLines, foundSeries, mayBeRefused } from './judge.ts';
import { modelOf } from './model.ts';
import { expectedTags, foundTags, type TagQuestion } from './tags.ts';

/** Most queries that are asked of one data set: making blocks costs more than asking. */
const QUERIES_MAX = 25;
/** What fast-check makes of that on average. */
const QUERIES = 13;
const TAG_QUESTIONS_MAX = 4;

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
  /** After every data set. */
  progress?: (tally: Tally) => void;
}

/** Throws at the first difference, with the smallest query and spans that show it. */
export async function compareMany({ pairs, features, progress }: CompareOptions): Promise<Tally> {
  const tally: Tally = { pairs: 0, unspecified: 0, found: 0 };
  const query = fc.oneof(
    { weight: 2, arbitrary: queryText(features) },
    { weight: 1, arbitrary: metricsText(features) },
  );
  const queries = fc.array(query, { minLength: 1, maxLength: QUERIES_MAX, size: 'max' });
  const tags = fc.array(tagQuestion, { minLength: 1, maxLength: TAG_QUESTIONS_MAX });
  const property = fc.asyncProperty(dataset, queries, tags, async (data, texts, questions) => {
    await check(data, texts, questions, features, tally);
    progress?.(tally);
  });
  await fc.assert(property, { numRuns: Math.ceil(pairs / QUERIES) });
  return tally;
}

async function check(
  data: Dataset,
  texts: string[],
  tags: TagQuestion[],
  features: Features,
  tally: Tally,
): Promise<void> {
  const model = modelOf(data.requests);
  const forms = await formsOf(data);
  // What is remembered between queries is remembered here, too.
  const joining = Object.fromEntries(FORMS.map((form) => [form, joiningOf()]));
  try {
    for (const text of texts) {
      tally.pairs++;
      const isMetrics = parseQuery(text).metrics !== undefined;
      const expected = isMetrics ? expectedSeries(text, model) : expectedLines(text, model);
      if (expected === undefined) tally.unspecified++;
      else if (expected.length > 0) tally.found++;
      for (const name of isMetrics ? features.measured : features.searched) {
        const segments = forms.segments[name];
        const found = await (isMetrics
          ? foundSeries(text, segments, joining[name])
          : foundLines(text, segments, model, joining[name]));
        if (expected === undefined || JSON.stringify(found) === JSON.stringify(expected)) continue;
        if (typeof found === 'string' && mayBeRefused(text, model)) continue;
        throw new Error(`${name}: ${text}\n  expected ${lines(expected)}\n  found    ${lines(found)}`);
      }
    }
    for (const question of tags) {
      tally.pairs++;
      const expected = expectedTags(question, model);
      if (expected === undefined) tally.unspecified++;
      else if (expected.length > 0) tally.found++;
      for (const name of features.searched) {
        const found = await foundTags(question, forms.segments[name]);
        if (expected === undefined || JSON.stringify(found) === JSON.stringify(expected)) continue;
        const asked = question.filter && printField(question.filter);
        const tag = question.reference === undefined ? 'names' : printReference(question.reference);
        throw new Error(`${name}: ${tag} where ${asked}\n  expected ${lines(expected)}\n  found    ${lines(found)}`);
      }
    }
  } finally {
    forms.close();
  }
}

function lines(list: string[] | string): string {
  return typeof list === 'string' ? list : list.length === 0 ? 'nothing' : list.join('\n           ');
}
