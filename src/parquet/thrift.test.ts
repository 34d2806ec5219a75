import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { VivaceError } from '../runtime/errors.ts';
import { createSink, written } from './sink.ts';
import { ThriftReader, ThriftWriter } from './thrift.ts';

const isUndecodable = (error: unknown) => error instanceof VivaceError && error.code === 'undecodable';

const integer = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger().map((value) => Math.trunc(value / 2)),
  fc.constantFrom(0, -1, 63, 64),
);

test('what is written is read, and skipped to the byte', () => {
  const fields = fc.record({
    integer,
    text: fc.string({ maxLength: 300 }),
    flag: fc.boolean(),
    flags: fc.array(fc.boolean(), { maxLength: 40 }),
    integers: fc.array(integer, { maxLength: 40 }),
    texts: fc.array(fc.string(), { maxLength: 40 }),
    gap: fc.integer({ min: 1, max: 3000 }),
  });
  fc.assert(
    fc.property(fields, (value) => {
      const sink = createSink(1);
      const thrift = new ThriftWriter(sink);
      const put = (first: number): void => {
        thrift.i64(first, value.integer);
        thrift.string(first + 1, value.text);
        thrift.bool(first + value.gap + 1, value.flag);
        thrift.bools(first + value.gap + 2, value.flags);
        thrift.i64s(first + value.gap + 3, value.integers);
        thrift.strings(first + value.gap + 4, value.texts);
      };
      thrift.beginElement();
      put(1);
      thrift.begin(5000);
      put(2);
      thrift.end();
      thrift.structs(5001, 2);
      for (let i = 0; i < 2; i++) {
        thrift.beginElement();
        put(1);
        thrift.end();
      }
      thrift.end();

      const skipper = new ThriftReader(written(sink));
      for (let id = skipper.field(0); id !== 0; id = skipper.field(id)) skipper.skip();
      assert.equal(skipper.offset, sink.length);

      const r = new ThriftReader(written(sink));
      const get = (first: number): void => {
        assert.equal(r.field(first - 1), first);
        assert.equal(r.integer(), value.integer);
        assert.equal(r.field(first), first + 1);
        assert.equal(r.string(), new TextDecoder().decode(new TextEncoder().encode(value.text)));
        const last = r.field(first + 1);
        assert.equal(last, first + value.gap + 1);
        assert.equal(r.bool(), value.flag);
        assert.equal(r.field(last), last + 1);
        assert.deepEqual(r.bools(), value.flags);
        assert.equal(r.field(last + 1), last + 2);
        assert.deepEqual(r.integers(), value.integers);
        assert.equal(r.field(last + 2), last + 3);
        assert.equal(r.strings().length, value.texts.length);
      };
      get(1);
    }),
    { numRuns: 200 },
  );
});

test('what cannot be is refused', () => {
  const read = (...bytes: number[]) => {
    const r = new ThriftReader(Uint8Array.from(bytes));
    for (let id = r.field(0); id !== 0; id = r.field(id)) r.skip();
  };
  const refuse = (...bytes: number[]) => assert.throws(() => read(...bytes), isUndecodable, bytes.join());
  refuse();
  refuse(0x15); // an integer that is not there
  refuse(0x18, 5, 65); // a string of five bytes with one
  refuse(0x19, 0xfc, 0xff, 0xff, 0xff, 0x7f); // a list of 2^28 structs
  refuse(0x1e, 0); // a type that does not exist
  refuse(0x05, 0x00, 0); // field 0
  refuse(...Array<number>(5000).fill(0x1c)); // structs without end
  refuse(...Array<number>(5000).fill(0x19)); // lists without end
  const negative = new ThriftReader(Uint8Array.of(0x15, 0x01, 0));
  negative.field(0);
  assert.throws(() => negative.size(), isUndecodable);
  const beyond = new ThriftReader(Uint8Array.of(0x16, ...Array<number>(9).fill(0xff), 1, 0));
  beyond.field(0);
  assert.throws(() => beyond.integer(), isUndecodable);
});
