/** `/api/search`: TraceQL, or tags and durations as before TraceQL (api.md §4). */
import { VivaceError } from '../runtime/errors.ts';
import { accepted } from './accept.ts';
import type { Call } from './api.ts';
import { joinSearches } from './federate.ts';
import { searchParameters } from './parameters.ts';
import type { Listener, SearchAnswer, SearchRequest } from './queries.ts';
import { type Answer, JSON_TYPE, PROTOBUF } from './respond.ts';
import { renderSearch } from './render-search.ts';

export async function search(call: Call, listener?: Listener): Promise<Answer> {
  const { given, ...asked } = searchParameters(call.url, call.limits, call.nowMs);
  const request: SearchRequest = { tenant: call.tenant, ...asked };
  const { leftPadTraceIds } = call.limits;
  const type = accepted(call.accept) === 'protobuf' ? 'protobuf' : 'json';
  const contentType = type === 'protobuf' ? PROTOBUF : JSON_TYPE;
  if (given) {
    const rendered = call.queries.searchBody?.(request, { type, leftPadTraceIds }, call.signal, listener);
    if (rendered !== undefined)
      return { status: 200, type: contentType, body: await rendered.catch((error: unknown) => fail(error, request)) };
  }
  const answer = await foundTraces(call, request, given, listener);
  return { status: 200, type: contentType, body: renderSearch(answer, { type, leftPadTraceIds }) };
}

/**
 * Without a range Tempo 3 looks at the last quarter of an hour and Tempo 2 at everything that is not in the store yet.
 * We do both: whoever has just sent a trace finds it, also when its clock is wrong or its times are made up.
 */
export async function foundTraces(
  call: Call,
  request: SearchRequest,
  given: boolean,
  listener?: Listener<SearchAnswer>,
): Promise<SearchAnswer> {
  const answer = await ask(call, request, listener);
  if (given || answer.traces.length >= request.limit) return answer;
  const recent = { ...request, startSeconds: 0, endSeconds: 0xffffffff, recentOnly: true };
  return joinSearches(
    [answer, await ask(call, recent, listener && { ...listener, onProgress: undefined })],
    request.limit,
  );
}

async function ask(call: Call, request: SearchRequest, listener?: Listener<SearchAnswer>): Promise<SearchAnswer> {
  try {
    return await call.queries.search(request, call.signal, listener);
  } catch (error) {
    return fail(error, request);
  }
}

function fail(error: unknown, request: SearchRequest): never {
  const bare = error instanceof VivaceError && error.code === 'invalid' && request.tags === undefined;
  if (!bare || error.message.startsWith(PREFIX)) throw error;
  throw new VivaceError('invalid', `${PREFIX}${error.message}`, { cause: error });
}

const PREFIX = 'invalid TraceQL query: ';
