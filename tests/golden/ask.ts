/** Asks a server golden questions and puts its answers into their normal form. */
import type { Answer, Answers } from './compare.ts';
import { normalForm } from './normal-form.ts';
import type { GoldenQuery } from './queries.ts';

/** The data set spans 50 minutes. */
const RANGE_SECONDS = 3000;
const ANSWER_MS_MAX = 60_000;
/** Questions that are asked at the same time. */
const CONCURRENCY = 8;

/** Ten whole minutes, so that every step up to 10m divides the base; the newest span is 5 to 15 minutes old. */
export function baseFor(nowMs: number): number {
  return Math.floor((nowMs / 1000 - 55 * 60) / 600) * 600;
}

/** The answers of the server whose API is at `url`, by the query's name. */
export async function askAll(url: string, queries: readonly GoldenQuery[], base: number): Promise<Answers> {
  const answers: Answers = {};
  const waiting = [...queries].reverse();
  const client = async (): Promise<void> => {
    for (let query = waiting.pop(); query !== undefined; query = waiting.pop())
      answers[query.name] = await ask(url, query, base);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, client));
  return answers;
}

async function ask(api: string, query: GoldenQuery, base: number): Promise<Answer> {
  let response: Response;
  let bytes: Buffer;
  try {
    response = await fetch(api + target(query, base), {
      method: query.method ?? 'GET',
      headers: { accept: '*/*', ...query.headers },
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
    bytes = Buffer.from(await response.arrayBuffer());
  } catch (error) {
    return { status: 0, body: `no answer: ${(error as Error).name}` };
  }
  const type = (response.headers.get('content-type') ?? '').split(';')[0];
  const { status } = response;
  const answer: Answer = { status, ...(query.type && { type }) };
  if (query.compare === 'status') return answer;
  const body = normalForm(query, status, type, bytes, base);
  return body === undefined ? answer : { ...answer, body: JSON.parse(JSON.stringify(body)) };
}

function target({ path, params }: GoldenQuery, base: number): string {
  const query = Object.entries(params)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(fill(String(value), base))}`)
    .join('&');
  return fill(path, base) + (query && (path.includes('?') ? '&' : '?') + query);
}

/** {start}, {end-23}, {start+600:ns}, {end:rfc3339}; {x*140000} is that many letters. */
function fill(text: string, base: number): string {
  return text
    .replace(/\{(\w)\*(\d+)\}/g, (_, letter: string, times: string) => letter.repeat(Number(times)))
    .replace(/\{(start|end)([+-]\d+)?(?::(ns|rfc3339))?\}/g, (_, edge: string, offset = '0', form?: string) => {
      const seconds = base + (edge === 'end' ? RANGE_SECONDS : 0) + Number(offset);
      if (form === 'ns') return `${seconds}000000000`;
      return form === 'rfc3339' ? new Date(seconds * 1000).toISOString() : String(seconds);
    });
}
