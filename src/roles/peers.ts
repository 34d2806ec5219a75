/**
 * Processes that share a local folder see each other's recent spans: each listens on a Unix socket beside its log
 * (log/ownership.ts) and answers the same questions about what it has not cut yet. Whoever is asked over HTTP joins the
 * answers with its own. The blocks are everybody's already.
 */
import fs from 'node:fs';
import http from 'node:http';
import { deserialize, serialize } from 'node:v8';
import { otherSockets, shortSocketPath, socketPath } from '../log/ownership.ts';
import { mergeTraces } from '../query/merge-traces.ts';
import { joinNames, joinSearches, joinValues } from '../serve/federate.ts';
import type { Queries, SearchAnswer, TagNamesAnswer, TagValuesAnswer, TraceAnswer } from '../serve/queries.ts';
import type { Question } from './reader-thread.ts';

/** A question that a peer does not answer in this time is answered without it. */
const PEER_MS_MAX = 10_000;
const QUESTION_BYTES_MAX = 1 << 20;

/** Listens for the questions of other processes; the socket also shows that this process lives. */
export async function answerPeers(wal: string, instance: string, queries: Queries): Promise<{ close(): void }> {
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
      recent(queries, deserialize(Buffer.concat(chunks)) as Question, gone.signal).then(
        (answer) => response.end(serialize(answer)),
        () => response.writeHead(500).end(),
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

/** Only what this process has not cut yet. */
function recent(queries: Queries, question: Question, signal: AbortSignal): Promise<unknown> {
  switch (question.op) {
    case 'trace':
      return queries.trace({ ...question.request, mode: 'recent' }, signal);
    case 'search':
      return queries.search({ ...question.request, recentOnly: true }, signal);
    case 'tagNames':
      return queries.tagNames(question.request, signal);
    case 'tagValues':
      return queries.tagValues(question.request, signal);
  }
}

/** The queries of this process, joined with the recent data of every other process on the same folder. */
export function withPeers(own: Queries, wal: string, instance: string | undefined): Queries {
  const ask = async <A>(question: Question, signal: AbortSignal): Promise<A[]> => {
    const sockets = otherSockets(wal, instance);
    if (sockets.length === 0) return [];
    const answers = await Promise.all(sockets.map((socket) => askPeer<A>(socket, question, signal)));
    return answers.filter((answer) => answer !== undefined);
  };
  // Peers first: a span that a peer cuts meanwhile is then in the blocks when they are looked at.
  return {
    async trace(request, signal) {
      const others = request.mode === 'blocks' ? [] : await ask<TraceAnswer>({ op: 'trace', request }, signal);
      const mine = await own.trace(request, signal);
      if (others.length === 0) return mine;
      const all = mine === undefined ? others : [mine, ...others];
      return {
        trace: mergeTraces(all.map((answer) => answer.trace)),
        inspectedBytes: all.reduce((sum, answer) => sum + answer.inspectedBytes, 0),
        ...(all.find((answer) => answer.partial) && { partial: all.find((answer) => answer.partial)!.partial }),
      };
    },
    async search(request, signal) {
      const others = await ask<SearchAnswer>({ op: 'search', request }, signal);
      return joinSearches([await own.search(request, signal), ...others], request.limit);
    },
    searchBody: (request, form, signal) =>
      otherSockets(wal, instance).length === 0 ? own.searchBody?.(request, form, signal) : undefined,
    async tagNames(request, signal) {
      const others = await ask<TagNamesAnswer>({ op: 'tagNames', request }, signal);
      return joinNames([await own.tagNames(request, signal), ...others], request.limit);
    },
    async tagValues(request, signal) {
      const others = await ask<TagValuesAnswer>({ op: 'tagValues', request }, signal);
      return joinValues([await own.tagValues(request, signal), ...others], request.limit);
    },
  };
}

function askPeer<A>(socket: string, question: Question, signal: AbortSignal): Promise<A | undefined> {
  const short = shortSocketPath(socket);
  return new Promise<A | undefined>((resolve) => {
    const request = http.request(
      { socketPath: short.path, method: 'POST', agent: false, timeout: PEER_MS_MAX, signal },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve(response.statusCode === 200 ? (deserialize(Buffer.concat(chunks)) as A) : undefined),
        );
        response.on('error', () => resolve(undefined));
      },
    );
    request.on('timeout', () => request.destroy());
    // A socket whose process is gone is not a peer any more.
    request.on('error', () => resolve(undefined));
    request.end(serialize(question));
  }).finally(short.close);
}
