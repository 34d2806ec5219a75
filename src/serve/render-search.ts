/** A search answer as the bytes that a client gets; also run by reader threads. */
import type { SearchAnswer, SearchForm } from './queries.ts';
import { searchJson } from './search-json.ts';
import { searchProtobuf } from './search-protobuf.ts';

export function renderSearch(answer: SearchAnswer, form: SearchForm): Uint8Array {
  if (form.type === 'protobuf') return searchProtobuf(answer, form.leftPadTraceIds);
  return searchJson(answer, form.leftPadTraceIds);
}
