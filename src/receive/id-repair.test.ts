import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ProtoWriter, tagOf, WIRE_BYTES } from '../wire/protobuf.ts';
import { repairIds } from './id-repair.ts';

const TRACE = '0102030405060708090a0b0c0d0e0fa1';
const SPAN = '1112131415161718';

/** A request of one span with these ids (as they arrive), a name, a link, and attributes that look like ids. */
function request(trace: Uint8Array, span: Uint8Array): Uint8Array {
  const out = new ProtoWriter();
  const levels = [tagOf(1, WIRE_BYTES), tagOf(2, WIRE_BYTES), tagOf(2, WIRE_BYTES)];
  const marks = levels.map((tag) => out.begin(tag));
  out.bytesField(tagOf(1, WIRE_BYTES), trace);
  out.bytesField(tagOf(2, WIRE_BYTES), span);
  out.bytesField(tagOf(4, WIRE_BYTES), span);
  out.stringField(tagOf(5, WIRE_BYTES), 'twelve bytes');
  out.bytesField(tagOf(9, WIRE_BYTES), Buffer.alloc(24));
  const link = out.begin(tagOf(13, WIRE_BYTES));
  out.bytesField(tagOf(1, WIRE_BYTES), trace);
  out.bytesField(tagOf(2, WIRE_BYTES), span);
  out.end(link);
  for (const mark of marks.reverse()) out.end(mark);
  return out.finish();
}

const wanted = request(Buffer.from(TRACE, 'hex'), Buffer.from(SPAN, 'hex'));

it('gives ids back that were read as base64', () => {
  const arrived = request(Buffer.from(TRACE, 'base64'), Buffer.from(SPAN, 'base64'));
  const repaired = repairIds(arrived);
  assert.equal(Buffer.from(repaired ?? []).toString('hex'), Buffer.from(wanted).toString('hex'));
  assert.equal(repaired?.byteLength, repaired?.buffer.byteLength);
});

it('leaves alone what is right, wrong otherwise, or broken', () => {
  assert.equal(repairIds(wanted), undefined);
  assert.equal(repairIds(request(Buffer.alloc(24, 0xff), Buffer.alloc(12, 0xff))), undefined);
  assert.equal(repairIds(request(Buffer.alloc(15), Buffer.alloc(4))), undefined);
  assert.equal(repairIds(Buffer.of(0x0a, 0xff)), undefined);
  assert.equal(repairIds(new Uint8Array(0)), undefined);
});
