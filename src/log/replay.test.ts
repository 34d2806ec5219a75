import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import fc from '../../tests/property.ts';
import { SEGMENT_MAGIC } from './local-log.ts';
import { RECORD_SPANS, recordHead } from './record.ts';
import { replayLog } from './replay.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-replay-'));
after(() => fs.rmSync(folder, { recursive: true }));
let folders = 0;

const record = (sequence: number, body: Uint8Array): Buffer =>
  Buffer.concat([recordHead(sequence, RECORD_SPANS, Buffer.from('t'), body), body]);
const bodyOf = (sequence: number, bytes = 50): Buffer => Buffer.alloc(bytes, `body ${sequence} `);

/** Replays segments with these contents; which records came, and what damage was told, without its file names. */
async function replay(...segments: Uint8Array[]): Promise<{ sequences: number[]; damage: string[] }> {
  const directory = path.join(folder, String(folders++));
  fs.mkdirSync(directory);
  segments.forEach((bytes, index) => {
    fs.writeFileSync(path.join(directory, `${String(index + 1).padStart(8, '0')}.log`), bytes);
  });
  const sequences: number[] = [];
  const report = await replayLog(directory, ({ sequence, body }) => {
    assert.ok(Buffer.from(body).equals(bodyOf(sequence, body.length)), `record ${sequence} is whole`);
    sequences.push(sequence);
  });
  assert.equal(report.segments, segments.length);
  assert.equal(report.records, sequences.length);
  fs.rmSync(directory, { recursive: true });
  return { sequences, damage: report.damage.map((line) => line.slice(line.indexOf('.log: ') + 6)) };
}

const records = (...sequences: number[]): Buffer[] => sequences.map((sequence) => record(sequence, bodyOf(sequence)));
const segment = (...parts: Uint8Array[]): Buffer => Buffer.concat([SEGMENT_MAGIC, ...parts]);
const [ONE, TWO, THREE, FOUR] = records(1, 2, 3, 4);
/** Where record 2 begins in segment(ONE, TWO, …). */
const SECOND = SEGMENT_MAGIC.length + ONE.length;

function with2(change: (record: Buffer) => void): Buffer {
  const bytes = Buffer.from(TWO);
  change(bytes);
  return segment(ONE, bytes, THREE, FOUR);
}

test('records come in order, segment after segment', async () => {
  assert.deepEqual(await replay(segment(ONE, TWO), segment(), segment(THREE), segment(FOUR)), {
    sequences: [1, 2, 3, 4],
    damage: [],
  });
});

test('a torn tail is cut, wherever it is torn', async () => {
  for (let length = 1; length < TWO.length; length += 7) {
    const { sequences, damage } = await replay(segment(ONE, TWO.subarray(0, length)), segment(THREE));
    assert.deepEqual(sequences, [1, 3]);
    assert.deepEqual(damage, [`offset ${SECOND}: torn tail of ${length} bytes dropped`]);
  }
});

const DAMAGE: [what: string, change: (record: Buffer) => void, reason: string][] = [
  ['a byte of its body', (bytes) => void (bytes[40] ^= 1), 'its checksum differs'],
  ['its checksum', (bytes) => void (bytes[5] ^= 1), 'its checksum differs'],
  ['its type', (bytes) => void (bytes[16] = 2), 'its checksum differs'],
  ['a length of nothing', (bytes) => void bytes.writeUInt32LE(0), 'its length is 0'],
  ['a length that cannot be', (bytes) => void bytes.writeUInt32LE(0xffffffff), 'its length is 4294967295'],
  ['a length that is a little short', (bytes) => void bytes.writeUInt32LE(TWO.length - 8 - 3), 'its checksum differs'],
  ['a length that is a little long', (bytes) => void bytes.writeUInt32LE(TWO.length - 8 + 30), 'its checksum differs'],
  [
    'a length beyond the end of the file',
    (bytes) => void bytes.writeUInt32LE(1_000_000),
    'its length reaches beyond the end of the file',
  ],
  ['zeros, as a hole in a file has', (bytes) => void bytes.fill(0), 'its length is 0'],
];

for (const [what, change, reason] of DAMAGE)
  test(`a damaged record is told and skipped: ${what}`, async () => {
    assert.deepEqual(await replay(with2(change)), {
      sequences: [1, 3, 4],
      damage: [`offset ${SECOND}: record skipped: ${reason}`],
    });
  });

test('the last record of a file is damaged', async () => {
  const bytes = Buffer.from(TWO);
  bytes[30] ^= 1;
  assert.deepEqual(await replay(segment(ONE, bytes)), {
    sequences: [1],
    damage: [`offset ${SECOND}: record skipped: its checksum differs`],
  });
});

test('records larger than the window of reading are whole, also right after damage', async () => {
  const large = [5, 6, 7].map((sequence) => record(sequence, bodyOf(sequence, 5_000_000 + sequence)));
  assert.deepEqual((await replay(segment(ONE, ...large, FOUR))).sequences, [1, 5, 6, 7, 4]);
  const damaged = Buffer.from(TWO);
  damaged.writeUInt32LE(0);
  assert.deepEqual((await replay(segment(ONE, damaged, ...large, FOUR))).sequences, [1, 5, 6, 7, 4]);
  large[1].writeUInt32LE(0xffffffff);
  assert.deepEqual((await replay(segment(ONE, ...large, FOUR))).sequences, [1, 5, 7, 4]);
  large[1].writeUInt32LE(200_000_000);
  assert.deepEqual((await replay(segment(ONE, ...large, FOUR))).sequences, [1, 5, 7, 4]);
});

test('damage at every place around the end of a window is overcome', async () => {
  const window = 4 * 1024 * 1024;
  for (let shift = -30; shift <= 30; shift += 3) {
    const filler = record(8, bodyOf(8, window - SEGMENT_MAGIC.length - 21 + shift));
    const damaged = Buffer.from(TWO);
    damaged.writeUInt32LE(0);
    const { sequences, damage } = await replay(segment(filler, damaged, THREE, FOUR));
    assert.deepEqual(sequences, [8, 3, 4], `shift ${shift}`);
    assert.equal(damage.length, 1);
  }
});

test('zeros up to the end of a block are no damage, whatever stands before and after them', async () => {
  const filled = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 4095)]);
  const whole = (...parts: Uint8Array[]): Buffer =>
    parts.reduce<Buffer>((before, part) => filled(Buffer.concat([before, part])), filled(segment()));
  assert.deepEqual(await replay(whole(ONE, TWO, Buffer.concat([THREE, FOUR]))), {
    sequences: [1, 2, 3, 4],
    damage: [],
  });
  // A window of the file ends inside the zeros.
  const window = 4 * 1024 * 1024;
  const filler = record(8, bodyOf(8, window - 4096 - 21 - 100));
  assert.deepEqual(await replay(whole(filler, ONE)), { sequences: [8, 1], damage: [] });
  // Zeros that go on into the next block, or end before it, are damage.
  const missing = whole(ONE, TWO, THREE).fill(0, 2 * 4096, 3 * 4096);
  assert.deepEqual(await replay(missing), {
    sequences: [1, 3],
    damage: ['offset 8192: record skipped: its length is 0'],
  });
  const stray = whole(ONE, TWO);
  stray[4096 + ONE.length + 50] = 1;
  const { sequences, damage } = await replay(stray);
  assert.deepEqual(sequences, [1, 2]);
  assert.equal(damage.length, 1);
});

test('files that are no segments are told and skipped; an empty one is nothing', async () => {
  const { sequences, damage } = await replay(
    Buffer.from('not a log'),
    new Uint8Array(0),
    Buffer.from('VIV'),
    segment(ONE),
  );
  assert.deepEqual(sequences, [1]);
  assert.deepEqual(damage, ['offset 0: not a log segment', 'offset 0: not a log segment']);
});

test('whatever happens to the bytes, undamaged records before it come back and nothing wrong does', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat({ max: 300 }), { minLength: 1, maxLength: 8 }),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 5 }),
      fc.option(fc.nat()),
      async (sizes, changes, end) => {
        const parts = sizes.map((bytes, index) => record(index + 1, bodyOf(index + 1, bytes)));
        let bytes: Buffer = segment(...parts);
        let firstDamage = bytes.length;
        for (const [place, value] of changes) {
          const at = SEGMENT_MAGIC.length + (place % (bytes.length - SEGMENT_MAGIC.length));
          if (bytes[at] !== value) firstDamage = Math.min(firstDamage, at);
          bytes[at] = value;
        }
        if (end !== null) bytes = bytes.subarray(0, Math.max(SEGMENT_MAGIC.length, end % bytes.length));
        firstDamage = Math.min(firstDamage, bytes.length);
        const { sequences } = await replay(bytes);
        const intact: number[] = [];
        let at = SEGMENT_MAGIC.length;
        for (const [index, part] of parts.entries()) if ((at += part.length) <= firstDamage) intact.push(index + 1);
        assert.deepEqual(sequences.slice(0, intact.length), intact);
        for (let i = 1; i < sequences.length; i++) assert.ok(sequences[i] > sequences[i - 1]);
      },
    ),
  );
});
