import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from '../../tests/property.ts';
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_FIXED32, WIRE_FIXED64, WIRE_VARINT } from '../wire/protobuf.ts';
import { countSpans } from './otlp-scan.ts';

/** A request with so many spans in each scope of each resource, and unknown fields of every wire type in between. */
function request(resources: readonly (readonly number[])[], scopeField = 2): Uint8Array {
  const out = new ProtoWriter();
  for (const scopes of resources) {
    const resource = out.begin(tagOf(1, WIRE_BYTES));
    for (const spans of scopes) {
      const scope = out.begin(tagOf(scopeField, WIRE_BYTES));
      noise(out);
      for (let i = 0; i < spans; i++) out.bytesField(tagOf(2, WIRE_BYTES), Buffer.alloc(i * 40));
      out.end(scope);
    }
    noise(out);
    out.end(resource);
  }
  noise(out);
  return out.finish();
}

function noise(out: ProtoWriter): void {
  out.varintField(tagOf(999, WIRE_VARINT), 2 ** 53 - 1);
  out.varint(tagOf(1001, WIRE_FIXED64));
  out.double(1);
  out.varint(tagOf(1002, WIRE_FIXED32));
  out.fixed32(1);
  out.bytesField(tagOf(500_000_000, WIRE_BYTES), Buffer.from('unknown'));
}

it('counts spans', () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.nat(20), { maxLength: 4 }), { maxLength: 4 }), (resources) => {
      assert.equal(
        countSpans(request(resources)),
        resources.flat().reduce((sum, spans) => sum + spans, 0),
      );
    }),
  );
});

it('counts scopes under their old number', () => assert.equal(countSpans(request([[3, 4]], 1000)), 7));

it('knows a broken outline', () => {
  const whole = request([[3]]);
  let broken = 0;
  for (let length = 1; length < whole.length; length++) if (countSpans(whole.subarray(0, length)) < 0) broken++;
  assert.ok(broken > whole.length - 20, 'only between two fields of the request may it end');
  for (const hex of ['0aff', '0a80c8afa025', '0affffffffffffffffff01', '0b', '0c', '0e', '0f'])
    assert.equal(countSpans(Buffer.from(hex, 'hex')), -1, hex);
});
