/**
 * Sends the traces of a shop (shop.ts) to a running server until it is stopped, so that there is something to look at.
 *   npm run demo -- [--url http://localhost:4318/v1/traces] [--rate 5] [--api http://localhost:3200] [--tenant NAME]
 * `--rate` is visits a second. A server that is not there yet is waited for; one that asks for a pause gets it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { shopVisit, type Visit } from './shop.ts';

const RATE_MAX = 2000;
const TICK_MS = 100;
const REQUEST_MS_MAX = 15_000;
const RETRY_MS_MAX = 5000;

const options = readOptions();
const api = options.api ?? new URL('/', Object.assign(new URL(options.url), { port: '3200' })).origin;
const stopped = new AbortController();
process.once('SIGINT', () => stopped.abort());
process.once('SIGTERM', () => stopped.abort());

const total = { visits: 0, traces: 0, spans: 0, errors: 0, refused: 0 };
let second = { visits: 0, traces: 0, spans: 0, errors: 0, newest: undefined as Visit | undefined };
const begunMs = performance.now();

console.log(`Sending ${options.rate} visits a second to ${options.url}; Ctrl-C ends it.`);
const printer = setInterval(tell, 1000);
await sendUntilStopped();
clearInterval(printer);
const seconds = (performance.now() - begunMs) / 1000;
console.log(
  `\nSent ${total.traces} traces, ${total.spans} spans (${total.errors} with errors) in ${seconds.toFixed(0)} s` +
    `${total.refused > 0 ? `; ${total.refused} visits were refused` : ''}.`,
);
// Connections that are kept alive would keep the process, too.
process.exit(0);

async function sendUntilStopped(): Promise<void> {
  let dueFromMs = performance.now();
  let due = 0;
  while (!stopped.signal.aborted) {
    const nowMs = performance.now();
    due += ((nowMs - dueFromMs) / 1000) * options.rate;
    dueFromMs = nowMs;
    const visits = Array.from({ length: Math.floor(due) }, () => shopVisit(Math.random, Date.now()));
    due -= visits.length;
    if (visits.length > 0) {
      await send(visits);
      // What was due while the server was away is not made up for.
      if (performance.now() - nowMs > 2000) dueFromMs = performance.now();
    }
    await pause(Math.max(TICK_MS, 1000 / options.rate / 2));
  }
}

/** Sends until the server takes or refuses the visits, or everything is stopped. */
async function send(visits: Visit[]): Promise<void> {
  const body = JSON.stringify({ resourceSpans: visits.flatMap((visit) => visit.resourceSpans) });
  const headers = { 'content-type': 'application/json', ...(options.tenant && { 'x-scope-orgid': options.tenant }) };
  let told = '';
  for (let waitMs = 500; !stopped.signal.aborted; waitMs = Math.min(waitMs * 2, RETRY_MS_MAX)) {
    let problem: string;
    try {
      const answer = await fetch(options.url, {
        method: 'POST',
        headers,
        body,
        signal: AbortSignal.any([stopped.signal, AbortSignal.timeout(REQUEST_MS_MAX)]),
      });
      const text = await answer.text();
      if (answer.ok) {
        if (told !== '') console.log('the server takes spans again');
        count(visits);
        return;
      }
      if (answer.status !== 429 && answer.status < 500) {
        console.error(`cannot send ${visits.length} visits: ${answer.status} ${text.slice(0, 300)}`);
        total.refused += visits.length;
        return;
      }
      waitMs = Math.max(waitMs, 1000 * (Number(answer.headers.get('retry-after')) || 0));
      problem = `the server is busy (${answer.status})`;
    } catch (error) {
      if (stopped.signal.aborted) return;
      problem = `no server at ${options.url} (${reasonOf(error)}); start one with: npm start`;
    }
    if (problem !== told) console.log(`waiting: ${problem}`);
    told = problem;
    await pause(waitMs);
  }
}

function count(visits: Visit[]): void {
  for (const visit of visits) {
    for (const sum of [second, total]) {
      sum.visits++;
      sum.traces += visit.traces;
      sum.spans += visit.spans;
      sum.errors += visit.errors;
    }
    second.newest = visit;
  }
}

function tell(): void {
  const { traces, spans, errors, newest } = second;
  second = { visits: 0, traces: 0, spans: 0, errors: 0, newest: undefined };
  if (newest === undefined) return;
  const time = new Date().toTimeString().slice(0, 8);
  const failed = errors > 0 ? `, ${errors} with errors` : '';
  console.log(
    `${time}  ${traces} traces, ${spans} spans${failed}; ${newest.name}: ${api}/api/traces/${newest.traceId}`,
  );
}

function pause(ms: number): Promise<void> {
  return sleep(ms, undefined, { signal: stopped.signal }).catch(() => {});
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.message) : error.message;
}

function readOptions(): { url: string; rate: number; api: string | undefined; tenant: string | undefined } {
  try {
    const { values } = parseArgs({
      options: {
        url: { type: 'string', default: 'http://localhost:4318/v1/traces' },
        rate: { type: 'string', default: '5' },
        api: { type: 'string' },
        tenant: { type: 'string' },
      },
    });
    const rate = Number(values.rate);
    if (!(rate > 0 && rate <= RATE_MAX)) throw new Error(`--rate ${values.rate} is not a number from 0 to ${RATE_MAX}`);
    new URL(values.url);
    return { url: values.url, rate, api: values.api, tenant: values.tenant };
  } catch (error) {
    console.error(`cannot start the demo: ${error instanceof Error ? error.message : error}`);
    process.exit(2);
  }
}
