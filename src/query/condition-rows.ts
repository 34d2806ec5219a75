/** The rows of a segment where a reference compares with a literal, or has a readable value at all, column by column. */
import { bytesField, decodeAnyValue, stringField } from '../block/any-value.ts';
import type { Segment, Space } from '../block/segment.ts';
import type { Attribute, ComparisonOp, IntrinsicName, Reference, RegexOp, StaticValue } from '../traceql/ast.ts';
import { applyBinary } from '../traceql/values.ts';
import { allBits, type Bits, isEmpty, noBits, rowsOf, subtract, unite } from './bits.ts';
import {
  attributeNamed,
  childSpace,
  eachValue,
  isOfChildren,
  KINDS,
  messageAttributes,
  STATUSES,
  traceIntrinsic,
} from './gather.ts';
import { matchCodes, matchColumn, matchFixed, matchInts, matchPresent, matchStrings } from './match.ts';
import { moreColumn, moreValue } from './more.ts';
import { anyOfTest, attributeTest, numberTest, stringTest, testAny, testInt, type ValueTest } from './test-value.ts';
import { treeNumbers } from './tree.ts';

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
  await attributeConditionRows(segment, reference, attributeTest(op, value), rows);
  return rows;
}

/** The rows where the reference equals one of the values, which are of one type. */
export async function anyOfRows(segment: Segment, reference: Reference, values: readonly StaticValue[]): Promise<Bits> {
  const rows = noBits(segment.rows);
  const test = anyOfTest(values);
  if (reference.type === 'attribute') await attributeConditionRows(segment, reference, test, rows);
  else {
    const field = reference.name === 'name' ? 'name' : 'duration';
    matchColumn((await segment.column({ of: 'fixed', field }))!, test, rows);
  }
  return rows;
}

/** Whether `anyOfRows` knows what to do with it. */
export function canBeAnyOf(reference: Reference, value: StaticValue): boolean {
  if (reference.type === 'intrinsic')
    return reference.name === 'name'
      ? value.type === 'string'
      : reference.name === 'duration' && (value.type === 'int' || value.type === 'duration');
  return value.type === 'string' || value.type === 'int' || value.type === 'float';
}

/** The rows whose value is an array with an element for which `op value` holds for one of the values. */
export async function arrayRows(
  segment: Segment,
  reference: Attribute,
  op: '=' | '=~',
  values: readonly StaticValue[],
): Promise<Bits> {
  const rows = noBits(segment.rows);
  const elements = values.map((value) => attributeTest(op, value));
  await attributeConditionRows(segment, reference, { elements }, rows);
  return rows;
}

async function attributeConditionRows(
  segment: Segment,
  reference: Attribute,
  test: ValueTest,
  rows: Bits,
): Promise<void> {
  if (reference.parent) return;
  const { scope, name } = reference;
  switch (scope) {
    case 'span':
      return attributeRows(segment, 'span', name, test, rows);
    case 'resource':
      return messageRows(segment, 'resource', name, test, rows);
    case 'instrumentation':
      return messageRows(segment, 'scope', name, test, rows);
    case 'event':
    case 'link':
      return childRows(segment, scope, rows, (children) => attributeRows(segment, scope, name, test, children));
    case 'none': {
      // A span's own key hides the resource's, whatever its value.
      await messageRows(segment, 'resource', name, test, rows);
      if (!isEmpty(rows)) {
        const own = noBits(segment.rows);
        await columnRows(segment, 'span', name, own);
        await moreRows(segment, 'span', name, () => true, own);
        subtract(rows, own);
      }
      return attributeRows(segment, 'span', name, test, rows);
    }
  }
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
    const equals = type === 'string' ? test.string?.only : undefined;
    const options = { ...(equals && { equals }), distances: test.int !== undefined };
    const column = await segment.column({ of: 'attribute', space, key, type }, undefined, options);
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
  if (type === 'int') return test.int !== undefined || test.intAnyOf !== undefined;
  if (type === 'double') return test.double !== undefined || test.doubleAnyOf !== undefined;
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
export async function childRows(
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
      const options = { distances: test.int !== undefined };
      const column = await segment.column({ of: 'fixed', field: 'duration' }, undefined, options);
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
    case 'event:name':
    case 'event:timeSinceStart':
    case 'link:traceID':
    case 'link:spanID':
      return childRows(segment, name.startsWith('event') ? 'event' : 'link', rows, (children) =>
        childIntrinsicRows(segment, name, op, value, children),
      );
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

/** The children (events or links) for which a condition on an attribute or intrinsic of theirs holds. */
export async function childConditionRows(
  segment: Segment,
  reference: Reference,
  op: ComparisonOp | RegexOp,
  value: StaticValue,
  children: Bits,
): Promise<void> {
  if (reference.type === 'intrinsic') return childIntrinsicRows(segment, reference.name, op, value, children);
  const space = reference.scope === 'event' ? 'event' : 'link';
  return attributeRows(segment, space, reference.name, attributeTest(op, value), children);
}

async function childIntrinsicRows(
  segment: Segment,
  name: IntrinsicName,
  op: ComparisonOp | RegexOp,
  value: StaticValue,
  children: Bits,
): Promise<void> {
  if (name === 'event:timeSinceStart') {
    const { int } = numberTest(op, value);
    if (int !== undefined) await sinceStartRows(segment, int, children);
    return;
  }
  if (value.type !== 'string') return;
  if (name === 'event:name') {
    const column = await segment.column({ of: 'child', space: 'event', field: 'name' });
    if (column !== undefined) matchStrings(column, stringTest(op, value.value), children);
    return;
  }
  const field = name === 'link:traceID' ? 'trace_id' : 'span_id';
  const test = hexTest(op, value.value, name === 'link:traceID' ? 32 : 16);
  const column = await segment.column({ of: 'child', space: 'link', field });
  if (column !== undefined) matchStrings(column, (bytes, from) => test(bytes, from), children);
}

/** The events whose time since the start of their span satisfies the test. */
async function sinceStartRows(segment: Segment, test: NonNullable<ValueTest['int']>, events: Bits): Promise<void> {
  const children = await segment.childRows('event');
  if (children === undefined) return;
  const rows = children.rows.filter((row, i) => i === 0 || row !== children.rows[i - 1]);
  const starts = new Int32Array(2 * rows.length);
  const column = await segment.column({ of: 'fixed', field: 'start' }, undefined, { rows });
  eachValue(column!, rows, (slot, part, index) => {
    starts[2 * slot] = part.words![2 * index];
    starts[2 * slot + 1] = part.words![2 * index + 1];
  });
  const slots = new Uint32Array(children.rows.length);
  for (let child = 1; child < slots.length; child++)
    slots[child] = slots[child - 1] + (children.rows[child] === children.rows[child - 1] ? 0 : 1);
  const times = await segment.column({ of: 'child', space: 'event', field: 'time' });
  const all = Uint32Array.from(slots, (_slot, child) => child);
  eachValue(times!, all, (child, part, index) => {
    const [low, high] = [part.words![2 * index], part.words![2 * index + 1]];
    const [startLow, startHigh] = [starts[2 * slots[child]], starts[2 * slots[child] + 1]];
    const borrow = low >>> 0 < startLow >>> 0 ? 1 : 0;
    if (testInt(test, low - startLow, (high - startHigh - borrow) | 0)) events[child >>> 5] |= 1 << (child & 31);
  });
}

/** The rows where the reference has a readable value. */
export async function presentRows(segment: Segment, reference: Reference): Promise<Bits> {
  const rows = noBits(segment.rows);
  if (isOfChildren(reference)) {
    const space = childSpace(reference);
    await childRows(segment, space, rows, (children) => presentChildren(segment, reference, children));
    return rows;
  }
  if (reference.type === 'intrinsic') return reference.name === 'parent' ? rows : allBits(segment.rows);
  const { scope, name } = reference;
  if (scope === 'span' || scope === 'none') await presentAttributes(segment, 'span', name, rows);
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

/** The events or links in which the reference, an attribute or intrinsic of theirs, has a readable value. */
export async function presentChildren(segment: Segment, reference: Reference, children: Bits): Promise<void> {
  const space = childSpace(reference);
  if (reference.type === 'attribute') return presentAttributes(segment, space, reference.name, children);
  const { rows } = (await segment.childRows(space))!;
  unite(children, allBits(rows.length));
}

async function presentAttributes(segment: Segment, space: Space, key: string, rows: Bits): Promise<void> {
  for (const type of segment.typesOf(space, key)) {
    const column = await segment.column({ of: 'attribute', space, key, type });
    if (column === undefined) continue;
    if (type === 'any') {
      for (const test of READABLE) matchColumn(column, test, rows);
    } else matchPresent(column, rows);
  }
  const isReadable = (value: Uint8Array): boolean => READABLE.some((test) => testAny(test, decodeAnyValue(value)));
  await moreRows(segment, space, key, isReadable, rows);
}

/** A value equals or differs from one literal of its type exactly when it is readable. */
const READABLE: readonly ValueTest[] = [
  { type: 'string' as const, value: '' },
  { type: 'int' as const, value: 0n },
  { type: 'float' as const, value: 0 },
  { type: 'bool' as const, value: true },
].flatMap((value) => [attributeTest('=', value), attributeTest('!=', value)]);

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
