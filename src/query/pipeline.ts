/**
 * Runs the stages of a query on a unit: spanset expressions, scalar filters, by(), coalesce(), select() (spec/traceql.md §7,
 * §8). A trace that lies in several segments must have been made one unit before (units.ts), unless `isPerSpan` says that it
 * does not matter.
 */
import { VivaceError } from '../runtime/errors.ts';
import type { FieldExpr, IntrinsicName, SpansetBinary, SpansetExpr, Stage, StructuralOp } from '../traceql/ast.ts';
import { scalarFiltered } from './aggregate.ts';
import { type Bits, intersect, isEmpty, noBits, unite } from './bits.ts';
import { referencesOf } from './compute.ts';
import { filterRows } from './filter.ts';
import { grouped } from './group.ts';
import { layersOf, narrowed, type SetState, type Spansets, spansetsOf, tracesWith } from './spansets.ts';
import { relatedPositions } from './structural.ts';
import {
  allPositions,
  anyIn,
  fill,
  type Layout,
  layoutOf,
  positionsOfRows,
  rowsOfPositions,
  type Unit,
} from './unit.ts';

export interface PipelineContext {
  /** Throws when nobody waits for the answer any more. */
  stop: () => void;
  /** Told what part of the work begins now, for who wants to know where time goes. */
  begin?: (part: Stage | string) => void;
}

/** The spansets that the stages find in the unit. */
export async function runPipeline(unit: Unit, stages: readonly Stage[], context: PipelineContext): Promise<Spansets> {
  const { state, layout } = await evaluate(unit, stages, context);
  return spansetsOf(state, layout, unit);
}

/** The rows of all spansets that the stages find in the unit. */
export async function selectRows(unit: Unit, stages: readonly Stage[], context: PipelineContext): Promise<Bits> {
  const [first, ...rest] = stages;
  if (
    unit.excluded === undefined &&
    first.type === 'spanset' &&
    first.expression.type === 'filter' &&
    rest.every(({ type }) => type === 'select')
  ) {
    context.begin?.(first);
    return filterRows(unit.segment, first.expression.expression);
  }
  const { state, layout } = await evaluate(unit, stages, context);
  return rowsOfPositions(layout, state.bits, unit.segment.rows);
}

/** The same as sets of positions in the layout of the unit. */
export async function evaluate(
  unit: Unit,
  stages: readonly Stage[],
  context: PipelineContext,
): Promise<{ state: SetState; layout: Layout }> {
  const layout = await layoutOf(unit.segment);
  const run: Run = { unit, layout, stop: context.stop, ...(context.begin && { begin: context.begin }) };
  const all = { bits: allPositions(unit, layout), attributes: [], everything: true };
  return { state: await runStages(run, stages, all), layout };
}

/**
 * Whether the spans that the stages find are found each by itself, so that it does not matter where the rest of their traces
 * is.
 */
export function isPerSpan(stages: readonly Stage[]): boolean {
  return stages.every(
    (stage) => stage.type === 'select' || (stage.type === 'spanset' && isPerSpanExpression(stage.expression)),
  );
}

const OF_WHOLE_TRACES: ReadonlySet<IntrinsicName> = new Set<IntrinsicName>([
  'traceDuration',
  'rootName',
  'rootServiceName',
  'nestedSetLeft',
  'nestedSetRight',
  'nestedSetParent',
  'span:childCount',
]);

function isPerSpanExpression(expression: SpansetExpr): boolean {
  const waiting = [expression];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.type === 'spansetBinary') {
      if (next.op !== '||') return false;
      waiting.push(next.left, next.right);
    } else if (next.type === 'pipeline') {
      if (!isPerSpan(next.stages)) return false;
    } else if (readsWholeTraces(next.expression)) return false;
  }
  return true;
}

/** Whether a filter asks for something that only the whole trace can tell. */
export function readsWholeTraces(filter: FieldExpr): boolean {
  return referencesOf(filter).some(({ type, name }) => type === 'intrinsic' && OF_WHOLE_TRACES.has(name));
}

interface Run extends PipelineContext {
  unit: Unit;
  layout: Layout;
  parents?: Int32Array;
  /** While one expression is run on many parts of one state: what its filters found in the whole of it. */
  leaves?: { of: SetState; found: Map<FieldExpr, Bits> };
}

/** `everything` = no stage has been run, so filters are asked for all spans of the segment. */
type Input = SetState & { everything?: boolean };

async function runStages(run: Run, stages: readonly Stage[], input: Input): Promise<SetState> {
  let state = input;
  for (const stage of stages) {
    run.stop();
    if (isEmpty(state.bits) && !state.everything) return state;
    state = await runStage(run, stage, state);
  }
  return state;
}

async function runStage(run: Run, stage: Stage, state: Input): Promise<Input> {
  switch (stage.type) {
    case 'spanset':
      return spansets(run, stage.expression, state);
    case 'scalarFilter':
      return scalarFiltered(run.unit, run.layout, state, stage, run.stop);
    case 'by':
      return grouped(run.unit, run.layout, state, stage.expression, run.stop);
    case 'coalesce':
      return { bits: state.bits, attributes: [] };
    case 'select':
      return state;
  }
}

async function spansets(run: Run, expression: SpansetExpr, state: Input): Promise<Input> {
  switch (expression.type) {
    case 'filter':
      return narrowed(state, await matching(run, expression.expression, state));
    case 'pipeline':
      return runStages(run, expression.stages, state);
    case 'spansetBinary':
      return state.groups === undefined ? combined(run, expression, state) : combinedByLayer(run, expression, state);
  }
}

/** The positions where a filter holds; those outside the state may be among them. */
async function matching(run: Run, expression: FieldExpr, state: Input): Promise<Bits> {
  const known = run.leaves?.found.get(expression);
  if (known !== undefined) return known;
  const { segment } = run.unit;
  const { layout } = run;
  const of = run.leaves?.of ?? state;
  const within = state.everything ? undefined : rowsOfPositions(layout, of.bits, segment.rows);
  const found = positionsOfRows(layout, await filterRows(segment, expression, within));
  run.stop();
  run.leaves?.found.set(expression, found);
  if (state.everything) run.unit.record?.(expression, found, layout);
  return found;
}

/** A chain of operators, which grows along the left and may be long, on a state with one set a trace. */
async function combined(run: Run, expression: SpansetBinary, state: Input): Promise<SetState> {
  const chain: SpansetBinary[] = [];
  let first: SpansetExpr = expression;
  for (; first.type === 'spansetBinary'; first = first.left) chain.push(first);
  let left = await spansets(run, first, state);
  for (const { op, right: operand } of chain.reverse()) {
    run.stop();
    const isDecided = isEmpty(left.bits) && op !== '||' && !op.startsWith('!');
    if (isDecided && run.unit.record === undefined) continue;
    const right = await spansets(run, operand, state);
    left = { bits: await applied(run, op, left, right), attributes: state.attributes };
  }
  return left;
}

async function applied(run: Run, op: SpansetBinary['op'], left: SetState, right: SetState): Promise<Bits> {
  const { layout } = run;
  if (op === '||') return unite(left.bits.slice(), right.bits);
  if (op === '&&') {
    const both = noBits(layout.positions);
    for (const trace of tracesWith(left.bits, layout)) {
      const [from, to] = [layout.starts[trace], layout.starts[trace + 1]];
      if (anyIn(right.bits, from, to)) fill(both, from, to);
    }
    return intersect(unite(left.bits.slice(), right.bits), both);
  }
  refuseSeveralSets(left);
  refuseSeveralSets(right);
  run.parents ??= (await run.unit.segment.tree()).parents;
  run.stop();
  return relatedPositions(op as StructuralOp, left.bits, right.bits, layout, run.parents);
}

function refuseSeveralSets({ groups }: SetState): void {
  if (groups === undefined) return;
  const setOfTrace = new Map<number, number>();
  for (const set of groups.setOf) {
    const trace = groups.traceOf[set];
    if ((setOfTrace.get(trace) ?? set) !== set)
      throw new VivaceError(
        'unsupported',
        'spanset operators are not supported for multiple spansets per trace. consider using coalesce()',
      );
    setOfTrace.set(trace, set);
  }
}

/** An operator looks at one set at a time: at the first ones of all traces, at the second ones, and so on. */
async function combinedByLayer(run: Run, expression: SpansetBinary, state: SetState): Promise<SetState> {
  const within: Run = { ...run, leaves: { of: state, found: new Map() } };
  const found = noBits(run.layout.positions);
  for (const layer of layersOf(state)) {
    run.stop();
    unite(found, (await combined(within, expression, layer)).bits);
  }
  return narrowed(state, found);
}
