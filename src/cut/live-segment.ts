/**
 * A snapshot of live columns as a segment. Its rows are in the order of arrival; `tree` gives their depth-first order, which
 * costs a sort.
 */
import { serviceName } from '../block/trace-lines.ts';
import type {
  AttributeType,
  Column,
  Dictionary,
  Part,
  RareField,
  RowRange,
  Segment,
  Space,
  Want,
} from '../block/segment.ts';
import { emptyLines, numbering, type TraceLines } from '../block/traces-file.ts';
import {
  EVENT_DROPPED,
  EVENT_NAME,
  EVENT_ROW,
  EVENT_TIME,
  LINK_DROPPED,
  LINK_FLAGS,
  LINK_ROW,
  LINK_SPAN_ID,
  LINK_TRACE_ID,
  LINK_TRACE_STATE,
  META_DROPPED_ATTRIBUTES,
  META_DROPPED_EVENTS,
  META_DROPPED_LINKS,
  META_FLAGS,
  META_KIND,
  META_REPEATED,
  META_STATUS,
  META_STATUS_MESSAGE,
  META_TRACE_STATE,
  ROW_BITS,
  ROW_END,
  ROW_NAME,
  ROW_PARENT_ID,
  ROW_RESOURCE,
  ROW_SCOPE,
  ROW_SPAN_ID,
  ROW_START,
  ROW_TRACE,
  SPACE_META,
  TYPE_ANY,
  TYPE_BOOL,
  TYPE_DOUBLE,
  TYPE_INT,
  TYPE_REPEATED,
  TYPE_STRING,
} from './layout.ts';
import { type LiveColumn, LiveView } from './live-view.ts';
import type { LiveSnapshot } from './layout.ts';
import { orderRows, type RowOrder } from './order.ts';
import { lengthDelimited, wrapMessage } from './message.ts';
import { RepeatedRows } from './repeated-rows.ts';

type Head = ReturnType<LiveView['columnHeads']>[number];

const SPACES: Record<Space, number> = { span: 0, event: 1, link: 2 };
const TYPES: readonly AttributeType[] = ['string', 'bool', 'int', 'double', 'any'];
const RARE_META: Record<RareField, number> = {
  status_message: META_STATUS_MESSAGE,
  trace_state: META_TRACE_STATE,
  flags: META_FLAGS,
  dropped_attributes: META_DROPPED_ATTRIBUTES,
  dropped_events: META_DROPPED_EVENTS,
  dropped_links: META_DROPPED_LINKS,
  more: META_REPEATED,
};

/** Rows that are gone through between two checks. */
const CHECK_EVERY = 32_768;

export class LiveSegment implements Segment {
  readonly name: string;
  readonly live = true;
  readonly rows: number;
  readonly startSeconds = 0;
  readonly endSeconds = Number.MAX_SAFE_INTEGER;
  readonly bytes: number;
  readonly view: LiveView;
  readonly #dictionary: Dictionary;
  readonly #heads: Head[];
  #keys: Map<string, Head> | undefined;
  #columns = new Map<string, Column>();
  readonly #repeated: RepeatedRows;
  /** What takes longest to make and little room. */
  readonly #made: { lines?: TraceLines; order?: RowOrder };

  /** `repeated` is what is known of the segment since an earlier snapshot, `same` a segment of the same snapshot. */
  constructor(snapshot: LiveSnapshot, repeated = new RepeatedRows(), same?: LiveSegment) {
    this.#repeated = repeated;
    this.#made = same === undefined ? {} : same.#made;
    this.view = same === undefined ? new LiveView(snapshot) : same.view.again();
    this.name = `live-${snapshot.id}`;
    this.rows = snapshot.rows;
    this.bytes = snapshot.rows * 160;
    this.#dictionary = this.view.dictionary();
    this.#heads = same === undefined ? this.view.columnHeads() : same.#heads;
  }

  /** The same for another query, whose columns go with it; the order of spans and what is said of traces is made once. */
  again(): LiveSegment {
    return new LiveSegment(this.view.snapshot, this.#repeated, this);
  }

  async mayHold(traceId: Uint8Array): Promise<boolean> {
    return this.traceNumber(traceId) >= 0;
  }

  /** The number of a trace in this segment, or -1. */
  traceNumber(traceId: Uint8Array): number {
    const words = this.view.traceWords();
    const id = new DataView(traceId.buffer, traceId.byteOffset, 16);
    const [a, b, c, d] = [0, 4, 8, 12].map((at) => id.getUint32(at, true));
    for (let at = 0; at < words.length; at += 4)
      if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) return at / 4;
    return -1;
  }

  async lines(check?: () => void): Promise<TraceLines> {
    this.#made.lines ??= this.#makeLines(check);
    return this.#made.lines;
  }

  async traceIds(): Promise<Uint8Array> {
    return this.#made.lines?.ids ?? new Uint8Array(this.view.traceWords().buffer);
  }

  repeatedRows(check?: () => void): readonly number[] {
    return this.#repeated.of(this.view, check);
  }

  async rowsOfTrace(trace: number): Promise<Uint32Array> {
    return orderRows(this.view, trace).rows;
  }

  async tracesOfRows(rows: Uint32Array): Promise<Uint32Array> {
    const of = this.view.field(ROW_TRACE);
    const traces = new Uint32Array(rows.length);
    for (let i = 0; i < rows.length; i++) traces[i] = of[rows[i]];
    return traces;
  }

  typesOf(space: Space, key: string): AttributeType[] {
    const keys = this.#keyMap();
    return TYPES.filter((type) => keys.has(`${space} ${key} ${type}`));
  }

  keys(space: Space): string[] {
    const names = new Set<string>();
    for (const head of this.#heads) if (head.space === SPACES[space]) names.add(this.view.string(head.key));
    return [...names];
  }

  /** A segment may have tens of thousands of keys, of which a trace has a few. */
  attributesOf(space: Space, range: RowRange): { key: string; column: Column }[] {
    const found: { key: string; column: Column }[] = [];
    for (const head of this.#heads) {
      if (head.space !== SPACES[space]) continue;
      const column = this.view.loadRange(head, range.from, range.to);
      if (column !== undefined)
        found.push({ key: this.view.string(head.key), column: this.#sparse(column, this.#rowsOf(space)) });
    }
    return found;
  }

  async column(want: Want, range?: RowRange): Promise<Column | undefined> {
    // One row may have a million of these: others do not pay for them.
    if (range !== undefined && want.of === 'rare' && want.field === 'more') {
      const head = this.#meta(META_REPEATED, TYPE_REPEATED);
      const column = head && this.view.loadRange(head, range.from, range.to);
      return column && this.#more(column, 0x4a, this.rows);
    }
    const key = JSON.stringify(want);
    const known = this.#columns.get(key);
    if (known !== undefined) return known;
    const column = this.#make(want);
    if (column !== undefined) this.#columns.set(key, column);
    return column;
  }

  async resources(): Promise<Uint8Array[]> {
    return this.#messages(this.view.resources());
  }

  async scopes(): Promise<Uint8Array[]> {
    return this.#messages(this.view.scopes());
  }

  async childRows(space: 'event' | 'link'): Promise<{ first: number; rows: Uint32Array } | undefined> {
    const rows = space === 'event' ? this.view.eventField(EVENT_ROW) : this.view.linkField(LINK_ROW);
    return rows.length === 0 ? undefined : { first: 0, rows };
  }

  async tree(
    check?: () => void,
  ): Promise<{ order: Uint32Array; parents: Int32Array; starts: Uint32Array; traces: Uint32Array }> {
    this.#made.order ??= orderRows(this.view, undefined, check);
    const { rows, parents, starts, traces } = this.#made.order;
    return { order: rows, parents, starts, traces };
  }

  #make(want: Want): Column | undefined {
    const { view } = this;
    switch (want.of) {
      case 'fixed':
        switch (want.field) {
          case 'span_id':
            return this.#fixed(ROW_SPAN_ID);
          case 'parent_span_id':
            return this.#parentIds();
          case 'name':
            return this.#coded(view.field(ROW_NAME));
          case 'start':
            return this.#dense('int', { words: this.#pairs(ROW_START) });
          case 'duration':
            return this.#dense('int', { words: this.#durations() });
          case 'kind':
            return this.#dense('int32', { ints: this.#bits(0, META_KIND) });
          case 'status':
            return this.#dense('int32', { ints: this.#bits(8, META_STATUS) });
          default:
            return undefined;
        }
      case 'resource':
        return this.#coded(view.field(ROW_RESOURCE));
      case 'scope':
        return this.#coded(view.field(ROW_SCOPE));
      case 'rare': {
        const head = this.#meta(RARE_META[want.field], want.field === 'more' ? TYPE_REPEATED : undefined);
        if (head === undefined) return undefined;
        return want.field === 'more'
          ? this.#more(view.load(head), 0x4a, this.rows)
          : this.#sparse(view.load(head), this.rows);
      }
      case 'attribute': {
        const head = this.#keyMap().get(`${want.space} ${want.key} ${want.type}`);
        if (head === undefined) return undefined;
        return this.#sparse(view.load(head), this.#rowsOf(want.space));
      }
      case 'child':
        return this.#child(want.space, want.field);
    }
  }

  #child(space: 'event' | 'link', field: string): Column | undefined {
    const { view } = this;
    const count = this.#rowsOf(space);
    if (count === 0) return undefined;
    if (field === 'more') {
      const head = this.#meta(META_REPEATED | (SPACES[space] << 8), TYPE_REPEATED);
      return head === undefined ? undefined : this.#more(this.view.load(head), space === 'event' ? 0x1a : 0x22, count);
    }
    const part = (values: Omit<Part, 'first' | 'rows' | 'count'>): Part[] => [
      { first: 0, rows: count, count, ...values },
    ];
    if (space === 'event') {
      if (field === 'time')
        return {
          kind: 'int',
          parts: part({ words: join(view.eventField(EVENT_TIME), view.eventField(EVENT_TIME + 1)) }),
        };
      if (field === 'name')
        return { kind: 'string', parts: part({ codes: view.eventField(EVENT_NAME) }), dictionary: this.#dictionary };
      if (field === 'dropped') return { kind: 'int', parts: part({ words: widen(view.eventField(EVENT_DROPPED)) }) };
      return undefined;
    }
    switch (field) {
      case 'trace_id':
        return this.#linkIds(LINK_TRACE_ID, 4, count);
      case 'span_id':
        return this.#linkIds(LINK_SPAN_ID, 2, count);
      case 'trace_state':
        return {
          kind: 'string',
          parts: part({ codes: view.linkField(LINK_TRACE_STATE) }),
          dictionary: this.#dictionary,
        };
      case 'flags':
        return { kind: 'int', parts: part({ words: widen(view.linkField(LINK_FLAGS)) }) };
      case 'dropped':
        return { kind: 'int', parts: part({ words: widen(view.linkField(LINK_DROPPED)) }) };
      default:
        return undefined;
    }
  }

  /** KeyValues of keys that a row has twice: one byte string a row, each with the tag of the attributes field before it. */
  #more({ rows: of, values }: LiveColumn, tag: number, rows: number): Column {
    const pieces: Uint8Array[] = [];
    const at: number[] = [];
    const ends: number[] = [0];
    let length = 0;
    for (let i = 0; i < of.length; i++) {
      const piece = lengthDelimited(tag, this.view.stringBytes(values[i]));
      pieces.push(piece);
      length += piece.length;
      if (at.length === 0 || at[at.length - 1] !== of[i]) {
        at.push(of[i]);
        ends.push(length);
      } else ends[ends.length - 1] = length;
    }
    const dictionary: Dictionary = {
      count: at.length,
      bytes: Buffer.concat(pieces, length),
      start: (code) => ends[code],
      end: (code) => ends[code + 1],
    };
    const codes = Uint32Array.from(at, (_, index) => index);
    return {
      kind: 'any',
      parts: [{ first: 0, rows, count: at.length, at: Uint32Array.from(at), codes }],
      dictionary,
    };
  }

  #linkIds(field: number, words: number, count: number): Column {
    const ids = new Uint32Array(words * count);
    for (let word = 0; word < words; word++) {
      const values = this.view.linkField(field + word);
      for (let link = 0; link < count; link++) ids[words * link + word] = values[link];
    }
    const width = 4 * words;
    const codes = new Uint32Array(count);
    for (let link = 0; link < count; link++) codes[link] = link;
    const dictionary: Dictionary = {
      count,
      bytes: new Uint8Array(ids.buffer),
      start: (code) => width * code,
      end: (code) => width * code + width,
    };
    return { kind: 'any', parts: [{ first: 0, rows: count, count, codes }], dictionary };
  }

  #sparse(column: LiveColumn, rows: number): Column {
    const count = column.rows.length;
    const at = count === rows ? undefined : column.rows;
    const part: Part = { first: 0, rows, count, ...(at && { at }) };
    const words = (): ArrayBuffer => column.values.slice().buffer;
    switch (column.type) {
      case TYPE_STRING:
      case TYPE_ANY:
      case TYPE_REPEATED:
        part.codes = column.values;
        if (column.type === TYPE_REPEATED) part.at = column.rows;
        return { kind: column.type === TYPE_STRING ? 'string' : 'any', parts: [part], dictionary: this.#dictionary };
      case TYPE_BOOL:
        part.bits = Uint8Array.from(column.values);
        return { kind: 'bool', parts: [part] };
      case TYPE_INT:
        part.words = new Int32Array(words());
        return { kind: 'int', parts: [part] };
      case TYPE_DOUBLE:
        part.doubles = new Float64Array(words());
        return { kind: 'double', parts: [part] };
    }
  }

  #fixed(field: number): Column {
    const words = this.#pairs(field);
    return this.#dense('fixed', { bytes: new Uint8Array(words.buffer) });
  }

  #parentIds(): Column | undefined {
    const low = this.view.field(ROW_PARENT_ID);
    const high = this.view.field(ROW_PARENT_ID + 1);
    const present = new Uint8Array(this.rows);
    let count = 0;
    for (let row = 0; row < this.rows; row++) if ((low[row] | high[row]) !== 0) count += present[row] = 1;
    const words = new Uint32Array(2 * count);
    for (let row = 0, at = 0; row < this.rows; row++)
      if (present[row] === 1) {
        words[at++] = low[row];
        words[at++] = high[row];
      }
    return {
      kind: 'fixed',
      parts: [{ first: 0, rows: this.rows, count, present, bytes: new Uint8Array(words.buffer) }],
    };
  }

  #coded(codes: Uint32Array): Column {
    return {
      kind: 'string',
      parts: [{ first: 0, rows: this.rows, count: this.rows, codes }],
      dictionary: this.#dictionary,
    };
  }

  #dense(kind: Column['kind'], values: Omit<Part, 'first' | 'rows' | 'count'>): Column {
    return { kind, parts: [{ first: 0, rows: this.rows, count: this.rows, ...values }] };
  }

  #pairs(field: number): Int32Array {
    return join(this.view.field(field), this.view.field(field + 1));
  }

  #durations(): Int32Array {
    const startLow = this.view.field(ROW_START);
    const startHigh = this.view.field(ROW_START + 1);
    const endLow = this.view.field(ROW_END);
    const endHigh = this.view.field(ROW_END + 1);
    const words = new Int32Array(2 * this.rows);
    for (let row = 0; row < this.rows; row++) {
      const low = endLow[row] - startLow[row];
      words[2 * row] = low;
      words[2 * row + 1] = endHigh[row] - startHigh[row] - (low < 0 ? 1 : 0);
    }
    return words;
  }

  #bits(shift: number, meta: number): Int32Array {
    const bits = this.view.field(ROW_BITS);
    const ints = new Int32Array(this.rows);
    for (let row = 0; row < this.rows; row++) ints[row] = (bits[row] >>> shift) & 0xff;
    const head = this.#meta(meta);
    if (head !== undefined) {
      const wide = this.view.load(head);
      for (let i = 0; i < wide.rows.length; i++) ints[wide.rows[i]] = wide.values[2 * i];
    }
    return ints;
  }

  #meta(key: number, type?: number): Head | undefined {
    return this.#heads.find(
      (head) => head.space === SPACE_META && head.key === key && (type === undefined || head.type === type),
    );
  }

  #rowsOf(space: Space): number {
    const { snapshot } = this.view;
    return space === 'span' ? snapshot.rows : space === 'event' ? snapshot.events : snapshot.links;
  }

  #keyMap(): Map<string, Head> {
    if (this.#keys === undefined) {
      this.#keys = new Map();
      const names: Space[] = ['span', 'event', 'link'];
      for (const head of this.#heads)
        if (head.space !== SPACE_META)
          this.#keys.set(`${names[head.space]} ${this.view.string(head.key)} ${TYPES[head.type]}`, head);
    }
    return this.#keys;
  }

  #messages(pairs: Uint32Array): Uint8Array[] {
    const messages: Uint8Array[] = [];
    for (let index = 0; index < pairs.length; index += 2)
      messages.push(wrapMessage(this.view.stringBytes(pairs[index]), this.view.stringBytes(pairs[index + 1])));
    return messages;
  }

  #makeLines(check: () => void = () => {}): TraceLines {
    const { view, rows } = this;
    const traces = view.snapshot.traces;
    const lines = emptyLines(new Uint8Array(view.traceWords().buffer), new Uint32Array(traces + 1));
    lines.startLow.fill(0xffffffff);
    lines.startHigh.fill(0xffffffff);
    const number = numbering(lines.strings);
    const serviceOf = this.#messages(view.resources()).map((message) => number(serviceName(message)));
    const traceOf = view.field(ROW_TRACE);
    const startLow = view.field(ROW_START);
    const startHigh = view.field(ROW_START + 1);
    const endLow = view.field(ROW_END);
    const endHigh = view.field(ROW_END + 1);
    const parentLow = view.field(ROW_PARENT_ID);
    const parentHigh = view.field(ROW_PARENT_ID + 1);
    const resourceOf = view.field(ROW_RESOURCE);
    const status = this.#bits(8, META_STATUS);
    const rootRow = new Int32Array(traces).fill(-1);
    // Stats are chained by trace while rows come in any order, and read off trace by trace afterwards.
    const firstStat = new Int32Array(traces).fill(-1);
    let next = new Int32Array(4 * traces + 16);
    let service = new Uint32Array(next.length);
    let spans = new Uint32Array(next.length);
    let errors = new Uint32Array(next.length);
    let stats = 0;
    const repeated = this.repeatedRows(check);
    for (let row = 0, skip = 0; row < rows; row++) {
      if (row % CHECK_EVERY === 0) check();
      if (repeated[skip] === row) {
        skip++;
        continue;
      }
      const trace = traceOf[row];
      if (
        startHigh[row] < lines.startHigh[trace] ||
        (startHigh[row] === lines.startHigh[trace] && startLow[row] < lines.startLow[trace])
      ) {
        lines.startLow[trace] = startLow[row];
        lines.startHigh[trace] = startHigh[row];
      }
      if (
        endHigh[row] > lines.endHigh[trace] ||
        (endHigh[row] === lines.endHigh[trace] && endLow[row] > lines.endLow[trace])
      ) {
        lines.endLow[trace] = endLow[row];
        lines.endHigh[trace] = endHigh[row];
      }
      if ((parentLow[row] | parentHigh[row]) === 0) {
        const root = rootRow[trace];
        if (
          root < 0 ||
          startHigh[row] > startHigh[root] ||
          (startHigh[row] === startHigh[root] && startLow[row] >= startLow[root])
        )
          rootRow[trace] = row;
      }
      const of = serviceOf[resourceOf[row]];
      let stat = firstStat[trace];
      while (stat >= 0 && service[stat] !== of) stat = next[stat];
      if (stat < 0) {
        if (stats === next.length) {
          next = grow(next, new Int32Array(2 * stats));
          service = grow(service, new Uint32Array(2 * stats));
          spans = grow(spans, new Uint32Array(2 * stats));
          errors = grow(errors, new Uint32Array(2 * stats));
        }
        stat = stats++;
        service[stat] = of;
        next[stat] = firstStat[trace];
        firstStat[trace] = stat;
      }
      spans[stat]++;
      if (status[row] === 2) errors[stat]++;
    }
    lines.statService = new Uint32Array(stats);
    lines.statSpans = new Uint32Array(stats);
    lines.statErrors = new Uint32Array(stats);
    const names = view.field(ROW_NAME);
    for (let trace = 0, filled = 0; trace < traces; trace++) {
      for (let stat = firstStat[trace]; stat >= 0; stat = next[stat]) {
        lines.statService[filled] = service[stat];
        lines.statSpans[filled] = spans[stat];
        lines.statErrors[filled++] = errors[stat];
      }
      lines.firstStat[trace + 1] = filled;
      const root = rootRow[trace];
      if (root >= 0) {
        lines.rootService[trace] = serviceOf[resourceOf[root]];
        lines.rootName[trace] = number(view.string(names[root]));
      }
    }
    return lines;
  }
}

function grow<A extends Int32Array | Uint32Array>(from: A, into: A): A {
  into.set(from);
  return into;
}

function join(low: Uint32Array, high: Uint32Array): Int32Array<ArrayBuffer> {
  const words = new Int32Array(2 * low.length);
  for (let i = 0; i < low.length; i++) {
    words[2 * i] = low[i];
    words[2 * i + 1] = high[i];
  }
  return words;
}

function widen(values: Uint32Array): Int32Array {
  const words = new Int32Array(2 * values.length);
  for (let i = 0; i < values.length; i++) words[2 * i] = values[i];
  return words;
}
