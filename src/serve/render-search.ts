/** A search answer as the bytes that a client gets; also run by reader threads. */
import type { SearchAnswer, SearchForm } from './queries.ts';
import { searchJson } from './search-json.ts';
import { searchProtobuf } from './search-protobuf.ts';

/** `stop` throws when nobody waits any more: an answer may have tens of thousands of traces. */
export function renderSearch(answer: SearchAnswer, form: SearchForm, stop?: () => void): Uint8Array {
  if (form.type === 'protobuf') return searchProtobuf(answer, form.leftPadTraceIds, stop);
  return searchJson(answer, form.leftPadTraceIds, stop);
}
