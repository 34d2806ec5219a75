/**
 * Evaluates a spanset filter on a segment: each comparison of an attribute with a literal becomes a set of rows, found column
 * by column; `&&`, `||` and `!` combine sets; everything else (arithmetic, one attribute against another) is computed row by
 * row for the rows that are still wanted. nil counts as false (spec/traceql.md §6.3).
 */
import { bytesField, decodeAnyValue, stringField } from '../block/any-value.ts';
import type { Segment, Space } from '../block/segment.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { ComparisonOp, FieldExpr, Reference, RegexOp, StaticValue } from '../traceql/ast.ts';
import { asCondition } from '../traceql/conditions.ts';
import { printReference } from '../traceql/print.ts';
import { applyBinary, applyUnary } from '../traceql/values.ts';
import { allBits, type Bits, intersect, isEmpty, noBits, rowsOf, subtract, unite } from './bits.ts';
import { attributeNamed, gather, KINDS, messageAttributes, type Read, STATUSES, traceIntrinsic } from './gather.ts';
import { matchCodes, matchColumn, matchFixed, matchInts, matchPresent, matchStrings } from './match.ts';
import { moreColumn, moreValue } from './more.ts';
import { attributeTest, numberTest, stringTest, testAny, testInt, type ValueTest } from './test-value.ts';
import { treeNumbers } from './tree.ts';

/** The rows of the segment for which the expression is true. `within` bounds what has to be looked at. */
export async function filterRows(segment: Segment, expression: FieldExpr, within?: Bits): Promise<Bits> {
  if (expression.type === 'static')
    return expression.value.type === 'bool' && expression.value.value
      ? (within?.slice() ?? allBits(segment.rows))
      : noBits(segment.rows);
  const condition = asCondition(expression);
  if (condition !== undefined)
    return bounded(await conditionRows(segment, condition.reference, condition.op, condition.value), within);
  if (expression.type === 'binary' && (expression.op === '&&' || expression.op === '||'))
    return logicalRows(segment, expression, within);
  if (expression.type === 'unary' && expression.op === '!' && isPredicate(expression.operand))
    return subtract(within?.slice() ?? allBits(segment.rows), await filterRows(segment, expression.operand, within));
  if (expression.type === 'attribute')
    return bounded(await conditionRows(segment, expression, '=', { type: 'bool', value: true }), within);
  if (expression.type === 'unary' && expression.op === '!' && expression.operand.type === 'attribute')
    return bounded(await conditionRows(segment, expression.operand, '=', { type: 'bool', value: false }), within);
  if (
    expression.type === 'exists' &&
    (expression.operand.type === 'attribute' || expression.operand.type === 'intrinsic')
  ) {
    const present = await presentRows(segment, expression.operand);
    return expression.negated ? subtract(within?.slice() ?? allBits(segment.rows), present) : bounded(present, within);
  }
  return computedRows(segment, expression, within ?? allBits(segment.rows));
}

/** `&&` and `||` grow along the left; a chain of the same operator is walked with a loop. */
async function logicalRows(segment: Segment, expression: FieldExpr, within: Bits | undefined): Promise<Bits> {
  const operands: { op: '&&' | '||'; operand: FieldExpr }[] = [];
  let first = expression;
  while (first.type === 'binary' && (first.op === '&&' || first.op === '||')) {
    operands.push({ op: first.op, operand: first.right });
    first = first.left;
  }
  // Rows that a later && excludes need not be looked at, but only when nothing is added in between.
  let rows = await filterRows(segment, first, within);
  for (const { op, operand } of operands.reverse()) {
    if (op === '&&') {
      if (!isEmpty(rows)) rows = intersect(rows, await filterRows(segment, operand, rows));
    } else rows = unite(rows, await filterRows(segment, operand, within));
  }
  return operands.every(({ op }) => op === '&&')
    ? withoutListed(segment, [first, ...operands.map(({ operand }) => operand)], rows)
    : rows;
}

/**
 * `a != x && a != y` asks all elements of an array, as NOT IN (x, y) would, where `a != x` asks for one: rows that hold x or
 * y are taken out again. Values that are no arrays have none of that.
 */
async function withoutListed(segment: Segment, operands: FieldExpr[], rows: Bits): Promise<Bits> {
  const lists = new Map<string, NonNullable<ReturnType<typeof asCondition>>[]>();
  for (const operand of operands) {
    const condition = asCondition(operand);
    if (condition === undefined || (condition.op !== '!=' && condition.op !== '!~')) continue;
    if (isOfChildren(condition.reference) || condition.reference.type !== 'attribute') continue;
    const key = `${condition.op} ${condition.value.type} ${printReference(condition.reference)}`;
    lists.set(key, [...(lists.get(key) ?? []), condition]);
  }
  for (const list of lists.values()) {
    if (list.length < 2) continue;
    for (const { reference, op, value } of list) {
      if (isEmpty(rows)) return rows;
      rows = subtract(rows, await conditionRows(segment, reference, op === '!=' ? '=' : '=~', value));
    }
  }
  return rows;
}

/** Expressions that are boolean whatever the span: their negation is a complement. */
function isPredicate(expression: FieldExpr): boolean {
  if (expression.type === 'exists') return true;
  if (expression.type === 'unary') return expression.op === '!' && isPredicate(expression.operand);
  return expression.type === 'binary' && !['+', '-', '*', '/', '%', '^'].includes(expression.op);
}

function bounded(rows: Bits, within: Bits | undefined): Bits {
  return within === undefined ? rows : intersect(rows, within);
}

/** The rows where `reference op value` holds. */
export async function conditionRows(
  segment: Segment,
  reference: Reference,
  op: ComparisonOp | RegexOp,
  value: StaticValue,
): Promise<Bits> {
  const rows = noBits(segment.rows);
  if (reference.type === 'intrinsic') {
    await intrinsicRows(segment, reference.name, op, value, rows);
    return rows;
  }
  if (reference.parent) return rows;
  const test = attributeTest(op, value);
  switch (reference.scope) {
    case 'span':
      await attributeRows(segment, 'span', reference.name, test, rows);
      break;
    case 'resource':
      await messageRows(segment, 'resource', reference.name, test, rows);
      break;
    case 'instrumentation':
      await messageRows(segment, 'scope', reference.name, test, rows);
      break;
    case 'event':
    case 'link': {
      const { scope, name } = reference;
      await childRows(segment, scope, rows, (children) => attributeRows(segment, scope, name, test, children));
      break;
    }
    case 'none': {
      // A span's own key hides the resource's, whatever its value.
      await messageRows(segment, 'resource', reference.name, test, rows);
      const own = noBits(segment.rows);
      await columnRows(segment, 'span', reference.name, own);
      await moreRows(segment, 'span', reference.name, () => true, own);
      subtract(rows, own);
      await attributeRows(segment, 'span', reference.name, test, rows);
    }
  }
  return rows;
}

/** The rows of a space (spans, events or links) where an attribute satisfies the test. */
export async function attributeRows(
  segment: Segment,
  space: Space,
  key: string,
  test: ValueTest,
  rows: Bits,
): Promise<void> {
  for (const type of segment.typesOf(space, key)) {
    if (!mayMatch(type, test)) continue;
    const column = await segment.column({ of: 'attribute', space, key, type });
    if (column !== undefined) matchColumn(column, test, rows);
  }
  await moreRows(segment, space, key, (value) => testAny(test, decodeAnyValue(value)), rows);
}

/** The rows where a column of the key has a value. */
async function columnRows(segment: Segment, space: Space, key: string, rows: Bits): Promise<void> {
  for (const type of segment.typesOf(space, key)) {
    const column = await segment.column({ of: 'attribute', space, key, type });
    if (column !== undefined) matchPresent(column, rows);
  }
}

/** The rows whose value without a column satisfies the test; where a column of the key has a value, that one counts. */
async function moreRows(
  segment: Segment,
  space: Space,
  key: string,
  test: (value: Uint8Array) => boolean,
  rows: Bits,
): Promise<void> {
  const column = await moreColumn(segment, space);
  if (column === undefined) return;
  const wanted = Buffer.from(key);
  const found = new Uint32Array(rows.length);
  matchStrings(
    column,
    (bytes, from, to) => {
      const value = moreValue(bytes.subarray(from, to), wanted);
      return value !== undefined && test(value);
    },
    found,
  );
  if (isEmpty(found)) return;
  const hidden = new Uint32Array(rows.length);
  await columnRows(segment, space, key, hidden);
  unite(rows, subtract(found, hidden));
}

function mayMatch(type: string, test: ValueTest): boolean {
  if (type === 'string') return test.string !== undefined;
  if (type === 'int') return test.int !== undefined;
  if (type === 'double') return test.double !== undefined;
  if (type === 'bool') return test.bool !== undefined;
  return true;
}

export async function messageRows(
  segment: Segment,
  of: 'resource' | 'scope',
  key: string,
  test: ValueTest,
  rows: Bits,
): Promise<void> {
  await flaggedRows(
    segment,
    of,
    (await messageAttributes(segment, of)).map((attributes) => {
      const found = attributeNamed(attributes, of, key);
      return found !== undefined && testAny(test, found.value);
    }),
    rows,
  );
}

/** The rows whose resource or scope is flagged; the column is not read when none is. */
async function flaggedRows(segment: Segment, of: 'resource' | 'scope', wanted: boolean[], rows: Bits): Promise<void> {
  if (!wanted.includes(true)) return;
  const column = await segment.column({ of });
  if (column !== undefined) matchCodes(column, Uint8Array.from(wanted, Number), rows);
}

/** The rows that have a child (event or link) in the set that `find` fills. */
async function childRows(
  segment: Segment,
  space: 'event' | 'link',
  rows: Bits,
  find: (children: Bits) => Promise<void>,
): Promise<void> {
  const children = await segment.childRows(space);
  if (children === undefined) return;
  const found = noBits(children.rows.length);
  await find(found);
  for (const child of rowsOf(found)) rows[children.rows[child] >>> 5] |= 1 << (children.rows[child] & 31);
}

async function intrinsicRows(
  segment: Segment,
  name: Extract<Reference, { type: 'intrinsic' }>['name'],
  op: ComparisonOp | RegexOp,
  value: StaticValue,
  rows: Bits,
): Promise<void> {
  switch (name) {
    case 'name': {
      if (value.type !== 'string') return;
      const column = await segment.column({ of: 'fixed', field: 'name' });
      matchStrings(column!, stringTest(op, value.value), rows);
      return;
    }
    case 'duration': {
      const test = numberTest(op, value);
      const column = await segment.column({ of: 'fixed', field: 'duration' });
      matchColumn(column!, test, rows);
      return;
    }
    case 'kind': {
      if (value.type !== 'kind') return;
      const wanted = KINDS.indexOf(value.value);
      const column = await segment.column({ of: 'fixed', field: 'kind' });
      matchInts(column!, (kind) => (Math.max(0, kind < KINDS.length ? kind : 0) === wanted) === (op === '='), rows);
      return;
    }
    case 'status': {
      if (value.type !== 'status') return;
      const wanted = STATUSES.indexOf(value.value);
      const column = await segment.column({ of: 'fixed', field: 'status' });
      matchInts(
        column!,
        (status) => (Math.max(0, status < STATUSES.length ? status : 0) === wanted) === (op === '='),
        rows,
      );
      return;
    }
    case 'statusMessage': {
      if (value.type !== 'string') return;
      const test = stringTest(op, value.value);
      const column = await segment.column({ of: 'rare', field: 'status_message' });
      // Spans without a message have the empty one.
      if (test(new Uint8Array(0), 0, 0)) {
        unite(rows, allBits(segment.rows));
        if (column !== undefined) {
          const present = noBits(segment.rows);
          matchPresent(column, present);
          subtract(rows, present);
        }
      }
      if (column !== undefined) matchStrings(column, test, rows);
      return;
    }
    case 'span:id':
    case 'span:parentID': {
      if (value.type !== 'string') return;
      const test = hexTest(op, value.value, 16);
      const column = await segment.column({ of: 'fixed', field: name === 'span:id' ? 'span_id' : 'parent_span_id' });
      if (name === 'span:parentID' && test(new Uint8Array(8), 0)) {
        unite(rows, allBits(segment.rows));
        if (column !== undefined) {
          const present = noBits(segment.rows);
          matchPresent(column, present);
          subtract(rows, present);
        }
      }
      if (column !== undefined) matchFixed(column, 8, test, rows);
      return;
    }
    case 'trace:id':
    case 'traceDuration':
    case 'rootName':
    case 'rootServiceName':
      return traceRows(segment, name, op, value, rows);
    case 'instrumentation:name':
    case 'instrumentation:version': {
      if (value.type !== 'string') return;
      const test = stringTest(op, value.value);
      const field = name === 'instrumentation:name' ? 1 : 2;
      const wanted = (await segment.scopes()).map((scope) => {
        const text = Buffer.from(stringField(bytesField(scope, 1), field));
        return test(text, 0, text.length);
      });
      return flaggedRows(segment, 'scope', wanted, rows);
    }
    case 'event:name': {
      if (value.type !== 'string') return;
      const test = stringTest(op, value.value);
      return childRows(segment, 'event', rows, async (children) => {
        const column = await segment.column({ of: 'child', space: 'event', field: 'name' });
        if (column !== undefined) matchStrings(column, test, children);
      });
    }
    case 'link:traceID':
    case 'link:spanID': {
      if (value.type !== 'string') return;
      const field = name === 'link:traceID' ? 'trace_id' : 'span_id';
      const test = hexTest(op, value.value, name === 'link:traceID' ? 32 : 16);
      return childRows(segment, 'link', rows, async (children) => {
        const column = await segment.column({ of: 'child', space: 'link', field });
        if (column !== undefined) matchStrings(column, (bytes, from) => test(bytes, from), children);
      });
    }
    case 'nestedSetLeft':
    case 'nestedSetRight':
    case 'nestedSetParent':
    case 'span:childCount': {
      const { int } = numberTest(op, value);
      if (int === undefined) return;
      const numbers = (await treeNumbers(segment))[name];
      for (let row = 0; row < segment.rows; row++)
        if (testInt(int, numbers[row], numbers[row] < 0 ? -1 : 0)) rows[row >>> 5] |= 1 << (row & 31);
      return;
    }
    case 'event:timeSinceStart':
      return valueRows(segment, { type: 'intrinsic', name, offset: 0 }, op, value, rows);
    case 'parent':
      return;
  }
}

/** Conditions on what is known of whole traces: asked once a trace. */
async function traceRows(
  segment: Segment,
  name: 'trace:id' | 'traceDuration' | 'rootName' | 'rootServiceName',
  op: ComparisonOp | RegexOp,
  value: StaticValue,
  rows: Bits,
): Promise<void> {
  const lines = await segment.lines();
  const traces = lines.ids.length / 16;
  // Ids are compared without their leading zeros, in the data and in the literal alike.
  const literal: StaticValue =
    name === 'trace:id' && value.type === 'string' && op !== '=~' && op !== '!~'
      ? { type: 'string', value: value.value.replace(/^0+/, '') }
      : value;
  const wanted = new Uint8Array(traces);
  let any = false;
  for (let trace = 0; trace < traces; trace++) {
    const result = applyBinary(op, traceIntrinsic(lines, trace, name), literal);
    if (result?.type === 'bool' && result.value) {
      wanted[trace] = 1;
      any = true;
    }
  }
  if (!any) return;
  if (!segment.live) {
    for (let trace = 0; trace < traces; trace++)
      if (wanted[trace] === 1)
        for (let row = lines.firstRow[trace]; row < lines.firstRow[trace + 1]; row++)
          rows[row >>> 5] |= 1 << (row & 31);
    return;
  }
  const all = rowsOf(allBits(segment.rows));
  const of = await segment.tracesOfRows(all);
  for (let row = 0; row < of.length; row++) if (wanted[of[row]] === 1) rows[row >>> 5] |= 1 << (row & 31);
}

/** Any reference, value by value. */
async function valueRows(
  segment: Segment,
  reference: Reference,
  op: ComparisonOp | RegexOp,
  value: StaticValue,
  rows: Bits,
): Promise<void> {
  const all = rowsOf(allBits(segment.rows));
  const values = await gather(segment, reference, all);
  for (let row = 0; row < values.length; row++)
    if (isTrue(applyRead(op, values[row], value))) rows[row >>> 5] |= 1 << (row & 31);
}

/** The rows where the reference has a readable value. */
async function presentRows(segment: Segment, reference: Reference): Promise<Bits> {
  const rows = noBits(segment.rows);
  if (reference.type === 'intrinsic') {
    const { name } = reference;
    if (name === 'event:name' || name === 'event:timeSinceStart' || name === 'link:traceID' || name === 'link:spanID') {
      const children = await segment.childRows(name.startsWith('event') ? 'event' : 'link');
      for (const row of children?.rows ?? []) rows[row >>> 5] |= 1 << (row & 31);
      return rows;
    }
    return name === 'parent' ? rows : allBits(segment.rows);
  }
  const { scope, name } = reference;
  if (scope === 'span' || scope === 'none' || scope === 'event' || scope === 'link') {
    const space = scope === 'none' ? 'span' : scope;
    const find = async (into: Bits): Promise<void> => {
      for (const type of segment.typesOf(space, name)) {
        const column = await segment.column({ of: 'attribute', space, key: name, type });
        if (column === undefined) continue;
        if (type === 'any') {
          for (const test of READABLE) matchColumn(column, test, into);
        } else matchPresent(column, into);
      }
      const isReadable = (value: Uint8Array): boolean => READABLE.some((test) => testAny(test, decodeAnyValue(value)));
      await moreRows(segment, space, name, isReadable, into);
    };
    if (space === 'span') await find(rows);
    else await childRows(segment, space, rows, find);
  }
  if (scope === 'resource' || scope === 'none' || scope === 'instrumentation') {
    const of = scope === 'instrumentation' ? 'scope' : 'resource';
    const wanted = (await messageAttributes(segment, of)).map((attributes) => {
      const found = attributeNamed(attributes, of, name);
      return found !== undefined && READABLE.some((test) => testAny(test, found.value));
    });
    await flaggedRows(segment, of, wanted, rows);
  }
  return rows;
}

/** A value equals or differs from one literal of its type exactly when it is readable. */
const READABLE: readonly ValueTest[] = [
  { type: 'string' as const, value: '' },
  { type: 'int' as const, value: 0n },
  { type: 'float' as const, value: 0 },
  { type: 'bool' as const, value: true },
].flatMap((value) => [attributeTest('=', value), attributeTest('!=', value)]);

/** An expression that is more than one comparison: computed for each wanted row. */
async function computedRows(segment: Segment, expression: FieldExpr, within: Bits): Promise<Bits> {
  const wanted = rowsOf(within);
  const reads = new Map<Reference, Read[]>();
  for (const reference of referencesOf(expression)) reads.set(reference, await gather(segment, reference, wanted));
  const rows = noBits(segment.rows);
  for (let slot = 0; slot < wanted.length; slot++)
    if (isTrue(compute(expression, reads, slot))) rows[wanted[slot] >>> 5] |= 1 << (wanted[slot] & 31);
  return rows;
}

/** The value of an expression at each of the ascending rows. Of several events or links the first one counts. */
export async function valuesAt(segment: Segment, expression: FieldExpr, rows: Uint32Array): Promise<Read[]> {
  if (expression.type === 'attribute' || expression.type === 'intrinsic') {
    const values = await gather(segment, expression, rows);
    if (!isOfChildren(expression)) return values;
    // Without events a span goes by the empty name.
    const none: Read = expression.name === 'event:name' ? { type: 'string', value: '' } : undefined;
    return values.map((value) => (Array.isArray(value) ? value[0] : value) ?? none);
  }
  const reads = new Map<Reference, Read[]>();
  for (const reference of referencesOf(expression)) reads.set(reference, await gather(segment, reference, rows));
  const values: Read[] = new Array(rows.length);
  for (let slot = 0; slot < rows.length; slot++) values[slot] = compute(expression, reads, slot);
  return values;
}

/** Whether it is read from events or links, of which a span may have several. */
export function isOfChildren(reference: Reference): boolean {
  if (reference.type === 'attribute') return reference.scope === 'event' || reference.scope === 'link';
  return reference.name.startsWith('event:') || reference.name.startsWith('link:');
}

/** The value of an expression for one row. */
export function compute(expression: FieldExpr, reads: Map<Reference, Read[]>, slot: number): Read {
  switch (expression.type) {
    case 'static':
      return expression.value.type === 'nil' ? undefined : expression.value;
    case 'attribute':
    case 'intrinsic':
      return reads.get(expression)?.[slot];
    case 'exists': {
      const there = compute(expression.operand, reads, slot) !== undefined;
      return { type: 'bool', value: there !== expression.negated };
    }
    case 'unary': {
      const operand = compute(expression.operand, reads, slot);
      if (operand === undefined || Array.isArray(operand)) return undefined;
      return applyUnary(expression.op, operand);
    }
    case 'binary': {
      if (expression.op === '&&' || expression.op === '||') {
        // nil is false here, so that `true || nil` is true.
        let value = isTrue(compute(leftmost(expression), reads, slot));
        for (const { op, right } of spine(expression)) {
          if (op === '&&') value = value && isTrue(compute(right, reads, slot));
          else value = value || isTrue(compute(right, reads, slot));
        }
        return { type: 'bool', value };
      }
      let left = compute(expression.left, reads, slot);
      let right = compute(expression.right, reads, slot);
      if (isPredicate(expression)) {
        left = comparable(expression.left, expression.right, left);
        right = comparable(expression.right, expression.left, right);
        // A comparison with nil is false, and the negation of one is true.
        if (left === undefined || right === undefined) return { type: 'bool', value: false };
      }
      if (left === undefined || right === undefined) return undefined;
      if ((expression.op === '/' || expression.op === '%') && isZeroInt(right) && isInt(left))
        throw new VivaceError('unsupported', expression.op === '/' ? 'division by zero' : 'modulo by zero');
      return applyRead(expression.op, left, right);
    }
  }
}

/**
 * What a comparison sees of one side. Beside a literal an attribute has only values of the literal's type; ids equal each
 * other with leading zeros and without.
 */
function comparable(side: FieldExpr, other: FieldExpr, value: Read): Read {
  if (value === undefined) return undefined;
  if (isId(side) || isId(other)) return Array.isArray(value) ? value.map(withoutZeros) : withoutZeros(value);
  if (other.type !== 'static' || side.type !== 'attribute') return value;
  const { type } = other.value;
  if (Array.isArray(value)) return value.filter((each) => each.type === type);
  return value.type === type ? value : undefined;
}

const IDS: ReadonlySet<string> = new Set(['trace:id', 'span:id', 'span:parentID', 'link:traceID', 'link:spanID']);

function isId(expression: FieldExpr): boolean {
  return expression.type === 'intrinsic' && IDS.has(expression.name);
}

function withoutZeros(value: StaticValue): StaticValue {
  return value.type === 'string' ? { type: 'string', value: value.value.replace(/^0+/, '') } : value;
}

function applyRead(op: Parameters<typeof applyBinary>[0], left: Read, right: Read): Read {
  if (left === undefined || right === undefined) return undefined;
  const arithmetic = ['+', '-', '*', '/', '%', '^'].includes(op);
  if (!Array.isArray(left) && !Array.isArray(right)) {
    // Types that do not go together are not equal, nor different.
    return applyBinary(op, left, right) ?? (arithmetic ? undefined : { type: 'bool', value: false });
  }
  if (arithmetic) throw new VivaceError('unsupported', 'unsupported operation');
  const lefts = Array.isArray(left) ? left : [left];
  const rights = Array.isArray(right) ? right : [right];
  const value = lefts.some((l) => rights.some((r) => isTrue(applyBinary(op, l, r))));
  return { type: 'bool', value };
}

/** The operators and right operands of a chain of && and ||, from left to right, and where the chain begins. */
function spine(expression: FieldExpr): { op: '&&' | '||'; right: FieldExpr }[] {
  const chain: { op: '&&' | '||'; right: FieldExpr }[] = [];
  for (let at = expression; at.type === 'binary' && (at.op === '&&' || at.op === '||'); at = at.left)
    chain.push({ op: at.op, right: at.right });
  return chain.reverse();
}

function leftmost(expression: FieldExpr): FieldExpr {
  let at = expression;
  while (at.type === 'binary' && (at.op === '&&' || at.op === '||')) at = at.left;
  return at;
}

/** Every reference node of an expression. */
export function referencesOf(expression: FieldExpr): Reference[] {
  const references: Reference[] = [];
  const waiting: FieldExpr[] = [expression];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next.type === 'attribute' || next.type === 'intrinsic') references.push(next);
    else if (next.type === 'binary') waiting.push(next.left, next.right);
    else if (next.type === 'unary' || next.type === 'exists') waiting.push(next.operand);
  }
  return references;
}

function isTrue(value: Read): boolean {
  return value !== undefined && !Array.isArray(value) && value.type === 'bool' && value.value;
}

function isInt(value: Read): boolean {
  return value !== undefined && !Array.isArray(value) && value.type === 'int';
}

function isZeroInt(value: Read): boolean {
  return value !== undefined && !Array.isArray(value) && value.type === 'int' && value.value === 0n;
}

/** Ids as text: equality needs no text at all, and zeros on the left of the literal do not matter. */
function hexTest(
  op: ComparisonOp | RegexOp,
  literal: string,
  digits: number,
): (bytes: Uint8Array, at: number) => boolean {
  const width = digits / 2;
  if (op === '=' || op === '!=') {
    const wanted =
      /^[0-9a-f]*$/.test(literal) && literal.length <= digits
        ? Buffer.from(literal.padStart(digits, '0'), 'hex')
        : undefined;
    const equal = op === '=';
    return (bytes, at) => {
      if (wanted === undefined) return !equal;
      for (let i = 0; i < width; i++) if (bytes[at + i] !== wanted[i]) return !equal;
      return equal;
    };
  }
  const test = stringTest(op, literal);
  return (bytes, at) => {
    const text = Buffer.from(Buffer.from(bytes.buffer, bytes.byteOffset + at, width).toString('hex'));
    return test(text, 0, text.length);
  };
}
