import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../tests/property.ts';
import { parseRecord, RECORD_CUT, RECORD_SPANS, recordHead } from './record.ts';

const record = (sequence: number, type: number, tenant: string, body: Uint8Array): Uint8Array =>
  Buffer.concat([recordHead(sequence, type, Buffer.from(tenant), body), body]);

test('a record has the bytes that the format page says', () => {
  assert.equal(
    Buffer.from(record(3, RECORD_SPANS, 'ab', Uint8Array.of(9, 8, 7))).toString('hex'),
    // length 17, crc-32, sequence 3, type 1, tenant of 2, zeros, 'ab', body
    '11000000' + '3741d9d4' + '0000000000000840' + '01' + '02' + '0000' + '6162' + '090807',
  );
});

test('what is written is read', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      fc.constantFrom(RECORD_SPANS, RECORD_CUT),
      fc.string({ unit: 'grapheme', maxLength: 30 }),
      fc.uint8Array({ maxLength: 100 }),
      fc.uint8Array({ maxLength: 30 }),
      (sequence, type, tenant, body, after) => {
        const bytes = Buffer.concat([Uint8Array.of(1, 2, 3), record(sequence, type, tenant, body), after]);
        const parsed = parseRecord(bytes, 3);
        assert.ok(parsed.kind === 'record');
        assert.deepEqual(
          { ...parsed.record, body: [...parsed.record.body] },
          { sequence, type, tenant, body: [...body] },
        );
        assert.equal(parsed.end, bytes.length - after.length);
      },
    ),
  );
});

test('every record that ends early is torn, and every changed byte is noticed', () => {
  const bytes = record(7, RECORD_SPANS, 'tenant', Buffer.from('the body of a request'));
  for (let length = 0; length < bytes.length; length++)
    assert.equal(parseRecord(bytes.subarray(0, length), 0).kind, 'torn');
  for (let at = 0; at < bytes.length; at++)
    for (const change of [1, 0x80]) {
      const damaged = Uint8Array.from(bytes);
      damaged[at] ^= change;
      assert.notEqual(parseRecord(damaged, 0).kind, 'record', `byte ${at}`);
    }
});

test('a length that cannot be is not trusted', () => {
  for (const length of [0, 11, 256 * 1024 * 1024 + 1, 0xffffffff]) {
    const bytes = Buffer.from(record(7, RECORD_SPANS, 't', Buffer.from('body')));
    bytes.writeUInt32LE(length);
    assert.deepEqual(parseRecord(bytes, 0), { kind: 'corrupt', end: -1, reason: `its length is ${length}` });
  }
});
