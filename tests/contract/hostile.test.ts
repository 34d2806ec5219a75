/** Requests that are refused, and what they leave behind: nothing. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import fc from '../property.ts';
import {
  type Attribute,
  bytesField,
  encodeRequest,
  type Field,
  fixed32Field,
  fixed64Field,
  requestOf,
  shuffled,
  stringField,
  type Value,
  varintField,
} from '../../src/cut/otlp.fixture.ts';
import { VivaceError } from '../../src/runtime/errors.ts';
import { anyRequest } from './otlp-arbitrary.fixture.ts';
import { openDuckdb } from './foreign-readers.fixture.ts';
import {
  blockOf,
  cut,
  dump,
  flatten,
  int,
  linesOf,
  liveOf,
  merged,
  read,
  str,
  TestColumns,
  unflatten,
} from './segments.fixture.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const RUNS = Number(process.env['VIVACE_PROPERTY_RUNS'] ?? 150);

const message = (...fields: Field[]): Uint8Array => Buffer.concat(fields.map((field) => field.bytes));
const bytes = (hex: string): Uint8Array => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const ids = [bytesField(1, bytes(TRACE)), bytesField(2, bytes(SPAN))];
const inScope = (scopeSpans: Uint8Array): Uint8Array => message(bytesField(1, message(bytesField(2, scopeSpans))));
const inSpan = (...fields: Field[]): Uint8Array => inScope(message(bytesField(2, message(...ids, ...fields))));
const spanOf = (...fields: Field[]): Uint8Array => inScope(message(bytesField(2, message(...fields))));
const withResource = (resource: Uint8Array): Uint8Array =>
  message(bytesField(1, message(bytesField(1, resource), bytesField(2, message(bytesField(2, message(...ids)))))));
const inValue = (value: Uint8Array): Uint8Array =>
  inSpan(bytesField(9, message(stringField(1, 'k'), bytesField(2, value))));
const nested = (depth: number): Uint8Array => {
  let value: Uint8Array = varintField(3, 1n).bytes;
  for (let level = 0; level < depth; level++) value = bytesField(5, bytesField(1, value).bytes).bytes;
  return value;
};
const nestedMaps = (depth: number): Uint8Array => {
  let value: Uint8Array = varintField(3, 1n).bytes;
  for (let level = 0; level < depth; level++)
    value = bytesField(6, bytesField(1, message(stringField(1, 'k'), bytesField(2, value))).bytes).bytes;
  return value;
};
/** A field of a known number with a wire type that it cannot have. */
const wrong = (number: number, wire: number): Field => ({
  number,
  bytes: Buffer.from([number * 8 + wire, 0, 0, 0, 0, 0, 0, 0, 0]),
});
const group = (number: number, ...inner: Field[]): Field => ({
  number,
  bytes: Buffer.concat([tag(number, 3), message(...inner), tag(number, 4)]),
});
const tag = (number: number, wire: number): Uint8Array => {
  const value = number * 8 + wire;
  return value < 128 ? Buffer.from([value]) : Buffer.from([(value & 127) | 128, value >>> 7]);
};

const REFUSED: [what: string, body: Uint8Array, code: 'undecodable' | 'invalid'][] = [
  ['a tag that ends', bytes('0a'), 'undecodable'],
  ['a length that ends', bytes('0a ff'), 'undecodable'],
  ['a message that ends', bytes('0a 05 12 00'), 'undecodable'],
  ['a length beyond 2^31', bytes('0a ff ff ff ff 0f 00'), 'undecodable'],
  ['a length beyond 2^63', bytes('0a ff ff ff ff ff ff ff ff ff 01'), 'undecodable'],
  ['a varint of eleven bytes', bytes('0a 80 80 80 80 80 80 80 80 80 80 00'), 'undecodable'],
  ['field number 0', bytes('02 00'), 'undecodable'],
  ['wire type 6', bytes('0e 00'), 'undecodable'],
  ['wire type 7', bytes('0f 00'), 'undecodable'],
  ['the end of a group that never began', bytes('0c'), 'undecodable'],
  ['a group that never ends', bytes('1b 08 01'), 'undecodable'],
  ['a group that ends as another', bytes('1b 08 01 24'), 'undecodable'],
  ['groups nested deeper than anybody needs', Buffer.alloc(1000, 0x1b), 'undecodable'],
  ['text instead of a message', Buffer.from('{"resourceSpans":[]}'), 'undecodable'],
  ['the resource spans as a varint', bytes('08 01'), 'undecodable'],
  ['a trace id of 8 bytes', spanOf(bytesField(1, bytes(SPAN)), ids[1]), 'undecodable'],
  ['a trace id of 17 bytes', spanOf(bytesField(1, Buffer.alloc(17, 1)), ids[1]), 'undecodable'],
  ['no trace id', spanOf(ids[1]), 'invalid'],
  ['an empty trace id', spanOf(bytesField(1, Buffer.alloc(0)), ids[1]), 'invalid'],
  ['a trace id of zeros', spanOf(bytesField(1, Buffer.alloc(16)), ids[1]), 'invalid'],
  ['no span id', spanOf(ids[0]), 'invalid'],
  ['an empty span id', spanOf(ids[0], bytesField(2, Buffer.alloc(0))), 'invalid'],
  ['a span id of zeros', spanOf(ids[0], bytesField(2, Buffer.alloc(8))), 'invalid'],
  ['a span id of 7 bytes', spanOf(ids[0], bytesField(2, Buffer.alloc(7, 1))), 'undecodable'],
  ['a parent id of 16 bytes', inSpan(bytesField(4, bytes(TRACE))), 'undecodable'],
  ["a link's trace id of 8 bytes", inSpan(bytesField(13, bytesField(1, bytes(SPAN)).bytes)), 'undecodable'],
  ["a link's span id of 16 bytes", inSpan(bytesField(13, bytesField(2, bytes(TRACE)).bytes)), 'undecodable'],
  ['a name as a varint', inSpan(varintField(5, 1n)), 'undecodable'],
  ['a kind as text', inSpan(stringField(6, 'server')), 'undecodable'],
  ['a start as a varint', inSpan(varintField(7, 1n)), 'undecodable'],
  ['a start that ends', inSpan({ number: 7, bytes: bytes('39 00 00 00') }), 'undecodable'],
  ['flags that end', inSpan({ number: 16, bytes: bytes('85 01 00') }), 'undecodable'],
  ['flags as 64 bits', inSpan(fixed64Field(16, 1n)), 'undecodable'],
  ['an event that ends', inSpan({ number: 11, bytes: bytes('5a 02 09 00') }), 'undecodable'],
  ["an event's time as a varint", inSpan(bytesField(11, varintField(1, 1n).bytes)), 'undecodable'],
  ['a status that ends', inSpan(bytesField(15, bytes('12 05 61'))), 'undecodable'],
  ['a status code as text', inSpan(bytesField(15, stringField(3, 'ok').bytes)), 'undecodable'],
  ['an attribute that ends in its key', inSpan(bytesField(9, bytes('0a 05 61'))), 'undecodable'],
  ['an attribute that ends in its value', inSpan(bytesField(9, bytes('0a 01 61 12 05 0a'))), 'undecodable'],
  ['an attribute of one byte', inSpan(bytesField(9, bytes('0a'))), 'undecodable'],
  ['a key as a varint', inSpan(bytesField(9, varintField(1, 1n).bytes)), 'undecodable'],
  ['a string that overruns its value', inValue(bytes('0a 05 61')), 'undecodable'],
  ['a double of four bytes', inValue(bytes('21 00 00 00 00')), 'undecodable'],
  ['an int that never ends', inValue(bytes('18 80 80')), 'undecodable'],
  ['a bool of four bytes', inValue(fixed32Field(2, 1).bytes), 'undecodable'],
  ['an array whose element ends', inValue(bytesField(5, bytes('0a 05 61')).bytes), 'undecodable'],
  [
    'a list of keys whose value ends',
    inValue(bytesField(6, bytesField(1, bytes('12 04 0a 09')).bytes).bytes),
    'undecodable',
  ],
  ['bytes that end', inValue(bytes('3a 05 61')), 'undecodable'],
  ['arrays nested 300 deep', inValue(nested(300)), 'undecodable'],
  ['lists of keys nested 300 deep', inValue(nestedMaps(300)), 'undecodable'],
  [
    'arrays nested 300 deep in an event',
    inSpan(bytesField(11, bytesField(3, message(stringField(1, 'k'), bytesField(2, nested(300)))).bytes)),
    'undecodable',
  ],
  ['a resource that ends', withResource(bytes('0a 05 61')), 'undecodable'],
  ["a resource's attribute that ends", withResource(bytesField(1, bytes('0a 05 61')).bytes), 'undecodable'],
  [
    'arrays nested 300 deep in a resource',
    withResource(bytesField(1, message(stringField(1, 'k'), bytesField(2, nested(300)))).bytes),
    'undecodable',
  ],
  [
    "a scope's attribute that ends",
    inScope(message(bytesField(1, bytesField(3, bytes('0a 05 61')).bytes), bytesField(2, message(...ids)))),
    'undecodable',
  ],
  ...[1, 2, 3, 4, 5, 9, 11, 13, 15].map((number): [string, Uint8Array, 'undecodable'] => [
    `span field ${number} as 64 bits`,
    spanOf(...ids.filter((id) => id.number !== number), wrong(number, 1)),
    'undecodable',
  ]),
];

for (const [what, body, code] of REFUSED)
  test(`refused: ${what}`, () => {
    const columns = new TestColumns();
    columns.append(encodeRequest(good(1)));
    const before = dump(columns.snapshot());
    assert.throws(
      () => columns.append(body),
      (error) => error instanceof VivaceError && error.code === code && error.message.length > 20,
    );
    assert.deepEqual(dump(columns.snapshot()), before);
  });

const ACCEPTED: [what: string, body: Uint8Array, attribute?: Value][] = [
  ['nothing at all', new Uint8Array(0)],
  [
    'unknown fields of every wire type',
    inSpan(
      varintField(99, 1n),
      fixed32Field(99, 1),
      fixed64Field(99, 1n),
      stringField(99, 'x'),
      group(99, varintField(1, 1n), group(2)),
    ),
  ],
  ['arrays nested 256 deep', inValue(nested(256))],
  ['lists of keys nested 250 deep', inValue(nestedMaps(250))],
  ['a length in more bytes than it needs', inSpan({ number: 5, bytes: bytes('2a 81 80 00 61') })],
  [
    'a value of several members: the last one counts',
    inValue(message(stringField(1, 'old'), varintField(3, 5n))),
    int(5),
  ],
  [
    'a value in two parts: the last member counts',
    inSpan(
      bytesField(
        9,
        message(
          stringField(1, 'k'),
          bytesField(2, varintField(3, 1n).bytes),
          bytesField(2, stringField(1, 'new').bytes),
        ),
      ),
    ),
    str('new'),
  ],
  [
    'a value before its key',
    inSpan(bytesField(9, message(bytesField(2, varintField(3, 5n).bytes), stringField(1, 'k')))),
    int(5),
  ],
  ['an unknown member beside the value', inValue(message(varintField(3, 5n), varintField(99, 1n))), int(5)],
  ['a bool of 2', inValue(varintField(2, 2n).bytes), { type: 'bool', value: true }],
  ['a key without a value', inSpan(bytesField(9, stringField(1, 'k').bytes)), { type: 'empty' }],
];

for (const [what, body, value] of ACCEPTED)
  test(`accepted: ${what}`, async () => {
    const columns = new TestColumns();
    columns.append(body);
    const trace = await read([liveOf(columns)], TRACE);
    if (body.length === 0) assert.equal(trace, undefined);
    else {
      const [{ span }] = flatten(trace!);
      if (value !== undefined) assert.deepEqual(span.attributes, [{ key: 'k', value }]);
    }
  });

test('scalar fields that come again replace what they said', async () => {
  const columns = new TestColumns();
  const twice = [
    stringField(5, 'old'),
    stringField(3, 'a=1'),
    varintField(6, 300n),
    varintField(10, 7n),
    fixed32Field(16, 9),
    bytesField(15, message(stringField(2, 'old'), varintField(3, 500n))),
  ];
  columns.append(
    inSpan(
      ...twice,
      stringField(5, 'new'),
      stringField(3, 'b=2'),
      varintField(6, 2n),
      varintField(10, 8n),
      fixed32Field(16, 10),
      bytesField(15, message(stringField(2, 'new'), varintField(3, 2n))),
    ),
  );
  const [{ span }] = flatten((await read([liveOf(columns)], TRACE))!);
  assert.deepEqual(
    [span.name, span.traceState, span.kind, span.droppedAttributes, span.flags, span.statusMessage, span.status],
    ['new', 'b=2', 2, 8, 10, 'new', 2],
  );
});

test('text that is not UTF-8 is taken, reads as U+FFFD and spoils no column', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-utf8-'));
  const one = bytes('61 ff fe');
  const two = bytes('61 fe ff');
  // The halves of a character, which would be valid together.
  const [head, tail] = [bytes('c3'), bytes('a4')];
  const attribute = (key: Uint8Array, value: Uint8Array): Field =>
    bytesField(9, message(bytesField(1, key), bytesField(2, bytesField(1, value).bytes)));
  const columns = new TestColumns();
  columns.append(
    inSpan(
      bytesField(5, one),
      attribute(one, one),
      attribute(two, bytes('62')),
      attribute(bytes('6b'), head),
      attribute(bytes('6c'), tail),
    ),
  );
  columns.append(
    spanOf(
      ids[0],
      bytesField(2, Buffer.alloc(8, 1)),
      bytesField(5, bytes('6f 6b')),
      attribute(bytes('6b'), tail),
      attribute(two, one),
    ),
  );
  const ref = await cut(columns, folder);
  const block = await blockOf(ref);
  const bad = 'a\ufffd\ufffd';
  for (const segment of [liveOf(columns), block]) {
    const spans = flatten((await read([segment], TRACE))!).map(({ span }) => span);
    const of = (name: string): unknown[] =>
      spans
        .find((span) => span.name === name)!
        .attributes.map(({ key, value }) => [key, value.type === 'string' && value.value])
        .sort();
    assert.deepEqual(
      of(bad),
      [
        [bad, bad],
        [bad, 'b'],
        ['k', '\ufffd'],
        ['l', '\ufffd'],
      ].sort(),
    );
    assert.deepEqual(of('ok'), [
      [bad, bad],
      ['k', '\ufffd'],
    ]);
  }
  block.close();
  const duckdb = await openDuckdb();
  const rows = await duckdb.runAndReadAll(`SELECT * FROM read_parquet('${path.join(ref.directory, 'data.parquet')}')`);
  assert.deepEqual(rows.getColumnsObject()['name'], [bad, 'ok']);
  fs.rmSync(folder, { recursive: true });
});

test('a resource whose bytes an attribute had before is checked all the same', () => {
  const evil = bytesField(1, bytes('0a 05 61')).bytes;
  for (const where of ['resource', 'scope']) {
    const columns = new TestColumns();
    columns.append(
      encodeRequest(
        requestOf({
          traceId: TRACE,
          spanId: SPAN,
          attributes: [{ key: 'k', value: str(Buffer.from(evil).toString('latin1')) }],
        }),
      ),
    );
    const body =
      where === 'resource'
        ? withResource(evil)
        : inScope(message(bytesField(1, bytesField(3, bytes('0a 05 61')).bytes), bytesField(2, message(...ids))));
    if (where === 'scope')
      columns.append(
        encodeRequest(
          requestOf({
            traceId: TRACE,
            spanId: SPAN,
            attributes: [
              { key: 'k', value: str(Buffer.from(bytesField(3, bytes('0a 05 61')).bytes).toString('latin1')) },
            ],
          }),
        ),
      );
    assert.throws(() => columns.append(body), { code: 'undecodable' });
  }
});

test('a request that is refused at its last span leaves the segment as it was', async () => {
  const many: Attribute[] = Array.from({ length: 3000 }, (_, i) => ({ key: `refused.${i}`, value: int(i) }));
  const columns = new TestColumns();
  columns.append(encodeRequest(good(1)));
  columns.append(encodeRequest(good(2)));
  const before = dump(columns.snapshot());
  for (let round = 0; round < 3; round++) {
    const spans = Array.from({ length: 2000 }, (_, i) => ({
      ...flatten(good(3))[0].span,
      traceId: (BigInt(i % 700) + 5n).toString(16).padStart(32, '0'),
      spanId: (i + 1).toString(16).padStart(16, '0'),
      attributes: [...flatten(good(3))[0].span.attributes, ...(i === 1000 ? many : [])],
    }));
    const request = requestOf(...spans, { traceId: TRACE, spanId: '' });
    assert.throws(() => columns.append(encodeRequest(request)), { code: 'invalid' });
    assert.deepEqual(dump(columns.snapshot()), before);
  }
  columns.append(encodeRequest(good(4)));
  assert.deepEqual(
    linesOf((await read([liveOf(columns)], TRACE))!),
    linesOf(unflatten(merged([good(1), good(2), good(4)]))),
  );
});

test('refusing a request leaves events with keys that came twice alone', async () => {
  // More spans than events, so that the number of an event is a row that is there.
  const columns = new TestColumns();
  const twice: Attribute[] = [
    { key: 'k', value: int(1) },
    { key: 'k', value: int(2) },
  ];
  const request = requestOf(
    ...Array.from({ length: 50 }, (_, i) => ({ traceId: TRACE, spanId: (i + 1).toString(16).padStart(16, '0') })),
    { traceId: TRACE, spanId: SPAN, events: [{ time: 1n, name: 'e', attributes: twice, dropped: 0 }] },
  );
  columns.append(encodeRequest(request));
  const event = { time: 2n, name: 'f', attributes: [...twice, ...twice], dropped: 0 };
  const bad = requestOf(
    { traceId: TRACE, spanId: SPAN, events: Array.from({ length: 20 }, () => event) },
    { traceId: TRACE, spanId: '' },
  );
  const before = dump(columns.snapshot());
  assert.throws(() => columns.append(encodeRequest(bad)), { code: 'invalid' });
  assert.deepEqual(dump(columns.snapshot()), before);
  const after = requestOf({ traceId: TRACE, spanId: SPAN, start: 9n, events: [event] });
  columns.append(encodeRequest(after));
  assert.deepEqual(linesOf((await read([liveOf(columns)], TRACE))!), linesOf(unflatten(merged([request, after]))));
});

test('memory that is full refuses the request and keeps what was there', async () => {
  const columns = new TestColumns({ attributeBytesMax: 0, traceBytesMax: 0 }, 1024 * 1024);
  columns.append(encodeRequest(good(1)));
  const before = dump(columns.snapshot());
  const big = requestOf({
    traceId: TRACE,
    spanId: SPAN,
    attributes: [{ key: 'big', value: str('x'.repeat(2_000_000)) }],
  });
  assert.throws(() => columns.append(encodeRequest(big)), { code: 'too-large' });
  assert.deepEqual(dump(columns.snapshot()), before);
  // Full in the middle of any structure: every prefix of a long request is taken back whole.
  for (let spans = 500; spans < 20_000; spans += 1777) {
    const request = requestOf(
      ...Array.from({ length: spans }, (_, i) => ({
        ...flatten(good(2))[0].span,
        traceId: (BigInt(i) + 1n).toString(16).padStart(32, '0'),
        spanId: (i + 1).toString(16).padStart(16, '0'),
        name: `name ${i}`,
      })),
    );
    const mark = columns.columns.mark();
    try {
      columns.append(encodeRequest(request));
      columns.columns.takeBack(mark);
    } catch (error) {
      assert.equal((error as VivaceError).code, 'too-large');
    }
    assert.deepEqual(dump(columns.snapshot()), before);
  }
  columns.append(encodeRequest(good(2)));
  assert.deepEqual(linesOf((await read([liveOf(columns)], TRACE))!), linesOf(unflatten(merged([good(1), good(2)]))));
});

test('keys and values beyond the limit are cut between characters', async () => {
  const cases: [limit: number, text: string, cut: string][] = [
    [8, 'ä'.repeat(5), 'ä'.repeat(4)],
    [7, 'ä'.repeat(5), 'ä'.repeat(3)],
    [10, '日本語日本', '日本語'],
    [11, '🙂🙂🙂', '🙂🙂'],
    [9, '🙂🙂🙂', '🙂🙂'],
    [8, 'ascii only', 'ascii on'],
    [40, 'short', 'short'],
    [200, '€'.repeat(100), '€'.repeat(66)],
  ];
  for (const [limit, text, cut] of cases) {
    const columns = new TestColumns({ attributeBytesMax: limit, traceBytesMax: 0 });
    const attributes = [
      { key: text, value: str(text) },
      { key: 'n', value: int(1) },
    ];
    const twice = [...attributes, { key: text, value: str(`${text}${text}`) }];
    const request = requestOf({
      traceId: TRACE,
      spanId: SPAN,
      attributes: twice,
      events: [{ time: 0n, name: text, attributes, dropped: 0 }],
    });
    request[0].resource.attributes = attributes;
    request[0].scopes[0].scope.attributes = attributes;
    const appended = columns.append(encodeRequest(request));
    const once = [
      { key: cut, value: str(cut) },
      { key: 'n', value: int(1) },
    ];
    const second = str(Buffer.byteLength(`${text}${text}`) > limit ? cutTo(`${text}${text}`, limit) : `${text}${text}`);
    const expected = structuredClone(request);
    expected[0].resource.attributes = once;
    expected[0].scopes[0].scope.attributes = once;
    expected[0].scopes[0].spans[0].attributes = [...once, { key: cut, value: second }];
    expected[0].scopes[0].spans[0].events[0].attributes = once;
    assert.deepEqual(linesOf((await read([liveOf(columns)], TRACE))!), linesOf(expected), `${limit} ${text}`);
    assert.equal(appended.truncated, text === cut ? 0 : 10);
  }
});

test('a trace beyond its bytes is discarded, and no other', async () => {
  const columns = new TestColumns({ attributeBytesMax: 0, traceBytesMax: 5000 });
  const big = { key: 'big', value: str('x'.repeat(2000)) };
  const other = '00000000000000000000000000000007';
  const request = requestOf(
    ...Array.from({ length: 5 }, (_, i) => ({ traceId: TRACE, spanId: `000000000000000${i + 1}`, attributes: [big] })),
    { traceId: other, spanId: SPAN, attributes: [big] },
  );
  const appended = columns.append(encodeRequest(request));
  assert.deepEqual({ spans: appended.spans, discarded: appended.discarded }, { spans: 6, discarded: 3 });
  assert.equal(flatten((await read([liveOf(columns)], TRACE))!).length, 2);
  assert.equal(flatten((await read([liveOf(columns)], other))!).length, 1);
  assert.equal(columns.append(encodeRequest(requestOf({ traceId: TRACE, spanId: SPAN }))).discarded, 1);
  assert.equal(columns.append(encodeRequest(requestOf({ traceId: other, spanId: '0000000000000009' }))).discarded, 0);
});

test('bytes that are nearly a request are refused or taken, and never harm what is there', async () => {
  await fc.assert(
    fc.asyncProperty(
      anyRequest,
      fc.integer(),
      fc.array(
        fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }), fc.constantFrom('set', 'insert', 'remove', 'end', 'copy')),
        { minLength: 1, maxLength: 6 },
      ),
      async (request, seed, changes) => {
        const columns = new TestColumns();
        columns.append(encodeRequest(good(1)));
        const before = dump(columns.snapshot());
        const body = mutated(encodeRequest(request, shuffled(seed)), changes);
        try {
          columns.append(body);
        } catch (error) {
          assert.ok(
            error instanceof VivaceError && (error.code === 'undecodable' || error.code === 'invalid'),
            String(error),
          );
          assert.deepEqual(dump(columns.snapshot()), before);
        }
        columns.append(encodeRequest(good(2)));
        const lines = linesOf((await read([liveOf(columns)], TRACE))!);
        for (const line of linesOf(unflatten(merged([good(1), good(2)])))) assert.ok(lines.includes(line));
      },
    ),
    { numRuns: RUNS },
  );
});

test('random bytes are refused or taken, and never harm what is there', async () => {
  const columns = new TestColumns();
  columns.append(encodeRequest(good(1)));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (random, inside) => {
      const mark = columns.columns.mark();
      try {
        columns.append(inside ? inSpan(bytesField(9, random), { number: 0, bytes: random }) : random);
        columns.columns.takeBack(mark);
      } catch (error) {
        assert.ok(
          error instanceof VivaceError && (error.code === 'undecodable' || error.code === 'invalid'),
          String(error),
        );
      }
    }),
    { numRuns: 10 * RUNS },
  );
  columns.append(encodeRequest(good(2)));
  assert.deepEqual(linesOf((await read([liveOf(columns)], TRACE))!), linesOf(unflatten(merged([good(1), good(2)]))));
});

/** A request that uses every structure; `n` tells its spans apart. */
function good(n: number): ReturnType<typeof requestOf> {
  const attributes: Attribute[] = [
    { key: 'text', value: str(`value ${n}`) },
    { key: 'text', value: str('again') },
    { key: 'number', value: int(n) },
    { key: 'list', value: { type: 'array', values: [int(1), str('two')] } },
    { key: `only.${n}`, value: { type: 'bool', value: true } },
  ];
  return requestOf(
    {
      traceId: TRACE,
      spanId: n.toString(16).padStart(16, 'a'),
      name: 'root',
      traceState: `n=${n}`,
      kind: 300,
      attributes,
      events: [{ time: 5n, name: 'e', attributes, dropped: 1 }],
      links: [{ traceId: TRACE, spanId: SPAN, traceState: 'x', attributes, dropped: 2, flags: 3 }],
      statusMessage: `message ${n}`,
      status: 2,
    },
    {
      traceId: TRACE,
      spanId: n.toString(16).padStart(16, 'b'),
      parentId: n.toString(16).padStart(16, 'a'),
      attributes,
    },
  );
}

function mutated(body: Uint8Array, changes: [number, number, string][]): Uint8Array {
  let bytes: Uint8Array = body;
  for (const [place, byte, how] of changes) {
    const at = bytes.length === 0 ? 0 : place % bytes.length;
    if (how === 'set') {
      bytes = Uint8Array.from(bytes);
      if (bytes.length > 0) bytes[at] = byte;
    } else if (how === 'insert')
      bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from([byte]), bytes.subarray(at)]);
    else if (how === 'remove') bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    else if (how === 'end') bytes = bytes.subarray(0, at);
    else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(0, byte), bytes.subarray(at)]);
  }
  return bytes;
}

function cutTo(text: string, limit: number): string {
  let cut = '';
  for (const character of text) {
    if (Buffer.byteLength(cut + character) > limit) return cut;
    cut += character;
  }
  return cut;
}
