/**
 * Traces as an evaluator wants them that is in no hurry: an object a span, with its place in the tree. Built from the same
 * specifications that requests are made of, never from what the engine stored.
 */
import { BASE_SECONDS, type SpanSpec } from '../../src/query/segments.fixture.ts';

export interface ModelTrace {
  trace: number;
  spans: ModelSpan[];
  startNs: bigint;
  endNs: bigint;
  /** Of several roots the one that started last. */
  root?: ModelSpan;
}

export interface ModelSpan {
  spec: SpanSpec;
  trace: ModelTrace;
  startNs: bigint;
  durationNs: bigint;
  parent?: ModelSpan;
  children: ModelSpan[];
  isRoot: boolean;
  /** There is a path to a root; spans without one have no place in the tree. */
  connected: boolean;
  /** It is in a ring of parents, or hangs on one. */
  circular: boolean;
}

/** The spans of all requests as traces. A span that came before (same ids, kind and start) is not taken again. */
export function modelOf(requests: readonly (readonly SpanSpec[])[]): ModelTrace[] {
  const traces = new Map<number, ModelTrace>();
  const seen = new Set<string>();
  for (const spec of requests.flat()) {
    const startNs = nanoAt(spec.at ?? 0);
    const identity = `${spec.trace} ${spec.span} ${spec.kind ?? 1} ${startNs}`;
    if (seen.has(identity)) continue;
    seen.add(identity);
    const trace = traces.get(spec.trace) ?? { trace: spec.trace, spans: [], startNs, endNs: startNs };
    traces.set(spec.trace, trace);
    const endNs = nanoAt((spec.at ?? 0) + (spec.ms ?? 1));
    trace.spans.push({
      spec,
      trace,
      startNs,
      durationNs: endNs - startNs,
      children: [],
      isRoot: spec.parent === undefined,
      connected: false,
      circular: false,
    });
    if (startNs < trace.startNs) trace.startNs = startNs;
    if (endNs > trace.endNs) trace.endNs = endNs;
  }
  for (const trace of traces.values()) plant(trace);
  return [...traces.values()];
}

export function nanoAt(ms: number): bigint {
  return BigInt(BASE_SECONDS) * 1_000_000_000n + BigInt(Math.round(ms * 1e6));
}

/** Finds everybody's parent, and who hangs on a root. */
function plant(trace: ModelTrace): void {
  for (const span of trace.spans) {
    span.parent = trace.spans.find((other) => !span.isRoot && other.spec.span === span.spec.parent);
    span.parent?.children.push(span);
  }
  const reach = (span: ModelSpan): void => {
    span.connected = true;
    span.children.forEach(reach);
  };
  for (const span of trace.spans) {
    const above = new Set<ModelSpan>();
    let up = span.parent;
    for (; up !== undefined && !above.has(up); up = up.parent) above.add(up);
    span.circular = up !== undefined;
  }
  const roots = trace.spans.filter(({ isRoot }) => isRoot);
  roots.forEach(reach);
  trace.root = roots.reduce<ModelSpan | undefined>(
    (last, span) => (last && last.startNs > span.startNs ? last : span),
    undefined,
  );
}
