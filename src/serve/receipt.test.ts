import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Receipt } from './queries.ts';
import { joinReceipts, receiptHeader, withReceiptInBody } from './receipt.ts';

const RECEIPT: Receipt = {
  blocks: { wanted: 3, read: 2, pruned: 1 },
  bytes: { wanted: 300, read: 40, pruned: 100 },
  liveUntilMs: 1_700_000_000_500,
  missing: [],
};

it('a header of one line, printable whatever the reasons say', () => {
  assert.equal(
    receiptHeader(RECEIPT),
    'complete, blocks=3, blocks-read=2, blocks-pruned=1, bytes=300, bytes-read=40, bytes-pruned=100, live-until=@1700000000',
  );
  const missing = Array.from({ length: 20 }, (_, i) => ({ what: `block ${i}`, why: 'its "page"\n\\ is – \u0000' }));
  const header = receiptHeader({ ...RECEIPT, liveUntilMs: undefined, missing });
  assert.match(header, /^complete=\?0, /);
  assert.match(header, /missing=\("block 0: its \\"page\\"\?\\\\ is \? \?" /);
  assert.match(header, /missing-count=20$/);
  assert.match(header, /^[\x20-\x7e]+$/);
  assert.ok(header.length < 4096);
});

it('parts are added up; the oldest view of live data counts', () => {
  const missing = [{ what: 'process a', why: 'gone' }];
  assert.deepEqual(joinReceipts([RECEIPT, { ...RECEIPT, liveUntilMs: 7, missing }]), {
    blocks: { wanted: 6, read: 4, pruned: 2 },
    bytes: { wanted: 600, read: 80, pruned: 200 },
    liveUntilMs: 7,
    missing,
  });
});

it('stands in the metrics of a body, and nowhere else', () => {
  const body = (text: string): unknown => JSON.parse(String(withReceiptInBody(text, RECEIPT)));
  assert.deepEqual(body('{"traces":[],"metrics":{}}'), { traces: [], metrics: { receipt: RECEIPT } });
  assert.deepEqual(body('{"trace":{"metrics":{"a":1}},"metrics":{"b":2}}'), {
    trace: { metrics: { a: 1 } },
    metrics: { receipt: RECEIPT, b: 2 },
  });
  assert.deepEqual(body('{"batches":[]}'), { batches: [] });
});
