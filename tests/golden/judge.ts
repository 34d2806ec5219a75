/** Sorts the differences of a golden run into those that are meant, those that are known, and those that are news. */
import { ACCEPTED } from './accepted.ts';
import { type Answers, differenceOf, readAnswers } from './compare.ts';
import { OPEN } from './open.ts';
import { type Difference, PLACES, type Place } from './run.ts';

export interface Verdict {
  /** Neither accepted nor known to be open. */
  news: Difference[];
  /** Accepted to differ from Tempo, but our answer is not the one that was accepted either. */
  changed: Difference[];
  /** Lines of open.ts and accepted.ts that differ no longer. */
  settled: string[];
}

export function judge(differences: readonly Difference[]): Verdict {
  const own = readAnswers('answers-own.json');
  const verdict: Verdict = { news: [], changed: [], settled: [] };
  for (const difference of differences) {
    const { name, place, query, answer } = difference;
    if (Object.hasOwn(ACCEPTED, name)) {
      const text = differenceOf(query, answer, own, {});
      if (text !== undefined || own[name] === undefined)
        verdict.changed.push({ ...difference, text: text ?? 'no answer' });
    } else if (!OPEN[name]?.includes(place)) verdict.news.push(difference);
  }
  const differing = new Set(differences.map(({ name, place }) => `${name} ${place}`));
  for (const [name, places] of Object.entries(OPEN))
    for (const place of places)
      if (!differing.has(`${name} ${place}`)) verdict.settled.push(`open.ts: ${name} ${place}`);
  for (const name of Object.keys(ACCEPTED))
    if (!PLACES.some((place) => differing.has(`${name} ${place}`))) verdict.settled.push(`accepted.ts: ${name}`);
  return verdict;
}

/** Our answers to the accepted questions, in the shape of recorded ones. */
export function ownAnswers(differences: readonly Difference[]): Answers {
  const own: Answers = {};
  for (const { name, answer } of differences) {
    if (!Object.hasOwn(ACCEPTED, name)) continue;
    const first = own[name];
    if (first === undefined) own[name] = answer;
    else if (JSON.stringify(first) !== JSON.stringify(answer)) own[name] = { ...first, also: [answer] };
  }
  return own;
}

/** What open.ts has to say. */
export function openList(differences: readonly Difference[]): { [name: string]: Place[] } {
  const open: { [name: string]: Place[] } = {};
  for (const { name, place } of differences) if (!Object.hasOwn(ACCEPTED, name)) (open[name] ??= []).push(place);
  return open;
}
