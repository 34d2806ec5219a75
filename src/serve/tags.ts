/** The four routes for names and values of attributes (api.md §5). */
import { VivaceError } from '../runtime/errors.ts';
import { accepted } from './accept.ts';
import type { Call } from './api.ts';
import { INTRINSIC_TAGS } from './intrinsics.ts';
import { tagParameters } from './parameters.ts';
import type { Listener, TagNamesAnswer, TagValuesAnswer } from './queries.ts';
import { type Answer, JSON_TYPE, PROTOBUF, SIMPLIFIED } from './respond.ts';
import { tagNamesV1Json, tagNamesV2Json, tagValuesGroupedJson, tagValuesV1Json, tagValuesV2Json } from './tags-json.ts';
import { stringsProtobuf, tagNamesV2Protobuf, tagValuesV2Protobuf } from './tags-protobuf.ts';

export type TagVersion = 'v1' | 'v2';

/** v1 is a flat list without the filter and, unless asked for, without intrinsics. */
export async function tagNames(call: Call, version: TagVersion): Promise<Answer> {
  const answer = await foundNames(call, version);
  const protobuf = accepted(call.accept) === 'protobuf';
  if (version === 'v2') return protobuf ? bytes(tagNamesV2Protobuf(answer)) : json(tagNamesV2Json(answer));
  const names = flatNames(answer);
  return protobuf ? bytes(stringsProtobuf(names, answer.metrics)) : json(tagNamesV1Json(names, answer.metrics));
}

/** The names by scope, with the intrinsics where they belong. */
export async function foundNames(
  call: Call,
  version: TagVersion,
  listener?: Listener<TagNamesAnswer>,
): Promise<TagNamesAnswer> {
  const { given: _, ...asked } = tagParameters(call.url, call.limits, call.nowMs);
  const everything = asked.scope === '' || asked.scope === 'none';
  const complete = (answer: TagNamesAnswer): TagNamesAnswer =>
    asked.scope === 'intrinsic' || (everything && version === 'v2')
      ? { ...answer, scopes: [...answer.scopes, { name: 'intrinsic', tags: [...INTRINSIC_TAGS] }] }
      : answer;
  // Intrinsics are the same for everybody, and the scope of traces has no attributes.
  if (asked.scope === 'intrinsic' || asked.scope === 'trace')
    return complete({ scopes: [], metrics: { inspectedBytes: 0 } });
  const request = {
    tenant: call.tenant,
    ...asked,
    query: version === 'v2' ? asked.query : undefined,
    bytesMax: call.limits.tagBytesMax,
  };
  const onProgress = (partial: TagNamesAnswer): void => listener?.onProgress?.(complete(partial));
  return complete(
    await call.queries.tagNames(
      request,
      call.signal,
      listener && { ...listener, ...(listener.onProgress && { onProgress }) },
    ),
  );
}

/** All names of v1, sorted. */
export function flatNames(answer: TagNamesAnswer): string[] {
  return sortedOnce(answer.scopes.flatMap((scope) => scope.tags));
}

/** v1 names an attribute by its bare key and answers texts; v2 takes an identifier of TraceQL and answers types, too. */
export async function tagValues(call: Call, version: TagVersion): Promise<Answer> {
  const answer = await foundValues(call, version);
  const form = accepted(call.accept);
  if (version === 'v1') {
    const values = flatValues(answer);
    return form === 'protobuf'
      ? bytes(stringsProtobuf(values, answer.metrics))
      : json(tagValuesV1Json(values, answer.metrics));
  }
  if (form === 'protobuf') return bytes(tagValuesV2Protobuf(answer));
  if (form === 'json') return json(tagValuesV2Json(answer));
  return { status: 200, type: `${SIMPLIFIED}+json`, body: tagValuesGroupedJson(answer) };
}

/** The values with their types. */
export async function foundValues(
  call: Call,
  version: TagVersion,
  listener?: Listener<TagValuesAnswer>,
): Promise<TagValuesAnswer> {
  const { given: _, scope: __, ...asked } = tagParameters(call.url, call.limits, call.nowMs);
  const v1 = version === 'v1';
  const request = {
    tenant: call.tenant,
    ...asked,
    query: v1 ? undefined : asked.query,
    tag: v1 ? call.parameter : decodedAgain(call.parameter),
    v1,
    bytesMax: call.limits.tagBytesMax,
  };
  return call.queries.tagValues(request, call.signal, listener).catch(explained);
}

/** All values of v1, sorted. */
export function flatValues(answer: TagValuesAnswer): string[] {
  return sortedOnce(answer.values.map(({ value }) => value));
}

/** Some clients encode the name twice, since Tempo 2 decoded it twice. */
function decodedAgain(tag: string): string {
  if (!/%[0-9a-f]{2}/i.test(tag)) return tag;
  try {
    return decodeURIComponent(tag);
  } catch {
    return tag;
  }
}

const PREFIX = 'please provide a valid tagName: ';

function explained(error: unknown): never {
  const about = error instanceof VivaceError && error.code === 'invalid' ? error.message : '';
  if (about === '' || about.startsWith(PREFIX) || about.startsWith('maximum condition groups')) throw error;
  throw new VivaceError('invalid', `${PREFIX}${about}`, { cause: error });
}

function sortedOnce(list: string[]): string[] {
  return [...new Set(list)].sort();
}

function json(body: string): Answer {
  return { status: 200, type: JSON_TYPE, body };
}

function bytes(body: Uint8Array): Answer {
  return { status: 200, type: PROTOBUF, body };
}
