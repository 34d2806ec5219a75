/**
 * Several blocks as the table from which one is written. What orders the rows is read at once, about 60 bytes a row; every
 * other column is read when it is its turn, so that only one of them is in memory.
 */
import type { RowGroup } from '../block/row-group.ts';
import type { AttributeType, Column, RareField, Space, Want } from '../block/segment.ts';
import type {
  AttributeColumn,
  CodedRows,
  EventTable,
  LinkTable,
  Loading,
  RareColumn,
  SpanTable,
} from '../block/table.ts';
import { ColumnScratch, type Gathered, gatherColumn, inOrder } from './gather-column.ts';
import { type Drops, type MergedOrder, mergeOrder, type SourceTraces } from './merge-order.ts';

/** The blocks cannot be merged within the bounds; they stay as they are. */
export class TooLarge extends Error {}

export interface MergeBounds {
  /** Attribute columns of a space. */
  columnsMax: number;
  /** Events, and links, of all blocks together. */
  childrenMax: number;
}

const RARE: readonly RareField[] = [
  'status_message',
  'trace_state',
  'flags',
  'dropped_attributes',
  'dropped_events',
  'dropped_links',
  'more',
];

/** The blocks in the order in which their spans came: of a span that several of them have, the first one's stays. */
export async function mergedTable(
  blocks: readonly RowGroup[],
  { columnsMax, childrenMax }: MergeBounds,
  pause: () => Promise<void>,
  drops?: Drops,
): Promise<{ table: SpanTable; order: MergedOrder }> {
  const bases: number[] = [];
  let total = 0;
  for (const block of blocks) {
    bases.push(total);
    total += block.rows;
  }
  const scratch = new ColumnScratch();
  const readers = { blocks, bases, rows: total, scratch };
  const spanIds = await fixedWords(readers, { of: 'fixed', field: 'span_id' });
  await pause();
  const parentIds = await fixedWords(readers, { of: 'fixed', field: 'parent_span_id' });
  await pause();
  const starts = await fixedWords(readers, { of: 'fixed', field: 'start' });
  await pause();
  const kinds = await ints(readers, 'kind');
  const traces: SourceTraces[] = [];
  for (const [index, block] of blocks.entries()) {
    const { ids, firstRow } = await block.lines();
    traces.push({ ids, firstRow, base: bases[index] });
  }
  const parents = await ints(readers, 'parent_distance');
  const order = mergeOrder(traces, { spanIds, parentIds, parents, starts, kinds }, drops);
  await pause();
  const { rows } = order;
  const ends = await endsOf(readers, starts, rows);
  const names = await codedRows(readers, { of: 'fixed', field: 'name' }, rows);
  await pause();
  const resources = await messages(readers, 'resource', rows);
  const scopes = await messages(readers, 'scope', rows);
  await pause();
  const loading = (want: Want, over: Readers, to: Uint32Array): Loading => {
    let columns: (Column | undefined)[] | undefined;
    return {
      async prepare() {
        await pause();
        columns = await columnsOf(over, want);
      },
      load() {
        const values = inOrder(gatherColumn(columns!, over.bases, over.rows, over.scratch), to, over.scratch);
        columns = undefined;
        return values;
      },
    };
  };
  const attributes = async (space: Space, over: Readers, to: Uint32Array): Promise<AttributeColumn[]> => {
    const uses: { key: string; type: AttributeType }[] = [];
    // Of what only traces have that are left out, not even the name stays.
    for (const use of attributeUses(blocks, space))
      if (order.dropped === 0 || (await hasValues(over, { of: 'attribute', space, ...use }, to))) uses.push(use);
    if (uses.length > columnsMax) throw new TooLarge(`they have ${uses.length} attributes of ${space}s`);
    return uses.map(({ key, type }) => ({
      space,
      key,
      type,
      ...loading({ of: 'attribute', space, key, type }, over, to),
    }));
  };
  const rare: RareColumn[] = [];
  for (const field of RARE)
    if (await exists(blocks, { of: 'rare', field }))
      rare.push({ field, ...loading({ of: 'rare', field }, readers, rows) });
  const events = await childrenOf(readers, 'event', rows, childrenMax);
  const links = await childrenOf(readers, 'link', rows, childrenMax);
  const more = async (space: 'event' | 'link', children: Children): Promise<{ more?: Loading }> => {
    const want: Want = { of: 'child', space, field: 'more' };
    return (await exists(blocks, want)) ? { more: loading(want, children.readers, children.order) } : {};
  };
  const table: SpanTable = {
    rows: rows.length,
    traceIds: order.traceIds,
    traceStarts: order.traceStarts,
    parents: order.parents,
    spanIds: bytesOf(wordsOf(spanIds, rows)),
    parentIds: bytesOf(wordsOf(parentIds, rows)),
    starts: wordsOf(starts, rows),
    ends,
    kinds: pick(kinds, rows),
    statuses: pick(await ints(readers, 'status'), rows),
    names,
    resourceOf: resources.of,
    resources: resources.messages,
    scopeOf: scopes.of,
    scopes: scopes.messages,
    rare,
    columns: await attributes('span', readers, rows),
    ...(events && {
      events: {
        ...(await eventFields(events)),
        columns: await attributes('event', events.readers, events.order),
        ...(await more('event', events)),
      },
    }),
    ...(links && {
      links: {
        ...(await linkFields(links)),
        columns: await attributes('link', links.readers, links.order),
        ...(await more('link', links)),
      },
    }),
  };
  return { table, order };
}

interface Readers {
  blocks: readonly RowGroup[];
  /** First row (or event or link) of each block among those of all, and how many there are together. */
  bases: readonly number[];
  rows: number;
  scratch: ColumnScratch;
}

async function columnsOf({ blocks }: Readers, want: Want): Promise<(Column | undefined)[]> {
  return Promise.all(blocks.map((block) => block.column(want)));
}

async function gathered(readers: Readers, want: Want): Promise<Gathered> {
  return gatherColumn(await columnsOf(readers, want), readers.bases, readers.rows, readers.scratch);
}

/** A fixed column of two words a row; zeros where there is no value. */
async function fixedWords({ blocks, bases, rows }: Readers, want: Want): Promise<Int32Array> {
  const words = new Int32Array(2 * rows);
  const bytes = new Uint8Array(words.buffer);
  for (const [index, block] of blocks.entries())
    for (const part of (await block.column(want))!.parts) {
      const base = bases[index] + part.first;
      for (let i = 0, next = 0; next < part.count; i++) {
        if (part.present !== undefined && part.present[i] === 0) continue;
        if (part.words !== undefined) {
          words[2 * (base + i)] = part.words[2 * next];
          words[2 * (base + i) + 1] = part.words[2 * next + 1];
        } else for (let byte = 0; byte < 8; byte++) bytes[8 * (base + i) + byte] = part.bytes![8 * next + byte];
        next++;
      }
    }
  return words;
}

async function ints(
  { blocks, bases, rows }: Readers,
  field: 'kind' | 'status' | 'parent_distance',
): Promise<Int32Array<ArrayBuffer>> {
  const values = new Int32Array(rows);
  for (const [index, block] of blocks.entries())
    for (const part of (await block.column({ of: 'fixed', field }))!.parts)
      values.set(part.ints!.subarray(0, part.count), bases[index] + part.first);
  return values;
}

/** Start plus duration, in 64 bits that wrap, as the writer made one of the other. */
async function endsOf(readers: Readers, starts: Int32Array, rows: Uint32Array): Promise<Int32Array> {
  const durations = await fixedWords(readers, { of: 'fixed', field: 'duration' });
  const ends = new Int32Array(2 * rows.length);
  for (let row = 0; row < rows.length; row++) {
    const from = 2 * rows[row];
    const low = (starts[from] >>> 0) + (durations[from] >>> 0);
    ends[2 * row] = low;
    ends[2 * row + 1] = starts[from + 1] + durations[from + 1] + (low > 0xffffffff ? 1 : 0);
  }
  return ends;
}

/** A column of strings that every row has. */
async function codedRows(readers: Readers, want: Want, order: Uint32Array): Promise<CodedRows> {
  const values = await gathered(readers, want);
  const { codes } = inOrder(values, order, readers.scratch);
  return { codes: codes!.slice(), strings: values.strings! };
}

/** Each different resource (or scope) of all blocks, and that of each row. */
async function messages(
  { blocks, bases, rows }: Readers,
  of: 'resource' | 'scope',
  order: Uint32Array,
): Promise<{ of: Uint32Array; messages: Uint8Array[] }> {
  const numbers = new Map<string, number>();
  const all: Uint8Array[] = [];
  const codes = new Uint32Array(rows);
  for (const [index, block] of blocks.entries()) {
    const own = (await (of === 'resource' ? block.resources() : block.scopes())).map((message) => {
      const key = Buffer.from(message.buffer, message.byteOffset, message.byteLength).toString('latin1');
      let number = numbers.get(key);
      if (number === undefined) {
        number = all.push(message) - 1;
        numbers.set(key, number);
      }
      return number;
    });
    for (const part of (await block.column({ of }))!.parts)
      for (let i = 0; i < part.count; i++) codes[bases[index] + part.first + i] = own[part.codes![i]];
  }
  return { of: Uint32Array.from(order, (row) => codes[row]), messages: all };
}

/** Events or links of all blocks, and their order in the merged one. */
interface Children {
  readers: Readers;
  order: Uint32Array;
  /** First of each row, and how many there are at the end. */
  starts: Uint32Array;
}

async function childrenOf(
  { blocks, bases, rows }: Readers,
  space: 'event' | 'link',
  order: Uint32Array,
  childrenMax: number,
): Promise<Children | undefined> {
  const childBases: number[] = [];
  const firsts = new Uint32Array(rows + 1);
  let total = 0;
  for (const [index, block] of blocks.entries()) {
    childBases.push(total);
    const found = await block.childRows(space);
    for (const row of found?.rows ?? []) firsts[bases[index] + row + 1]++;
    total += found?.rows.length ?? 0;
    if (total > childrenMax) throw new TooLarge(`they have more than ${childrenMax} ${space}s`);
  }
  for (let row = 0; row < rows; row++) firsts[row + 1] += firsts[row];
  const starts = new Uint32Array(order.length + 1);
  const children = new Uint32Array(total);
  let filled = 0;
  for (let row = 0; row < order.length; row++) {
    for (let child = firsts[order[row]]; child < firsts[order[row] + 1]; child++) children[filled++] = child;
    starts[row + 1] = filled;
  }
  if (filled === 0) return undefined;
  const readers = { blocks, bases: childBases, rows: total, scratch: new ColumnScratch() };
  return { readers, order: children.subarray(0, filled), starts };
}

async function eventFields({ readers, order, starts }: Children): Promise<Omit<EventTable, 'columns' | 'more'>> {
  const field = (name: 'time' | 'name' | 'dropped'): Want => ({ of: 'child', space: 'event', field: name });
  return {
    count: order.length,
    starts,
    times: inOrder(await gathered(readers, field('time')), order, readers.scratch).words!.slice(),
    names: await codedRows(readers, field('name'), order),
    dropped: lowWords(inOrder(await gathered(readers, field('dropped')), order, readers.scratch).words!),
  };
}

async function linkFields({ readers, order, starts }: Children): Promise<Omit<LinkTable, 'columns' | 'more'>> {
  const field = (name: 'trace_id' | 'span_id' | 'trace_state' | 'flags' | 'dropped'): Want => ({
    of: 'child',
    space: 'link',
    field: name,
  });
  return {
    count: order.length,
    starts,
    traceIds: fixedBytes(await codedRows(readers, field('trace_id'), order), 16),
    spanIds: fixedBytes(await codedRows(readers, field('span_id'), order), 8),
    traceStates: await codedRows(readers, field('trace_state'), order),
    flags: lowWords(inOrder(await gathered(readers, field('flags')), order, readers.scratch).words!),
    dropped: lowWords(inOrder(await gathered(readers, field('dropped')), order, readers.scratch).words!),
  };
}

async function exists(blocks: readonly RowGroup[], want: Want): Promise<boolean> {
  for (const block of blocks) if ((await block.column(want)) !== undefined) return true;
  return false;
}

async function hasValues(readers: Readers, want: Want, to: Uint32Array): Promise<boolean> {
  return inOrder(await gathered(readers, want), to, readers.scratch).count > 0;
}

/** Every (key, type) of a space, in the order in which the blocks have them. */
function attributeUses(blocks: readonly RowGroup[], space: Space): { key: string; type: AttributeType }[] {
  const uses = new Map<string, { key: string; type: AttributeType }>();
  for (const block of blocks)
    for (const key of block.keys(space))
      for (const type of block.typesOf(space, key)) uses.set(`${type} ${key}`, { key, type });
  return [...uses.values()];
}

function fixedBytes({ codes, strings }: CodedRows, width: number): Uint8Array {
  const bytes = new Uint8Array(width * codes.length);
  for (let i = 0; i < codes.length; i++)
    bytes.set(strings.bytes.subarray(strings.starts[codes[i]], strings.ends[codes[i]]), width * i);
  return bytes;
}

function lowWords(words: Int32Array): Int32Array {
  const low = new Int32Array(words.length / 2);
  for (let i = 0; i < low.length; i++) low[i] = words[2 * i];
  return low;
}

function wordsOf(words: Int32Array, order: Uint32Array): Int32Array {
  const out = new Int32Array(2 * order.length);
  for (let row = 0; row < order.length; row++) {
    out[2 * row] = words[2 * order[row]];
    out[2 * row + 1] = words[2 * order[row] + 1];
  }
  return out;
}

function bytesOf(words: Int32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

function pick(values: Int32Array, order: Uint32Array): Int32Array {
  const out = new Int32Array(order.length);
  for (let row = 0; row < order.length; row++) out[row] = values[order[row]];
  return out;
}
