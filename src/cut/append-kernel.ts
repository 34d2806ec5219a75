/**
 * The inner part of receiving as a WebAssembly module: fields, attributes and strings of spans go from the bytes of a request to
 * the columns of a live segment (layout.ts) without a call, a bound or a look at an array's kind for each of them (append went from
 * 1.04 to 0.5 µs a span). What is not written as exporters write it is left to the host (append.ts), field by field and
 * attribute by attribute; so is everything that needs more room in the segment.
 *
 * It works on two memories: the tables, which are the writer's own (append-tables.ts), and the segment, which other threads read.
 * The part of the request that is read has been copied to the window of the tables. There is room to read past its end.
 */
import {
  AT_CAPACITY,
  AT_END,
  AT_FOUND,
  AT_ID,
  AT_INTERNED,
  AT_KIND,
  AT_NAME,
  AT_NAME_LENGTH,
  AT_PARENT,
  AT_RECORD,
  AT_SEED,
  AT_START,
  AT_STATUS,
  AT_STRAIGHT_MAX,
  AT_STRING_ENTRY,
  AT_STRING_MASK,
  AT_STRING_TABLE,
  AT_STRINGS,
  AT_USED,
  BATCH,
  FIRST_RECORD,
  RECENT,
  RECENT_MASK,
  RECORD_BYTES,
  RECORD_FRESH,
  RECORD_KEY,
  RECORD_KEY_TAG,
  RECORD_KIND,
  RECORD_LAST_ROW,
  RECORD_MEMBER,
  RECORD_NEXT,
  RECORD_NEXT_BUT_ONE,
  RECORD_ROW,
  RECORD_ROWS_END,
  RECORD_SEEN,
  RECORD_VALUE,
} from './append-tables.ts';
import {
  ROW_BITS,
  ROW_END,
  ROW_NAME,
  ROW_PARENT_ID,
  ROW_RESOURCE,
  ROW_SPAN_ID,
  ROW_START,
  ROW_STRIDE,
  ROW_TRACE,
  SPACE_SPAN,
  STRING_CHUNK,
  type Space,
  TYPE_DOUBLE,
  TYPE_INT,
  TYPE_STRING,
} from './layout.ts';
import {
  add,
  and,
  assemble,
  atLeastU,
  block,
  branch,
  branchIf,
  type Code,
  call,
  choose,
  compile,
  equal,
  type FunctionSource,
  get,
  greaterU,
  instantiate,
  isZero64,
  leave,
  lessU,
  load,
  load16,
  load64,
  load8,
  loop,
  multiply,
  not,
  or,
  set,
  shiftLeft,
  shiftLeft64,
  shiftRightU,
  shiftRightU64,
  store,
  store64,
  store8,
  subtract,
  tee,
  unequal,
  unequal64,
  type WasmMemory,
  when,
  widenU,
  xor,
  xor64,
} from './wasm.ts';

const TABLES = 0;
const SEGMENT = 1;

/** Strings of a column after which it is decided, again and again, whether looking them up pays. */
export const SAMPLE = 2048;
/** In RECORD_SEEN: it does not. */
export const DISTINCT = -1;

/** What the kernel asks of its host. Places in the request are places in the window. */
export interface Host {
  /** Adds a string when the segment or a chunk is full; returns its code, its address is at AT_FOUND. */
  addString(at: number, length: number): number;
  growStrings(): void;
  /** Makes room for another entry of a column. */
  addEntries(record: number, width: number): void;
  /** Appends the attribute whose tag is at `at`; returns where it ends. */
  attribute(space: Space, row: number, at: number, end: number): number;
  /** Reads the span's field whose tag is at `at`; returns where it ends. */
  field(row: number, at: number, end: number): number;
  /** A column had SAMPLE more strings. */
  decide(record: number): void;
  /** A kind or status code does not fit into a byte. */
  wide(row: number): void;
  /** Errors of the request; they throw. */
  overrun(at: number): void;
  withoutId(): void;
}

export interface Kernel {
  spans(count: number, row: number, resource: number): void;
  attributes(space: Space, row: number, at: number, end: number, tag: number): number;
  finish(entry: number, row: number, resource: number, name: number): void;
}

/** A kernel for one segment. */
export function newKernel(tables: WasmMemory, segment: WasmMemory, host: Host): Kernel {
  return instantiate(module, { memory: { tables, segment }, host }) as Kernel;
}

const bytesAt = (words: Code): Code => shiftLeft(words, 2);
const increment = (name: string, by: Code): Code => set(name, add(get(name), by));

/** same(a, b, length): whether the bytes at `a` of the tables are those at `b` of the segment. May read seven bytes past the end. */
const same: FunctionSource = {
  name: 'same',
  parameters: ['a', 'b', 'length'],
  returns: true,
  body: [
    loop(
      'words',
      when(
        atLeastU(get('length'), 8),
        when(unequal64(load64(TABLES, get('a')), load64(SEGMENT, get('b'))), leave(0)),
        increment('a', 8),
        increment('b', 8),
        increment('length', -8),
        branch('words'),
      ),
    ),
    when(not(get('length')), leave(1)),
    isZero64(
      shiftLeft64(
        xor64(load64(TABLES, get('a')), load64(SEGMENT, get('b'))),
        widenU(subtract(64, shiftLeft(get('length'), 3))),
      ),
    ),
  ],
};

const told = (offset: number): Code => load(TABLES, 0, offset);
const tell = (offset: number, value: Code): Code => store(TABLES, 0, value, offset);

/** addString(at, length): as SegmentStrings.add does. */
const addString: FunctionSource = {
  name: 'addString',
  parameters: ['at', 'length'],
  returns: true,
  locals: ['code', 'string', 'end'],
  body: [
    set('code', told(AT_STRINGS)),
    set('string', told(AT_USED)),
    set('end', add(get('string'), add(2, shiftRightU(add(get('length'), 3), 2)))),
    when(
      or(greaterU(get('end'), told(AT_CAPACITY)), not(and(get('code'), STRING_CHUNK - 1))),
      leave(call('hostAddString', get('at'), get('length'))),
    ),
    tell(AT_USED, get('end')),
    tell(AT_FOUND, get('string')),
    tell(AT_STRINGS, add(get('code'), 1)),
    store(SEGMENT, bytesAt(told(AT_STRING_ENTRY)), get('string')),
    tell(AT_STRING_ENTRY, add(told(AT_STRING_ENTRY), 1)),
    set('string', bytesAt(get('string'))),
    store(SEGMENT, get('string'), get('code')),
    store(SEGMENT, get('string'), get('length'), 4),
    loop(
      'words',
      when(
        atLeastU(get('length'), 8),
        store64(SEGMENT, get('string'), load64(TABLES, get('at')), 8),
        increment('at', 8),
        increment('string', 8),
        increment('length', -8),
        branch('words'),
      ),
    ),
    when(
      get('length'),
      // What is behind the string is not in use yet and zero, as what is written over it.
      set('length', subtract(64, shiftLeft(get('length'), 3))),
      store64(
        SEGMENT,
        get('string'),
        shiftRightU64(shiftLeft64(load64(TABLES, get('at')), widenU(get('length'))), widenU(get('length'))),
        8,
      ),
    ),
    get('code'),
  ],
};

const mixInto = (hash: string, word: Code): Code => [
  set(hash, multiply(xor(get(hash), word), 0x9e3779b1 | 0)),
  set(hash, xor(get(hash), shiftRightU(get(hash), 15))),
];

/** intern(at, length, record): as SegmentStrings.intern does; counts in the column's record when the string is new. */
const intern: FunctionSource = {
  name: 'intern',
  parameters: ['at', 'length', 'record'],
  returns: true,
  locals: ['hash', 'from', 'rest', 'slot', 'string', 'code'],
  body: [
    // hashBytes of hash.ts
    set('hash', xor(told(AT_SEED), multiply(get('length'), 0x85ebca6b | 0))),
    set('from', get('at')),
    set('rest', get('length')),
    loop(
      'words',
      when(
        atLeastU(get('rest'), 4),
        mixInto('hash', load(TABLES, get('from'))),
        increment('from', 4),
        increment('rest', -4),
        branch('words'),
      ),
    ),
    when(
      get('rest'),
      mixInto('hash', and(load(TABLES, get('from')), subtract(shiftLeft(1, shiftLeft(get('rest'), 3)), 1))),
    ),
    set('hash', multiply(xor(get('hash'), shiftRightU(get('hash'), 13)), 0xc2b2ae35 | 0)),
    set('hash', xor(get('hash'), shiftRightU(get('hash'), 16))),
    set('slot', get('hash')),
    loop(
      'probe',
      set('from', add(told(AT_STRING_TABLE), shiftLeft(and(get('slot'), told(AT_STRING_MASK)), 3))),
      when(
        tee('string', load(TABLES, get('from'), 4)),
        when(
          equal(load(TABLES, get('from')), get('hash')),
          set('rest', bytesAt(get('string'))),
          when(
            equal(load(SEGMENT, get('rest'), 4), get('length')),
            when(
              call('same', get('at'), add(get('rest'), 8), get('length')),
              tell(AT_FOUND, get('string')),
              leave(load(SEGMENT, get('rest'))),
            ),
          ),
        ),
        increment('slot', 1),
        branch('probe'),
      ),
    ),
    set('code', call('addString', get('at'), get('length'))),
    store(TABLES, get('from'), get('hash')),
    store(TABLES, get('from'), told(AT_FOUND), 4),
    store(TABLES, get('record'), add(load(TABLES, get('record'), RECORD_FRESH), 1), RECORD_FRESH),
    tell(AT_INTERNED, add(told(AT_INTERNED), 1)),
    when(greaterU(shiftLeft(told(AT_INTERNED), 1), told(AT_STRING_MASK)), call('growStrings')),
    get('code'),
  ],
};

/**
 * recent(at, length, record): `intern` for strings that often come again. A small table by length, first and last bytes
 * answers without hashing all of the string.
 */
const recent: FunctionSource = {
  name: 'recent',
  parameters: ['at', 'length', 'record'],
  returns: true,
  locals: ['first', 'slot', 'string'],
  body: [
    when(lessU(get('length'), 4), leave(call('intern', get('at'), get('length'), get('record')))),
    set('first', load(TABLES, get('at'))),
    set(
      'slot',
      multiply(
        xor(
          xor(get('first'), multiply(load(TABLES, subtract(add(get('at'), get('length')), 4)), 0x85ebca6b | 0)),
          get('length'),
        ),
        0x9e3779b1 | 0,
      ),
    ),
    set('slot', bytesAt(and(xor(get('slot'), shiftRightU(get('slot'), 15)), RECENT_MASK))),
    when(
      tee('string', bytesAt(load(TABLES, get('slot'), RECENT))),
      when(
        equal(load(SEGMENT, get('string'), 4), get('length')),
        when(
          equal(load(SEGMENT, get('string'), 8), get('first')),
          when(call('same', get('at'), add(get('string'), 8), get('length')), leave(load(SEGMENT, get('string')))),
        ),
      ),
    ),
    set('string', call('intern', get('at'), get('length'), get('record'))),
    store(TABLES, get('slot'), told(AT_FOUND), RECENT),
    get('string'),
  ],
};

/** Goes on at `otherwise` unless the record in `candidate` is that of the key and type of the attribute. */
const matching = (otherwise: string): Code => [
  branchIf(unequal(load(TABLES, get('candidate'), RECORD_KEY_TAG), get('key')), otherwise),
  branchIf(
    unequal(
      and(get('head'), 0xffffff),
      or(load(TABLES, get('candidate'), RECORD_MEMBER), shiftLeft(subtract(subtract(get('to'), get('value')), 2), 8)),
    ),
    otherwise,
  ),
  branchIf(
    not(
      call(
        'same',
        add(get('from'), 2),
        bytesAt(load(TABLES, get('candidate'), RECORD_KEY)),
        shiftRightU(get('key'), 8),
      ),
    ),
    otherwise,
  ),
];

/** Writes the row of the next entry, and `value` is where its value goes. */
const appendRow = (width: number): Code => [
  set('entry', load(TABLES, get('candidate'), RECORD_ROW)),
  when(
    equal(get('entry'), load(TABLES, get('candidate'), RECORD_ROWS_END)),
    call('addEntries', get('candidate'), width),
    set('entry', load(TABLES, get('candidate'), RECORD_ROW)),
  ),
  store(SEGMENT, bytesAt(get('entry')), get('row')),
  store(TABLES, get('candidate'), add(get('entry'), 1), RECORD_ROW),
  store(TABLES, get('candidate'), add(get('row'), 1), RECORD_LAST_ROW),
  set('entry', load(TABLES, get('candidate'), RECORD_VALUE)),
  store(TABLES, get('candidate'), add(get('entry'), width), RECORD_VALUE),
  set('entry', bytesAt(get('entry'))),
];

/** One more byte of the varint in `number`, when there is one: `value` is where it would stand. */
const moreVarint = (mask: number, shift: number, ...then: Code[]): Code =>
  when(
    greaterU(get('number'), mask),
    set('number', or(and(get('number'), mask), shiftLeft(load8(TABLES, get('value')), shift))),
    increment('value', 1),
    ...then,
  );

/**
 * attributes(space, row, at, end, tag): appends the KeyValues that stand one behind the other from `at` on, each under `tag`, and
 * returns where the first byte behind them is.
 */
const attributes: FunctionSource = {
  name: 'attributes',
  parameters: ['space', 'row', 'at', 'end', 'tag'],
  returns: true,
  locals: ['record', 'candidate', 'from', 'to', 'key', 'value', 'head', 'entry', 'number', 'type'],
  body: [
    set('record', load(TABLES, 0, AT_RECORD)),
    loop(
      'attribute',
      block(
        'appended',
        block(
          'odd',
          set('from', add(get('at'), 2)),
          set('to', add(get('from'), load8(TABLES, get('at'), 1))),
          branchIf(greaterU(subtract(get('to'), get('from')), 127), 'odd'),
          branchIf(greaterU(get('to'), get('end')), 'odd'),
          set('key', load16(TABLES, get('from'))),
          set('value', add(add(get('from'), 2), shiftRightU(get('key'), 8))),
          set('head', load(TABLES, get('value'))),
          set('candidate', load(TABLES, get('record'), RECORD_NEXT)),
          block(
            'matched',
            block('second', matching('second'), branch('matched')),
            set('candidate', load(TABLES, get('record'), RECORD_NEXT_BUT_ONE)),
            matching('odd'),
            store(TABLES, get('record'), load(TABLES, get('record'), RECORD_NEXT), RECORD_NEXT_BUT_ONE),
            store(TABLES, get('record'), get('candidate'), RECORD_NEXT),
          ),
          branchIf(equal(load(TABLES, get('candidate'), RECORD_LAST_ROW), add(get('row'), 1)), 'odd'),
          set('number', shiftRightU(get('head'), 24)),
          set('value', add(get('value'), 4)),
          set('type', shiftRightU(load(TABLES, get('candidate'), RECORD_KIND), 8)),
          choose(
            equal(get('type'), TYPE_STRING),
            [
              branchIf(unequal(add(get('value'), get('number')), get('to')), 'odd'),
              branchIf(greaterU(get('number'), load(TABLES, 0, AT_STRAIGHT_MAX)), 'odd'),
              choose(
                equal(tee('type', load(TABLES, get('candidate'), RECORD_SEEN)), DISTINCT),
                [set('number', call('addString', get('value'), get('number')))],
                [
                  set('number', call('recent', get('value'), get('number'), get('candidate'))),
                  store(TABLES, get('candidate'), tee('type', add(get('type'), 1)), RECORD_SEEN),
                  when(not(and(get('type'), SAMPLE - 1)), call('decide', get('candidate'))),
                ],
              ),
              appendRow(1),
              store(SEGMENT, get('entry'), get('number')),
            ],
            [
              choose(
                equal(get('type'), TYPE_INT),
                [
                  moreVarint(0x7f, 7, moreVarint(0x3fff, 14, moreVarint(0x1fffff, 21))),
                  branchIf(greaterU(get('number'), 0xfffffff), 'odd'),
                  branchIf(unequal(get('value'), get('to')), 'odd'),
                  appendRow(2),
                  store(SEGMENT, get('entry'), get('number')),
                  store(SEGMENT, get('entry'), 0, 4),
                ],
                [
                  choose(
                    equal(get('type'), TYPE_DOUBLE),
                    [
                      branchIf(unequal(add(get('value'), 7), get('to')), 'odd'),
                      appendRow(2),
                      store64(SEGMENT, get('entry'), load64(TABLES, subtract(get('value'), 1))),
                    ],
                    [
                      branchIf(greaterU(get('number'), 1), 'odd'),
                      branchIf(unequal(get('value'), get('to')), 'odd'),
                      appendRow(1),
                      store(SEGMENT, get('entry'), get('number')),
                    ],
                  ),
                ],
              ),
            ],
          ),
          set('record', get('candidate')),
          branch('appended'),
        ),
        store(TABLES, 0, get('record'), AT_RECORD),
        set('to', call('attribute', get('space'), get('row'), get('at'), get('end'))),
        set('record', load(TABLES, 0, AT_RECORD)),
      ),
      set('at', get('to')),
      when(lessU(get('at'), get('end')), branchIf(equal(load8(TABLES, get('at')), get('tag')), 'attribute')),
    ),
    store(TABLES, 0, get('record'), AT_RECORD),
    get('at'),
  ],
};

const TRACE_ID_TAG = 0x100a;
const SPAN_ID_TAG = 0x0812;
const PARENT_ID_TAG = 0x0822;

const tagIs = (tag: number): Code => equal(load8(TABLES, get('at')), tag);
const copy64 = (to: number, offset: number): Code => store64(TABLES, 0, load64(TABLES, get('at'), offset), to);
/** A word of the span's row. */
const field = (index: number, value: Code): Code => store(SEGMENT, get('address'), value, 4 * index * ROW_STRIDE);

/** finish(entry, row, resource, name): writes the row of the span that was read, which is `entry` of the batch. */
const finish: FunctionSource = {
  name: 'finish',
  parameters: ['entry', 'row', 'resource', 'name'],
  returns: false,
  locals: ['address'],
  body: [
    when(isZero64(load64(TABLES, 0, AT_ID)), call('withoutId')),
    when(or(greaterU(told(AT_KIND), 254), greaterU(told(AT_STATUS), 254)), call('wide', get('row'))),
    set('address', bytesAt(load(TABLES, get('entry'), 12))),
    field(ROW_TRACE, load(TABLES, get('entry'), 8)),
    field(ROW_SPAN_ID, told(AT_ID)),
    field(ROW_SPAN_ID + 1, told(AT_ID + 4)),
    field(ROW_PARENT_ID, told(AT_PARENT)),
    field(ROW_PARENT_ID + 1, told(AT_PARENT + 4)),
    field(ROW_START, told(AT_START)),
    field(ROW_START + 1, told(AT_START + 4)),
    field(ROW_END, told(AT_END)),
    field(ROW_END + 1, told(AT_END + 4)),
    field(ROW_RESOURCE, get('resource')),
    field(ROW_NAME, get('name')),
    field(ROW_BITS, or(told(AT_KIND), shiftLeft(told(AT_STATUS), 8))),
  ],
};

/** spans(count, row, resource): appends the spans of the batch to rows from `row` on; the host fills in their scope. */
const spans: FunctionSource = {
  name: 'spans',
  parameters: ['count', 'row', 'resource'],
  returns: false,
  locals: ['entry', 'at', 'end', 'before'],
  body: [
    set('entry', BATCH),
    loop(
      'span',
      set('at', load(TABLES, get('entry'))),
      set('end', load(TABLES, get('entry'), 4)),
      // No tag: what stands behind the span was read when the batch was made.
      store8(TABLES, get('end'), 0),
      ...[AT_ID, AT_PARENT, AT_START, AT_END, AT_NAME, AT_KIND].map((at) => store64(TABLES, 0, widenU(0), at)),
      tell(AT_RECORD, FIRST_RECORD + SPACE_SPAN * RECORD_BYTES),
      loop(
        'fields',
        set('before', get('at')),
        when(equal(load16(TABLES, get('at')), TRACE_ID_TAG), increment('at', 18)),
        when(equal(load16(TABLES, get('at')), SPAN_ID_TAG), copy64(AT_ID, 2), increment('at', 10)),
        when(equal(load16(TABLES, get('at')), PARENT_ID_TAG), copy64(AT_PARENT, 2), increment('at', 10)),
        when(
          tagIs(0x2a),
          when(
            lessU(load8(TABLES, get('at'), 1), 128),
            store(TABLES, 0, add(get('at'), 2), AT_NAME),
            store(TABLES, 0, load8(TABLES, get('at'), 1), AT_NAME_LENGTH),
            increment('at', add(2, told(AT_NAME_LENGTH))),
          ),
        ),
        when(
          tagIs(0x30),
          when(
            lessU(load8(TABLES, get('at'), 1), 128),
            store(TABLES, 0, load8(TABLES, get('at'), 1), AT_KIND),
            increment('at', 2),
          ),
        ),
        when(tagIs(0x39), copy64(AT_START, 1), increment('at', 9)),
        when(tagIs(0x41), copy64(AT_END, 1), increment('at', 9)),
        when(
          tagIs(0x4a),
          when(
            lessU(get('at'), get('end')),
            set('at', call('attributes', SPACE_SPAN, get('row'), get('at'), get('end'), 0x4a)),
          ),
        ),
        when(equal(get('at'), get('before')), set('at', call('field', get('row'), get('at'), get('end')))),
        branchIf(lessU(get('at'), get('end')), 'fields'),
      ),
      when(unequal(get('at'), get('end')), call('overrun', get('end'))),
      call('finish', get('entry'), get('row'), get('resource'), call('recent', told(AT_NAME), told(AT_NAME_LENGTH), 0)),
      increment('row', 1),
      increment('entry', 16),
      increment('count', -1),
      branchIf(get('count'), 'span'),
    ),
  ],
};

const module = compile(
  assemble({
    memories: [{ name: 'tables' }, { name: 'segment', sharedPagesMax: 65536 }],
    imports: [
      { name: 'hostAddString', field: 'addString', parameters: 2, returns: true },
      { name: 'growStrings', parameters: 0, returns: false },
      { name: 'addEntries', parameters: 2, returns: false },
      { name: 'attribute', parameters: 4, returns: true },
      { name: 'field', parameters: 3, returns: true },
      { name: 'decide', parameters: 1, returns: false },
      { name: 'wide', parameters: 1, returns: false },
      { name: 'overrun', parameters: 1, returns: false },
      { name: 'withoutId', parameters: 0, returns: false },
    ],
    functions: [same, addString, intern, recent, attributes, finish, spans],
  }),
);
