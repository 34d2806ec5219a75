/**
 * Puts the messages of a stream together into one answer. A message has what is new or has changed since the one before, the
 * last ones have everything, and any may be divided; so what has the same key replaces what came before.
 */
import type { ApiValue } from './api-value.ts';
import type { Route } from './source.ts';

/** A message in the JSON of the API: the members that matter here. */
export interface StreamMessage {
  traces?: { traceID: string; startTimeUnixNano?: string }[];
  scopes?: { name: string; tags?: string[] }[];
  tagValues?: { type: string; value?: string }[];
  series?: { labels?: { key: string; value?: ApiValue }[]; samples?: Sample[]; exemplars?: object[]; value?: number }[];
  metrics?: { completedJobs?: number; totalJobs?: number };
  status?: string;
  message?: string;
}

interface Sample {
  timestampMs: string;
  value?: number | string;
}

export interface StreamMerge {
  add(message: StreamMessage): void;
  /** The whole answer, in the form of the route over HTTP. */
  finish(): StreamMessage;
}

export function streamMerge(route: Route): StreamMerge {
  const traces = new Map<string, NonNullable<StreamMessage['traces']>[number]>();
  const scopes = new Map<string, Set<string>>();
  const values = new Map<string, NonNullable<StreamMessage['tagValues']>[number]>();
  const series = new Map<string, NonNullable<StreamMessage['series']>[number]>();
  let last: Pick<StreamMessage, 'metrics' | 'status' | 'message'> = {};
  return {
    add(message) {
      for (const trace of message.traces ?? []) traces.set(trace.traceID, trace);
      for (const { name, tags = [] } of message.scopes ?? []) {
        const known = scopes.get(name) ?? new Set();
        for (const tag of tags) known.add(tag);
        scopes.set(name, known);
      }
      for (const value of message.tagValues ?? []) values.set(`${value.type} ${value.value ?? ''}`, value);
      for (const one of message.series ?? []) {
        const key = JSON.stringify(one.labels ?? []);
        const known = series.get(key);
        const samples = joined(known?.samples, one.samples);
        series.set(key, { ...one, ...(samples && { samples }) });
      }
      const { metrics, status, message: text } = message;
      last = { ...last, ...(metrics && { metrics }), ...(status && { status }), ...(text && { message: text }) };
    },
    finish() {
      switch (route) {
        case 'search':
          return { traces: [...traces.values()].sort(newestFirst), ...last };
        case 'tags':
          return { scopes: Array.from(scopes, ([name, tags]) => ({ name, tags: [...tags].sort() })), ...last };
        case 'tag-values':
          return { tagValues: [...values.values()], ...last };
        default:
          return { series: [...series.values()], ...last };
      }
    },
  };
}

function joined(known: Sample[] | undefined, more: Sample[] | undefined): Sample[] | undefined {
  if (known === undefined || more === undefined) return more ?? known;
  const byTime = new Map([...known, ...more].map((sample) => [sample.timestampMs, sample]));
  return [...byTime.values()].sort((a, b) => Number(a.timestampMs) - Number(b.timestampMs));
}

function newestFirst(a: { startTimeUnixNano?: string }, b: { startTimeUnixNano?: string }): number {
  const difference = BigInt(b.startTimeUnixNano ?? 0) - BigInt(a.startTimeUnixNano ?? 0);
  return difference > 0n ? 1 : difference < 0n ? -1 : 0;
}
