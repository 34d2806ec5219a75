import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Appender } from './append.ts';
import { BATCH_MAX, WINDOW_BYTES } from './append-tables.ts';
import { LiveColumns } from './columns.ts';
import { ROW_NAME, ROW_SCOPE, ROW_SPAN_ID, SPACE_META } from './layout.ts';
import { LiveView } from './live-view.ts';
import { type Attribute, encodeRequest, type Event, requestOf } from './otlp.fixture.ts';

/** Bytes of a span whose padding is so long that it fits into the window as a whole, as the kernel wants it. */
const REST = 105;
const AROUND_WINDOW = Array.from({ length: 12 }, (_, index) => WINDOW_BYTES - REST + 20 * (index - 6));

for (const [what, paddings] of [
  ['more spans than a batch holds', Array(3 * BATCH_MAX + 1).fill(1)],
  ['spans that reach over the end of the window', Array.from({ length: 900 }, (_, index) => (index * 37) % 300)],
  ['spans as long as the window, by some bytes', AROUND_WINDOW],
  ['large spans between small ones', [3, 100_000, 3, 3, 40_000, 70_000, 3]],
] as [string, number[]][])
  test(`append: ${what} come back`, () => {
    const { columns, appender } = newColumns();
    const spans = paddings.map((length, index) => ({
      traceId: (1 + (index % 7)).toString(16).padStart(32, '0'),
      spanId: (index + 1).toString(16).padStart(16, '0'),
      name: `name ${index % 50}`,
      attributes: [text('padding', `${index}`.padEnd(length, '.')), number('number', index * 1001)],
      ...(index % 3 === 0 && { events: [event(index)] }),
      ...(index % 5 === 0 && { kind: 300 + index }),
    }));
    appender.append(encodeRequest(requestOf(...spans)));
    const view = new LiveView(columns.snapshot(1, 't'));
    assert.deepEqual(
      [...view.field(ROW_NAME)].map((code) => view.string(code)),
      spans.map(({ name }) => name),
    );
    assert.deepEqual(
      [...view.field(ROW_SPAN_ID + 1)].map((word) => Buffer.from(Uint32Array.of(word).buffer).readUInt32BE()),
      spans.map((_, index) => index + 1),
    );
    assert.deepEqual(new Set(view.field(ROW_SCOPE)), new Set([0]));
    const rows = spans.map((_, index) => index);
    const withEvents = rows.filter((index) => index % 3 === 0);
    assert.deepEqual(valuesOf(view, 'padding'), [rows, spans.map(({ attributes }) => textOf(attributes[0]))]);
    assert.deepEqual(valuesOf(view, 'number'), [rows, rows.map((index) => index * 1001)]);
    assert.deepEqual(valuesOf(view, 'of event'), [
      withEvents.map((_, at) => at),
      withEvents.map((index) => `${index}`),
    ]);
  });

test('append: a column is guessed again after the segment was taken back or emptied', () => {
  const { columns, appender } = newColumns();
  const span = { traceId: '1'.padStart(32, '0'), spanId: '1'.padStart(16, '0') };
  const append = (...keys: string[]): void => {
    appender.append(encodeRequest(requestOf({ ...span, attributes: keys.map((key) => text(key, key)) })));
  };
  const keys = (): string[] => {
    const view = new LiveView(columns.snapshot(1, 't'));
    const heads = view.columnHeads().filter(({ space }) => space !== SPACE_META);
    return heads.map((head) => `${view.string(head.key)} ${view.load(head).rows.join()}`);
  };
  append('a', 'b');
  const mark = columns.mark();
  append('a', 'b', 'c');
  append('a', 'b', 'c');
  columns.takeBack(mark);
  append('a', 'c', 'b');
  append('a', 'c', 'b');
  assert.deepEqual(keys(), ['a 0,1,2', 'b 0,1,2', 'c 1,2']);
  columns.reset();
  append('b', 'a');
  append('b', 'a');
  assert.deepEqual(keys(), ['b 0,1', 'a 0,1']);
});

function newColumns(): { columns: LiveColumns; appender: Appender } {
  const columns = new LiveColumns(1 << 24, 1);
  return { columns, appender: new Appender(columns, { attributeBytesMax: 0, traceBytesMax: 0 }) };
}

/** Rows and values of the column with this key. */
function valuesOf(view: LiveView, key: string): [number[], (string | number)[]] {
  const head = view.columnHeads().find((each) => each.space !== SPACE_META && view.string(each.key) === key)!;
  const { rows, values } = view.load(head);
  const count = rows.length;
  const isText = values.length === count;
  return [[...rows], Array.from({ length: count }, (_, at) => (isText ? view.string(values[at]) : values[2 * at]))];
}

function text(key: string, value: string): Attribute {
  return { key, value: { type: 'string', value } };
}

function number(key: string, value: number): Attribute {
  return { key, value: { type: 'int', value: BigInt(value) } };
}

function textOf({ value }: Attribute): string {
  return value.type === 'string' ? value.value : '';
}

function event(index: number): Event {
  return { time: 1n, name: 'event', attributes: [text('of event', `${index}`)], dropped: 0 };
}
