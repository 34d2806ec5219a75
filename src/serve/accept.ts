/** Which form of an answer a client wants. */
export type Form = 'protobuf' | 'json' | 'simplified';

/** Looks for the names anywhere in the header, in this order; without any of them it is JSON (api.md §1.5). */
export function accepted(header: string): Form {
  if (header.includes('application/protobuf')) return 'protobuf';
  if (header.includes('application/json')) return 'json';
  return header.includes('application/vnd.grafana.llm') ? 'simplified' : 'json';
}
