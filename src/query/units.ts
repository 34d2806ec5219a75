/**
 * Divides segments into units so that each trace is looked at as a whole, by exactly one of them:
 *
 *   live      ▒▒▒▒▒▒▒▒▒░░      ░ traces that lie in several segments are left out there …
 *   block 1   ▒▒▒▒░▒▒▒▒▒▒
 *   block 2   ▒▒▒▒▒▒▒▒░▒▒
 *   joined    ░░░              … and put together here, each span once
 *
 * Joining costs a pass over the spans of those traces, so it is done last, and only for traces that can match: where the first
 * filters of the query had hits is recorded while the other units are run.
 */
import type { Segment } from '../block/segment.ts';
import type { FieldExpr, SpansetExpr, Stage } from '../traceql/ast.ts';
import { isPerSpan, readsWholeTraces } from './pipeline.ts';
import type { RepeatedSpanCache } from './repeated-spans.ts';
import type { SplitPlaces, SplitTraceCache } from './split-traces.ts';
import { collectTraces } from './trace.ts';
import { anyIn, type Layout, layoutOf, numberOfTrace, type Unit } from './unit.ts';

export interface Joining {
  /** Makes a segment of OTLP TracesData. */
  segmentOf(tracesData: Uint8Array): Segment;
  splits: SplitTraceCache;
  /** Spans that segments have in common, for queries that look at each span by itself. */
  repeats: RepeatedSpanCache;
}

/** Spans that are joined at a time, some 500 bytes each; traces that have more are joined one by one. */
const JOIN_SPANS_MAX = 50_000;
/** Filters whose hits are recorded; with more of them every split trace is joined. */
const RECORDED_FILTERS_MAX = 64;

/**
 * The units for a query's stages, in the order of the segments, which come newest first. Each must have been run before the
 * next one is asked for.
 */
export async function* unitsOf(
  segments: readonly Segment[],
  stages: readonly Stage[],
  joining: Joining,
  stop: () => void,
): AsyncGenerator<Unit> {
  const { ids, places } = isPerSpan(stages) ? { ids: [], places: [] } : await joining.splits.find(segments, stop);
  if (ids.length === 0) {
    for (const segment of segments) yield { segment };
    return;
  }
  const hits = new SplitHits(stages, ids.length);
  const spans = new Uint32Array(ids.length);
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i];
    const { numbers, splits } = places[i];
    if (numbers.length === 0) {
      yield { segment };
      continue;
    }
    const layout = await layoutOf(segment);
    const excluded = new Uint8Array((await segment.lines()).ids.length / 16);
    for (const number of numbers) excluded[number] = 1;
    const traces = tracesOf(layout, places[i], excluded.length);
    for (let k = 0; k < traces.length; k++) spans[splits[k]] += layout.starts[traces[k] + 1] - layout.starts[traces[k]];
    yield { segment, excluded, record: hits.recorder(traces, splits) };
  }
  let batch: Uint8Array[] = [];
  let batchSpans = 0;
  for (const index of hits.candidates()) {
    if (batch.length > 0 && batchSpans + spans[index] > JOIN_SPANS_MAX) {
      yield { segment: joining.segmentOf(await collectTraces(segments, batch, stop)) };
      batch = [];
      batchSpans = 0;
    }
    batch.push(ids[index]);
    batchSpans += spans[index];
  }
  if (batch.length > 0) yield { segment: joining.segmentOf(await collectTraces(segments, batch, stop)) };
}

/** Split traces of a segment as traces of its layout. */
function tracesOf(layout: Layout, { numbers }: SplitPlaces, count: number): number[] {
  if (layout.traces === undefined) return numbers;
  const traceOfNumber = new Uint32Array(count);
  for (let trace = 0; trace < layout.traces.length; trace++) traceOfNumber[numberOfTrace(layout, trace)] = trace;
  return numbers.map((number) => traceOfNumber[number]);
}

/** Which split traces the filters of the first stage have hits in. */
class SplitHits {
  readonly #stages: readonly Stage[];
  readonly #count: number;
  readonly #hits = new Map<FieldExpr, Uint8Array>();

  constructor(stages: readonly Stage[], count: number) {
    this.#stages = stages;
    this.#count = count;
  }

  recorder(traces: number[], splits: number[]): NonNullable<Unit['record']> {
    return (filter, positions, { starts }) => {
      let hits = this.#hits.get(filter);
      if (hits === undefined) {
        if (this.#hits.size >= RECORDED_FILTERS_MAX) return;
        hits = new Uint8Array(this.#count);
        this.#hits.set(filter, hits);
      }
      for (let k = 0; k < traces.length; k++)
        if (anyIn(positions, starts[traces[k]], starts[traces[k] + 1])) hits[splits[k]] = 1;
    };
  }

  /** The split traces that may be in the answer. */
  candidates(): number[] {
    const wanted = this.#ofStages(this.#stages);
    return Array.from(wanted.keys()).filter((index) => wanted[index] === 1);
  }

  #ofStages([first]: readonly Stage[]): Uint8Array {
    return first.type === 'spanset' ? this.#of(first.expression) : this.#all();
  }

  /** What must hold for an operation to find something: operands grow along the left. */
  #of(expression: SpansetExpr): Uint8Array {
    const chain: Extract<SpansetExpr, { type: 'spansetBinary' }>[] = [];
    let first = expression;
    for (; first.type === 'spansetBinary'; first = first.left) chain.push(first);
    let wanted = first.type === 'pipeline' ? this.#ofStages(first.stages) : this.#ofFilter(first.expression);
    for (const { op, right } of chain.reverse()) {
      const other = this.#of(right);
      wanted = wanted.map((each, index) =>
        op === '||' ? each | other[index] : op.startsWith('!') ? other[index] : each & other[index],
      );
    }
    return wanted;
  }

  #ofFilter(filter: FieldExpr): Uint8Array {
    if (readsWholeTraces(filter)) return this.#all();
    const hits = this.#hits.get(filter);
    if (hits === undefined && this.#hits.size >= RECORDED_FILTERS_MAX) return this.#all();
    return hits ?? new Uint8Array(this.#count);
  }

  #all(): Uint8Array {
    return new Uint8Array(this.#count).fill(1);
  }
}
