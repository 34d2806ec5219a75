/**
 * Search as the specification of TraceQL tells it (§7, §8): spansets of plain span objects, one trace at a time, one stage
 * after the other. Slow and obvious; it shares the parser with the engine and nothing else.
 */
import type {
  Aggregate,
  FieldExpr,
  Query,
  SpansetExpr,
  Stage,
  StaticValue,
  StructuralOp,
} from '../../src/traceql/ast.ts';
import { formatDuration } from '../../src/traceql/duration.ts';
import { printField, printScalar } from '../../src/traceql/print.ts';
import { compare, evaluate, isNumber, matches, type NumberValue, numberOf } from './field.ts';
import type { ModelSpan, ModelTrace } from './model.ts';
import { isRepeated, type Reading, text, Unspecified } from './reading.ts';

/** Some spans of one trace; never none. */
export interface Spanset {
  spans: ModelSpan[];
  /** by() and aggregates, in the order of their stages; an array is a list. */
  attributes: Map<string, StaticValue | StaticValue[]>;
}

/** The spansets that a query's pipeline leaves of each trace; traces without any are left out. */
export function search(query: Query, traces: readonly ModelTrace[]): Map<ModelTrace, Spanset[]> {
  const found = new Map<ModelTrace, Spanset[]>();
  for (const trace of traces) {
    const sets = pipeline(query.pipeline, [{ spans: trace.spans, attributes: new Map() }]);
    if (sets.length > 0) found.set(trace, sets);
  }
  return found;
}

function pipeline(stages: Stage[], sets: Spanset[]): Spanset[] {
  return stages.reduce((left, stage) => run(stage, left).filter(({ spans }) => spans.length > 0), sets);
}

function run(stage: Stage, sets: Spanset[]): Spanset[] {
  switch (stage.type) {
    case 'spanset':
      return sets.flatMap((set) => spanset(stage.expression, set));
    case 'by':
      return sets.flatMap((set) => groups(stage.expression, set));
    case 'coalesce':
      return sets.length === 0 ? [] : [{ spans: union(sets), attributes: new Map() }];
    case 'select':
      return sets;
    case 'scalarFilter': {
      if (stage.left.type !== 'aggregate' || stage.right.type !== 'static') throw new Unspecified('refused by check');
      const { left, right, op } = stage;
      return sets.flatMap((set) => {
        const value = aggregate(left, set);
        if (value === undefined || !compare(op, value, right.value)) return [];
        return [{ ...set, attributes: named(set, printScalar(left), value) }];
      });
    }
  }
}

function named(set: Spanset, label: string, value: StaticValue | StaticValue[]): Spanset['attributes'] {
  if (set.attributes.has(label)) throw new Unspecified('an attribute that is there twice');
  return new Map(set.attributes).set(label, value);
}

// ---- spansets ------------------------------------------------------------------------------------------------------

function spanset(expression: SpansetExpr, set: Spanset): Spanset[] {
  switch (expression.type) {
    case 'filter':
      return [{ ...set, spans: set.spans.filter((span) => matches(expression.expression, span)) }];
    case 'pipeline':
      return pipeline(expression.stages, [set]);
    case 'spansetBinary': {
      const { op } = expression;
      const left = one(spanset(expression.left, set));
      const right = one(spanset(expression.right, set));
      const attributes = isPlain(expression) ? set.attributes : new Map();
      if (op === '||') return [{ spans: [...new Set([...left, ...right])], attributes }];
      if (op !== '&&') return [{ spans: structural(op, left, right), attributes }];
      return left.length > 0 && right.length > 0 ? [{ spans: [...new Set([...left, ...right])], attributes }] : [];
    }
  }
}

function one(sets: Spanset[]): ModelSpan[] {
  const full = sets.filter(({ spans }) => spans.length > 0);
  if (full.length > 1) throw new Unspecified('an operator between several spansets');
  return full[0]?.spans ?? [];
}

function isPlain(expression: SpansetExpr): boolean {
  if (expression.type !== 'spansetBinary') return expression.type === 'filter';
  return isPlain(expression.left) && isPlain(expression.right);
}

function structural(op: StructuralOp, left: ModelSpan[], right: ModelSpan[]): ModelSpan[] {
  const relation = op.replace(/^[!&]/, '') as keyof typeof RELATIONS;
  const related = (l: ModelSpan, r: ModelSpan): boolean => l.connected && r.connected && RELATIONS[relation](l, r);
  const matching = right.filter((r) => left.some((l) => related(l, r)));
  if (op.startsWith('!')) return right.filter((r) => r.connected && !matching.includes(r));
  if (!op.startsWith('&')) return matching;
  return [...new Set([...matching, ...left.filter((l) => right.some((r) => related(l, r)))])];
}

const RELATIONS = {
  '>': (l: ModelSpan, r: ModelSpan) => r.parent === l,
  '>>': (l: ModelSpan, r: ModelSpan) => ancestors(r).includes(l),
  '<': (l: ModelSpan, r: ModelSpan) => l.parent === r,
  '<<': (l: ModelSpan, r: ModelSpan) => ancestors(l).includes(r),
  // Roots are siblings of one another.
  '~': (l: ModelSpan, r: ModelSpan) => l !== r && l.parent === r.parent,
};

function ancestors({ parent }: ModelSpan): ModelSpan[] {
  return parent === undefined ? [] : [parent, ...ancestors(parent)];
}

function union(sets: Spanset[]): ModelSpan[] {
  return [...new Set(sets.flatMap(({ spans }) => spans))];
}

// ---- by, aggregates ------------------------------------------------------------------------------------------------

function groups(expression: FieldExpr, set: Spanset): Spanset[] {
  const label = `by(${printField(expression)})`;
  const found = new Map<string, Spanset>();
  for (const span of set.spans) {
    const value = groupOf(expression, span);
    const key = show(value);
    const group = found.get(key) ?? { spans: [], attributes: named(set, label, value) };
    found.set(key, group);
    group.spans.push(span);
  }
  return [...found.values()];
}

/** A span goes by its first event, and one without any by the empty name. */
function groupOf(expression: FieldExpr, span: ModelSpan): StaticValue | StaticValue[] {
  const { scalars, array }: Reading = evaluate(expression, span);
  if (array && scalars.length > 1) return scalars;
  if (scalars.length === 0 && expression.type === 'intrinsic') {
    if (expression.name !== 'event:name') throw new Unspecified('the group of what is not there');
    return text('');
  }
  return scalars[0] ?? { type: 'nil' };
}

/** undefined when no span has a value. */
function aggregate({ name, argument }: Aggregate, { spans }: Spanset): StaticValue | undefined {
  if (name === 'count') return { type: 'int', value: BigInt(spans.length) };
  const values: NumberValue[] = [];
  for (const span of spans) {
    const { scalars } = evaluate(argument!, span);
    if (scalars.length === 0 && argument!.type !== 'attribute') throw new Unspecified('an expression without a value');
    if (scalars.length === 1 && isNumber(scalars[0])) values.push(scalars[0]);
    else if (scalars.length > 1 && isRepeated(argument!)) throw new Unspecified('an aggregate over several events');
  }
  if (values.length === 0) return undefined;
  if (name === 'sum') return sum(values);
  if (name === 'avg') return average(values);
  const better = (a: NumberValue, b: NumberValue): boolean => compare(name === 'min' ? '<' : '>', a, b);
  if (values.some((value) => Number.isNaN(numberOf(value)))) throw new Unspecified('the order of NaN');
  const best = values.reduce((best, value) => (better(value, best) ? value : best));
  if (values.some((value) => value.type !== best.type && numberOf(value) === numberOf(best)))
    throw new Unspecified('the type of the extreme');
  return best;
}

function sum(values: NumberValue[]): NumberValue {
  const types = new Set(values.map(({ type }) => type));
  if (types.size > 1) return { type: 'float', value: values.reduce((total, value) => total + numberOf(value), 0) };
  if (types.has('int'))
    return {
      type: 'int',
      value: BigInt.asIntN(
        64,
        values.reduce((total, v) => total + (v as { value: bigint }).value, 0n),
      ),
    };
  if (types.has('duration'))
    return { type: 'duration', ns: values.reduce((total, value) => total + (value as { ns: bigint }).ns, 0n) };
  return { type: 'float', value: values.reduce((total, value) => total + numberOf(value), 0) };
}

function average(values: NumberValue[]): NumberValue {
  const total = sum(values);
  if (total.type === 'duration') return { type: 'duration', ns: total.ns / BigInt(values.length) };
  return { type: 'float', value: values.reduce((sum, value) => sum + numberOf(value), 0) / values.length };
}

/** A value as answers show it, with its type, so that 1 and "1" differ; floats to twelve digits. */
export function show(value: StaticValue | StaticValue[]): string {
  if (Array.isArray(value)) return `[${value.map(show).join(' ')}]`;
  switch (value.type) {
    case 'int':
      return `int ${value.value}`;
    case 'float':
      return `double ${Number(value.value.toPrecision(12))}`;
    case 'bool':
      return `bool ${value.value}`;
    case 'duration':
      return `string ${formatDuration(value.ns)}`;
    case 'nil':
      return 'string nil';
    default:
      return `string ${value.value}`;
  }
}
