/**
 * Processes that share a local folder see each other's recent spans: each listens on a Unix socket beside its log
 * (log/ownership.ts) and answers the same questions about what it has not cut yet. Whoever is asked over HTTP joins the
 * answers with its own. The blocks are everybody's already.
 */
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { otherSockets, shortSocketPath, socketPath } from '../log/ownership.ts';
import { mergeTraces } from '../query/merge-traces.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { joinNames, joinSearches, joinValues } from '../serve/federate.ts';
import type {
  Listener,
  MetricsPartialAnswer,
  MetricsRequest,
  Queries,
  Receipt,
  SearchAnswer,
  TagNamesAnswer,
  TagValuesAnswer,
  TraceAnswer,
} from '../serve/queries.ts';
import { joinReceipts } from '../serve/receipt.ts';
import type { Question } from './reader-thread.ts';
import type { PartsAnswer, PartsRequest } from './split-parts.ts';
import type { ProcessQueries } from './readers.ts';

/** A question that a peer does not answer in this time is answered without it. */
const PEER_MS_MAX = 10_000;
const QUESTION_BYTES_MAX = 1 << 20;
/** Traces, and bytes of spans, that one process brings another for a question. */
const SPLIT_TRACES_MAX = 20_000;
const BROUGHT_BYTES_MAX = 32 * 1024 * 1024;
/** A merge takes seconds, asking others milliseconds: it is hardly ever twice that one comes in between. */
const COUNTED_TIMES_MAX = 3;

/** Listens for the questions of other processes; the socket also shows that this process lives. */
export async function answerPeers(wal: string, instance: string, queries: ProcessQueries): Promise<{ close(): void }> {
  fs.mkdirSync(wal, { recursive: true, mode: 0o700 });
  const file = socketPath(wal, instance);
  const short = shortSocketPath(file);
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > QUESTION_BYTES_MAX) request.destroy();
      else chunks.push(chunk);
    });
    request.on('end', () => {
      const gone = new AbortController();
      response.once('close', () => gone.abort());
      const receipts: Receipt[] = [];
      const listener = { onReceipt: (receipt: Receipt) => void receipts.push(receipt) };
      recent(queries, deserialize(Buffer.concat(chunks)) as Question, gone.signal, listener).then(
        (answer) => response.end(serialize({ answer, receipt: joinReceipts(receipts) } satisfies PeerAnswer)),
        (error: unknown) => response.writeHead(500).end(messageOf(error)),
      );
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(short.path, resolve);
  });
  return {
    close() {
      server.close();
      server.closeAllConnections();
      short.close();
      fs.rmSync(file, { force: true });
    },
  };
}

interface PeerAnswer {
  answer: unknown;
  receipt: Receipt;
}

/** Only what this process has not cut yet. */
function recent(
  queries: ProcessQueries,
  question: Question,
  signal: AbortSignal,
  listener: Listener,
): Promise<unknown> {
  switch (question.op) {
    case 'trace':
      return queries.trace({ ...question.request, mode: 'recent' }, signal, listener);
    case 'search':
      return queries.search({ ...question.request, recentOnly: true }, signal, listener);
    case 'tagNames':
      return queries.tagNames({ ...question.request, recentOnly: true }, signal, listener);
    case 'tagValues':
      return queries.tagValues({ ...question.request, recentOnly: true }, signal, listener);
    case 'parts':
      return queries.parts({ ...question.request, recentOnly: true }, signal);
    case 'metrics':
      return queries.metricsPartial({ ...question.request, recentOnly: true }, signal, listener);
  }
}

/** The queries of this process, joined with the recent data of every other process on the same folder. */
export function withPeers(own: ProcessQueries, wal: string, instance: string | undefined): Queries {
  /** The answers of all that answer; whoever does not is missing in the receipt. */
  const ask = async <A>(
    question: Question | ((socket: string) => Question),
    signal: AbortSignal,
    listener: Listener<never> | undefined,
    sockets = otherSockets(wal, instance),
  ): Promise<A[]> => {
    if (sockets.length === 0) return [];
    const answers = await Promise.all(
      sockets.map((socket) => askPeer(socket, typeof question === 'function' ? question(socket) : question, signal)),
    );
    signal.throwIfAborted();
    return answers.flatMap((told, i) => {
      // Who has stopped in good order has cut everything.
      if (told === undefined) return [];
      if (typeof told !== 'string') {
        listener?.onReceipt?.(told.receipt);
        return told.answer === undefined ? [] : [told.answer as A];
      }
      listener?.onReceipt?.({ ...NOTHING, missing: [{ what: `process ${path.parse(sockets[i]).name}`, why: told }] });
      return [];
    });
  };
  /** Asks the others, then here: a span that a peer cuts meanwhile is then in the blocks when they are looked at. */
  const joined = async <A>(
    question: Question | ((socket: string) => Question),
    signal: AbortSignal,
    listener: Listener<A> | undefined,
    here: (listener: Listener<A> | undefined) => Promise<A>,
    join: (answers: A[]) => A,
    sockets = otherSockets(wal, instance),
  ): Promise<A> => {
    const others = await ask<A>(question, signal, listener, sockets);
    if (others.length === 0) return here(listener);
    const onProgress = (partial: A): void => listener?.onProgress?.(join([partial, ...others]));
    return join([await here(listener && { ...listener, ...(listener.onProgress && { onProgress }) }), ...others]);
  };
  const counted = async (
    request: MetricsRequest,
    signal: AbortSignal,
    listener: Listener<never> | undefined,
  ): Promise<MetricsRequest> => {
    // What others have counted for a request is added once, here.
    const { others: known = [], ...bare } = request;
    const sockets = otherSockets(wal, instance);
    const { without, brought } = await gather(own, sockets, { ...bare, ...secondsOf(bare) }, signal, listener);
    const question = (socket: string): Question => ({
      op: 'metrics',
      request: { ...bare, parts: { without: without.get(socket) } },
    });
    const others = await ask<MetricsPartialAnswer>(question, signal, listener, sockets);
    // What they write meanwhile is in blocks when it is counted here.
    const counted = others.flatMap(({ from = [] }) => from);
    return { ...bare, others: [...known, ...others], parts: { brought, counted } };
  };
  /** Counts again when blocks with spans that others had counted were merged with others before they were looked at here. */
  const metrics = async <A>(
    request: MetricsRequest,
    signal: AbortSignal,
    listener: Listener<A> | undefined,
    here: (request: MetricsRequest) => Promise<A>,
  ): Promise<A> => {
    for (let left = COUNTED_TIMES_MAX; ; left--) {
      const receipts: Receipt[] = [];
      const asked = await counted(request, signal, { onReceipt: (receipt) => void receipts.push(receipt) });
      try {
        const answer = await here({ ...asked, parts: { ...asked.parts, mayCountTwice: left === 1 } });
        for (const receipt of receipts) listener?.onReceipt?.(receipt);
        return answer;
      } catch (error) {
        if (!(error instanceof VivaceError && error.code === 'precondition')) throw error;
      }
    }
  };
  return {
    async trace(request, signal, listener) {
      const others =
        request.mode === 'blocks' ? [] : await ask<TraceAnswer>({ op: 'trace', request }, signal, listener);
      const mine = await own.trace(request, signal, listener);
      if (others.length === 0) return mine;
      const all = mine === undefined ? others : [mine, ...others];
      return {
        trace: mergeTraces(all.map((answer) => answer.trace)),
        inspectedBytes: all.reduce((sum, answer) => sum + answer.inspectedBytes, 0),
        ...(all.find((answer) => answer.partial) && { partial: all.find((answer) => answer.partial)!.partial }),
        ...(mine?.incomplete !== undefined && { incomplete: mine.incomplete }),
      };
    },
    async search(request, signal, listener) {
      const sockets = otherSockets(wal, instance);
      // Searches by tags judge each part of a trace by itself.
      const { without, brought } =
        request.tags === undefined ? await gather(own, sockets, request, signal, listener) : NO_PARTS;
      return joined<SearchAnswer>(
        (socket) => ({ op: 'search', request: { ...request, parts: { without: without.get(socket) } } }),
        signal,
        listener,
        (l) => own.search({ ...request, parts: { brought } }, signal, l),
        (answers) => joinSearches(answers, request.limit),
        sockets,
      );
    },
    searchBody: (request, form, signal, listener) =>
      otherSockets(wal, instance).length === 0 ? own.searchBody?.(request, form, signal, listener) : undefined,
    tagNames: (request, signal, listener) =>
      joined<TagNamesAnswer>(
        { op: 'tagNames', request },
        signal,
        listener,
        (l) => own.tagNames(request, signal, l),
        (answers) => joinNames(answers, request.limit),
      ),
    tagValues: (request, signal, listener) =>
      joined<TagValuesAnswer>(
        { op: 'tagValues', request },
        signal,
        listener,
        (l) => own.tagValues(request, signal, l),
        (answers) => joinValues(answers, request.limit),
      ),
    metrics: (request, signal, listener) =>
      metrics(request, signal, listener, (asked) => own.metrics(asked, signal, listener)),
    metricsBody: (request, form, signal, listener) =>
      metrics(request, signal, listener, (asked) => own.metricsBody(asked, form, signal, listener)),
    metricsPartial: (request, signal, listener) =>
      metrics(request, signal, listener, (asked) => own.metricsPartial(asked, signal, listener)),
  };
}

/** What is known of traces that several processes have a part of. */
interface Gathered {
  /** By socket: the traces that are looked at here, 16 bytes each. */
  without: Map<string, Uint8Array>;
  /** What others have not written yet of them. */
  brought: Uint8Array[];
}

const NO_PARTS: Gathered = { without: new Map(), brought: [] };

/**
 * Gathers traces of which another process has a part, so that they are looked at as a whole, here (split-parts.ts). What
 * arrives while this is done, and what does not fit, each process looks at by itself.
 */
async function gather(
  own: ProcessQueries,
  sockets: readonly string[],
  request: { tenant: string; recentOnly?: boolean; startSeconds: number; endSeconds: number },
  signal: AbortSignal,
  listener: Listener<never> | undefined,
): Promise<Gathered> {
  if (sockets.length === 0) return NO_PARTS;
  const { tenant, recentOnly = false, startSeconds, endSeconds } = request;
  const askParts = async (socket: string, parts: PartsRequest): Promise<PartsAnswer | undefined> => {
    const told = await askPeer(socket, { op: 'parts', request: parts }, signal);
    // Whoever does not answer is asked once more, for the answer itself, and is missing then.
    return typeof told === 'object' ? (told.answer as PartsAnswer) : undefined;
  };
  const lives = await Promise.all(
    sockets.map(async (socket) => {
      const told = await askParts(socket, { tenant, recentOnly: true, want: 'ids' });
      if (told?.want !== 'ids') return [];
      return told.lives.map(({ name, ids }) => ({ name: `${path.parse(socket).name} ${name}`, ids }));
    }),
  );
  if (lives.every((each) => each.length === 0)) return NO_PARTS;
  const split = await own.parts({ tenant, recentOnly, startSeconds, endSeconds, want: 'split', lives }, signal);
  if (split.want !== 'split' || split.ids.every(({ length }) => length === 0)) return NO_PARTS;
  const gathered: Gathered = { without: new Map(), brought: [] };
  let left = 0;
  await Promise.all(
    sockets.map(async (socket, i) => {
      const wanted = split.ids[i];
      if (wanted.length === 0) return;
      const ids = wanted.subarray(0, 16 * SPLIT_TRACES_MAX);
      const told = await askParts(socket, {
        tenant,
        recentOnly: true,
        want: 'spans',
        ids,
        bytesMax: BROUGHT_BYTES_MAX,
      });
      const parts = told?.want === 'spans' ? told : { ids: new Uint8Array(), trace: new Uint8Array() };
      left += (wanted.length - parts.ids.length) / 16;
      if (parts.ids.length === 0) return;
      gathered.without.set(socket, parts.ids);
      gathered.brought.push(parts.trace);
    }),
  );
  signal.throwIfAborted();
  if (left > 0)
    listener?.onReceipt?.({
      ...NOTHING,
      missing: [
        { what: `the whole of ${left} traces`, why: 'they lie in several processes, which looked at them apart' },
      ],
    });
  return gathered;
}

function secondsOf({ startNs, endNs }: MetricsRequest): { startSeconds: number; endSeconds: number } {
  return { startSeconds: Number(startNs / 1_000_000_000n), endSeconds: Number(endNs / 1_000_000_000n) + 1 };
}

const NOTHING: Receipt = {
  blocks: { wanted: 0, read: 0, pruned: 0 },
  bytes: { wanted: 0, read: 0, pruned: 0 },
  missing: [],
};

/** What a peer answers, or why it does not; undefined for one that is not there any more. */
function askPeer(socket: string, question: Question, signal: AbortSignal): Promise<PeerAnswer | string | undefined> {
  const short = shortSocketPath(socket);
  return new Promise<PeerAnswer | string | undefined>((resolve) => {
    const request = http.request(
      { socketPath: short.path, method: 'POST', agent: false, timeout: PEER_MS_MAX, signal },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const body = Buffer.concat(chunks);
          resolve(response.statusCode === 200 ? (deserialize(body) as PeerAnswer) : `it failed: ${body}`);
        });
        response.on('error', (error) => resolve(error.message));
      },
    );
    request.on('timeout', () => request.destroy(new Error(`it did not answer in ${PEER_MS_MAX / 1000} s`)));
    request.on('error', ({ code, message }: NodeJS.ErrnoException) => {
      if (code === 'ENOENT') resolve(undefined);
      else if (code === 'ECONNREFUSED') resolve('it has ended; its recent spans are back when its log is taken over');
      else resolve(message);
    });
    request.end(serialize(question));
  }).finally(short.close);
}
