import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { VivaceError } from '../runtime/errors.ts';
import { LocalLog, type LocalLogOptions } from './local-log.ts';
import { type LogRecord, RECORD_CUT, RECORD_SPANS } from './record.ts';
import { replayLog } from './replay.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-log-'));
after(() => fs.rmSync(root, { recursive: true }));
let folders = 0;

async function openLog(options: Partial<LocalLogOptions> = {}): Promise<{ log: LocalLog; directory: string }> {
  const directory = options.directory ?? path.join(root, String(folders++));
  const log = new LocalLog({ directory, fsync: 'always', segmentBytesMax: 1 << 20, reserveBytes: () => 0, ...options });
  await log.open();
  return { log, directory };
}

async function recordsOf(directory: string): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  const report = await replayLog(directory, (record) => void records.push({ ...record, body: record.body.slice() }));
  assert.deepEqual(report.damage, []);
  return records;
}

const sequencesOf = async (directory: string): Promise<number[]> =>
  (await recordsOf(directory)).map(({ sequence }) => sequence);
const files = (directory: string): string[] => fs.readdirSync(directory).sort();

test('what is committed is replayed, and what is only added is not', async () => {
  const { log, directory } = await openLog({ firstSequence: 41 });
  assert.equal(log.add('one', Buffer.from('a request')), 41);
  assert.equal(log.add('zwei · 2', Buffer.alloc(0)), 42);
  log.addCut('one', 41);
  assert.deepEqual(await sequencesOf(directory), []);
  assert.ok(log.hasPending && log.pendingBytes > 0);
  await log.commit();
  assert.ok(!log.hasPending && log.pendingBytes === 0);
  assert.equal(log.add('one', Buffer.from('later')), 44);
  const records = await recordsOf(directory);
  assert.deepEqual(
    records.map(({ sequence, type, tenant, body }) => [sequence, type, tenant, Buffer.from(body).toString('hex')]),
    [
      [41, RECORD_SPANS, 'one', Buffer.from('a request').toString('hex')],
      [42, RECORD_SPANS, 'zwei · 2', ''],
      // 41 as a double
      [43, RECORD_CUT, 'one', '0000000000804440'],
    ],
  );
  assert.equal(fs.statSync(path.join(directory, '00000001.log')).size, log.bytes);
  await log.close();
});

test('one commit takes all that gathered, in order, also more buffers than one system call does', async () => {
  const { log, directory } = await openLog();
  for (let i = 1; i <= 3000; i++) log.add('t', Buffer.from(`request ${i}`));
  await log.commit();
  const records = await recordsOf(directory);
  assert.deepEqual(
    records.map(({ sequence, body }) => `${sequence} ${Buffer.from(body)}`),
    Array.from({ length: 3000 }, (_, i) => `${i + 1} request ${i + 1}`),
  );
  await log.close();
});

test('what arrives during a commit is the next commit', async () => {
  const { log, directory } = await openLog();
  log.add('t', Buffer.from('first'));
  const first = log.commit();
  log.add('t', Buffer.from('second'));
  await first;
  assert.deepEqual(await sequencesOf(directory), [1]);
  assert.ok(log.hasPending);
  await log.commit();
  assert.deepEqual(await sequencesOf(directory), [1, 2]);
  await log.close();
});

test('segments end by size and by order, and are released when all in them is cut', async () => {
  const { log, directory } = await openLog({ segmentBytesMax: 100_000 });
  for (let i = 0; i < 6; i++) {
    log.add('t', Buffer.alloc(60_000, i));
    await log.commit();
  }
  // Two records of 60,000 bytes fill a segment of 100,000.
  assert.deepEqual(files(directory), ['00000001.log', '00000002.log', '00000003.log']);
  log.rotate();
  log.add('t', Buffer.from('7'));
  await log.commit();
  assert.equal(log.segments, 4);
  assert.deepEqual(await sequencesOf(directory), [1, 2, 3, 4, 5, 6, 7]);
  const written = log.writtenBytes;
  assert.equal(written, log.bytes);
  await log.release(3);
  assert.deepEqual(files(directory), ['00000002.log', '00000003.log', '00000004.log']);
  await log.release(4);
  assert.deepEqual(files(directory), ['00000003.log', '00000004.log']);
  await log.release(100);
  assert.deepEqual(files(directory), ['00000004.log'], 'the segment that is written to stays');
  assert.ok(log.bytes < written);
  assert.equal(log.writtenBytes, written, 'what was released counts as written');
  log.add('t', Buffer.from('8'));
  await log.commit();
  assert.deepEqual(await sequencesOf(directory), [7, 8]);
  await log.destroy();
  assert.ok(!fs.existsSync(directory));
});

test('rotating a log in which nothing is makes no segment', async () => {
  const { log, directory } = await openLog();
  log.rotate();
  log.add('t', Buffer.from('1'));
  await log.commit();
  assert.deepEqual(files(directory), ['00000001.log']);
  await log.close();
});

test('what is discarded is not written, and its numbers are not used again', async () => {
  const { log, directory } = await openLog();
  log.add('t', Buffer.from('1'));
  log.discardPending();
  await log.commit();
  assert.equal(log.add('t', Buffer.from('2')), 2);
  await log.commit();
  assert.deepEqual(await sequencesOf(directory), [2]);
  await log.close();
});

test('a disk that keeps too little room refuses before anything is written', async () => {
  let reserve = 0;
  const { log, directory } = await openLog({ reserveBytes: () => reserve });
  log.add('t', Buffer.from('1'));
  await log.commit();
  reserve = Number.MAX_SAFE_INTEGER;
  // The room is asked for anew once the bytes that were known to be free are used up, at the latest after 8 MiB.
  let refused: unknown;
  for (let i = 0; i < 20 && refused === undefined; i++) {
    log.add('t', Buffer.alloc(1024));
    await log.commit().catch((error: unknown) => {
      refused = error;
    });
  }
  assert.ok(
    refused instanceof VivaceError && refused.code === 'exhausted' && refused.retryAfterMs === 5000,
    String(refused),
  );
  const before = await sequencesOf(directory);
  reserve = 0;
  const next = log.add('t', Buffer.from('again'));
  await log.commit();
  assert.deepEqual(await sequencesOf(directory), [...before, next]);
  await log.close();
});

test('a folder that is taken away makes commits fail as unavailable, never as done', async () => {
  const { log, directory } = await openLog();
  log.rotate();
  log.add('t', Buffer.from('1'));
  await log.commit();
  fs.rmSync(directory, { recursive: true });
  log.rotate();
  log.add('t', Buffer.from('2'));
  await assert.rejects(log.commit(), { name: 'VivaceError', code: 'unavailable' });
  fs.mkdirSync(directory);
  const third = log.add('t', Buffer.from('3'));
  await log.commit();
  assert.deepEqual(await sequencesOf(directory), [third]);
  await log.close();
});

const small = path.join(root, 'small-disk');

test('a full disk: nothing of a failed commit is replayed, and the log goes on when there is room', async (context) => {
  const why = mountFails();
  if (why !== undefined) return context.skip(why);
  try {
    const { log, directory } = await openLog({ directory: path.join(small, 'wal'), segmentBytesMax: 200_000 });
    const acknowledged: number[] = [];
    const failures = new Set<string>();
    const ballast = path.join(small, 'ballast');
    for (let round = 0; round < 6; round++) {
      // The log learns how much room there is, and then another program takes it, all but a few commits and part of one.
      acknowledged.push(log.add('t', Buffer.alloc(10)));
      await log.commit();
      const free = fs.statfsSync(small);
      fs.writeFileSync(ballast, Buffer.alloc(Math.max(0, free.bavail * free.bsize - 150_000 - 7000 * round)));
      for (let i = 0; i < 12; i++) {
        const sequences = [
          log.add('t', Buffer.alloc(9000, 1)),
          log.add('t', Buffer.alloc(9000, 2)),
          log.add('t', Buffer.alloc(9000, 3)),
        ];
        try {
          await log.commit();
          acknowledged.push(...sequences);
        } catch (error) {
          assert.ok(error instanceof VivaceError && error.code === 'exhausted', String(error));
          failures.add(error.cause === undefined ? 'foreseen' : (error.cause as NodeJS.ErrnoException).code!);
        }
      }
      assert.deepEqual(await sequencesOf(directory), acknowledged, `round ${round}`);
      fs.rmSync(ballast);
      const sequence = log.add('t', Buffer.alloc(100));
      await log.commit();
      acknowledged.push(sequence);
      assert.deepEqual(await sequencesOf(directory), acknowledged, `after round ${round}`);
      log.rotate();
      log.add('t', Buffer.alloc(0));
      await log.commit();
      await log.release(sequence);
      acknowledged.splice(0, acknowledged.length, sequence + 1);
    }
    assert.deepEqual([...failures].sort(), ['ENOSPC', 'foreseen']);
    await log.destroy();
  } finally {
    execFileSync('umount', [small]);
  }
});

/** Mounts a file system of one megabyte at `small`; tells why it cannot. */
function mountFails(): string | undefined {
  fs.mkdirSync(small);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `NOT TESTED: a full disk, because no tmpfs can be mounted here: ${(error as Error).message.split('\n')[0]}`;
  }
}
