/**
 * What every bucket must do, whatever it stands on. A run needs an empty bucket; `open` is called once a test, and what it
 * returns shares the same objects, as other processes would.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { type Bucket, isNotFound, isPrecondition } from '../../src/store/bucket.ts';
import { VivaceError } from '../../src/runtime/errors.ts';
import { until } from '../process/server.fixture.ts';

export interface BucketUnderTest {
  name: string;
  open: () => Promise<Bucket>;
  /** A reason why it cannot run here, which is said aloud. */
  skip?: string;
}

export function bucketContract({ name, open, skip }: BucketUnderTest): void {
  describe(`bucket: ${name}`, { skip }, () => {
    const fresh = async (): Promise<{ bucket: Bucket; at: string }> => ({
      bucket: await open(),
      at: `run-${randomBytes(6).toString('hex')}`,
    });

    test('what was put is got, whole and by range', async () => {
      const { bucket, at } = await fresh();
      const bytes = randomBytes(100_000);
      await bucket.put(`${at}/a`, bytes);
      assert.deepEqual(Buffer.from((await bucket.get(`${at}/a`, { bytesMax: 100_000 })).bytes), bytes);
      for (const [offset, length] of [
        [0, 1],
        [0, 100_000],
        [99_999, 1],
        [1234, 56_789],
        [7, 0],
      ])
        assert.deepEqual(
          Buffer.from(await bucket.range(`${at}/a`, offset, length)),
          bytes.subarray(offset, offset + length),
        );
      bucket.close();
    });

    test('an object is replaced whole, and may be empty', async () => {
      const { bucket, at } = await fresh();
      await bucket.put(`${at}/a`, Buffer.from('long before'));
      await bucket.put(`${at}/a`, Buffer.from('after'));
      assert.equal(text(await bucket.get(`${at}/a`, { bytesMax: 100 })), 'after');
      await bucket.put(`${at}/a`, new Uint8Array(0));
      assert.equal(text(await bucket.get(`${at}/a`, { bytesMax: 100 })), '');
      bucket.close();
    });

    test('the bytes of a put may be used again, and those of a get changed', async () => {
      const { bucket, at } = await fresh();
      const bytes = Buffer.from('first');
      await bucket.put(`${at}/a`, bytes);
      bytes.fill(0x78);
      (await bucket.get(`${at}/a`, { bytesMax: 100 })).bytes.fill(0x79);
      assert.equal(text(await bucket.get(`${at}/a`, { bytesMax: 100 })), 'first');
      bucket.close();
    });

    test('what is not there is not found', async () => {
      const { bucket, at } = await fresh();
      await assert.rejects(bucket.get(`${at}/none`, { bytesMax: 1 }), isNotFound);
      await assert.rejects(bucket.range(`${at}/none`, 0, 1), isNotFound);
      await bucket.put(`${at}/a/b`, Buffer.from('x'));
      await assert.rejects(bucket.get(`${at}/a`, { bytesMax: 1 }), isNotFound);
      await bucket.delete(`${at}/none`);
      assert.deepEqual(await keys(bucket, `${at}/none`), []);
      assert.deepEqual(await bucket.folders(`${at}/none/`), []);
      bucket.close();
    });

    test('no more is read than allowed, and not less than asked for', async () => {
      const { bucket, at } = await fresh();
      await bucket.put(`${at}/a`, randomBytes(300_000));
      await assert.rejects(bucket.get(`${at}/a`, { bytesMax: 299_999 }), hasCode('too-large'));
      await assert.rejects(bucket.range(`${at}/a`, 299_999, 2), hasCode('unavailable'));
      await assert.rejects(bucket.range(`${at}/a`, 400_000, 2), hasCode('unavailable'));
      bucket.close();
    });

    test('of several that want to make the same object one succeeds', async () => {
      const { bucket, at } = await fresh();
      const other = await open();
      const tries = await Promise.allSettled(
        Array.from({ length: 8 }, (_, i) =>
          (i % 2 ? bucket : other).put(`${at}/lock`, Buffer.from(`${i}`), { only: 'absent' }),
        ),
      );
      const winners = tries.flatMap((each, i) => (each.status === 'fulfilled' ? [i] : []));
      assert.equal(winners.length, 1);
      for (const each of tries) if (each.status === 'rejected') assert.ok(isPrecondition(each.reason), each.reason);
      assert.equal(text(await bucket.get(`${at}/lock`, { bytesMax: 100 })), `${winners[0]}`);
      bucket.close();
      other.close();
    });

    test('an object is replaced only if it is the one that was read', async () => {
      const { bucket, at } = await fresh();
      const first = await bucket.put(`${at}/a`, Buffer.from('one'));
      assert.equal((await bucket.get(`${at}/a`, { bytesMax: 9 })).version, first);
      const second = await bucket.put(`${at}/a`, Buffer.from('two'), { only: { version: first } });
      assert.notEqual(second, first);
      await assert.rejects(bucket.put(`${at}/a`, Buffer.from('three'), { only: { version: first } }), isPrecondition);
      assert.equal(text(await bucket.get(`${at}/a`, { bytesMax: 9 })), 'two');
      const racers = await Promise.allSettled(
        ['x', 'y', 'z'].map((each) => bucket.put(`${at}/a`, Buffer.from(each), { only: { version: second } })),
      );
      assert.equal(racers.filter((each) => each.status === 'fulfilled').length, 1);
      await assert.rejects(
        bucket.put(`${at}/gone`, Buffer.from('x'), { only: { version: second } }),
        (error) => isPrecondition(error) || isNotFound(error),
      );
      bucket.close();
    });

    test('a large object is stored in parts and appears at the end', async () => {
      const { bucket, at } = await fresh();
      const bytes = randomBytes(2 * bucket.partBytes + 12_345);
      async function* parts(): AsyncGenerator<Uint8Array> {
        for (let from = 0; from < bytes.length; from += bucket.partBytes) {
          assert.deepEqual(await keys(bucket, at), []);
          yield bytes.subarray(from, from + bucket.partBytes);
        }
      }
      await bucket.multipart(`${at}/large`, parts(), { again: true });
      assert.equal((await bucket.list(at)[Symbol.asyncIterator]().next()).value.bytes, bytes.length);
      const edge = bucket.partBytes - 10;
      assert.deepEqual(Buffer.from(await bucket.range(`${at}/large`, edge, 20)), bytes.subarray(edge, edge + 20));
      const whole = await bucket.get(`${at}/large`, { bytesMax: bytes.length });
      assert.ok(bytes.equals(whole.bytes));
      bucket.close();
    });

    test('an upload that fails leaves no object', async () => {
      const { bucket, at } = await fresh();
      async function* parts(): AsyncGenerator<Uint8Array> {
        yield randomBytes(bucket.partBytes);
        throw new Error('the disk is gone');
      }
      await assert.rejects(bucket.multipart(`${at}/large`, parts()), /the disk is gone/);
      assert.deepEqual(await keys(bucket, at), []);
      bucket.close();
    });

    test('an upload that has not ended is known, and can be ended', async () => {
      const { bucket, at } = await fresh();
      if (bucket.uploads === undefined) return;
      const found = async () => {
        const all = [];
        for await (const upload of bucket.uploads!(`${at}/`)) all.push(upload);
        return all;
      };
      await bucket.put(`${at}/empty`, new Uint8Array(0));
      async function* parts(): AsyncGenerator<Uint8Array> {
        // Some stores know of it when a part has come, and some that know before let a part that is on its way finish it.
        if ((await found()).length === 0) yield randomBytes(bucket.partBytes);
        await until('it is known', async () => (await found()).length > 0);
        const [upload, ...others] = await found();
        assert.deepEqual([upload.key, others], [`${at}/large`, []]);
        assert.ok(Math.abs(Date.now() - upload.startedMs) < 60_000);
        await bucket.abortUpload!(upload);
        await bucket.abortUpload!(upload);
        yield randomBytes(bucket.partBytes);
      }
      await assert.rejects(bucket.multipart(`${at}/large`, parts()));
      // Some stores take a part of what has been ended, and find out at the end.
      for (const upload of await found()) await bucket.abortUpload!(upload);
      assert.deepEqual([await found(), await keys(bucket, at)], [[], [`${at}/empty`]]);
      bucket.close();
    });

    test('keys are listed in their order, from one to another', async () => {
      const { bucket, at } = await fresh();
      const names = ['a', 'a-b', 'a.b', 'a/b', 'a/c/d', 'aa', 'b/ü', 'c'].map((each) => `${at}/${each}`);
      for (const each of [...names].reverse()) {
        // A file cannot also be a folder on a disk.
        if (each !== `${at}/a`) await bucket.put(each, Buffer.from('12345'));
      }
      const expected = names.slice(1);
      assert.deepEqual(await keys(bucket, `${at}/`), expected);
      assert.deepEqual(await keys(bucket, `${at}/a`), expected.slice(0, 5));
      assert.deepEqual(await keys(bucket, `${at}/a/`), expected.slice(2, 4));
      assert.deepEqual(await keys(bucket, `${at}/`, { from: `${at}/a/c`, to: `${at}/c` }), expected.slice(3, 6));
      assert.deepEqual(await keys(bucket, `${at}/`, { from: `${at}/a/b` }), expected.slice(2));
      for await (const listed of bucket.list(`${at}/`)) {
        assert.equal(listed.bytes, 5);
        assert.ok(Math.abs(Date.now() - listed.modifiedMs) < 3_600_000);
      }
      assert.deepEqual((await bucket.folders(`${at}/`)).sort(), ['a', 'b']);
      assert.deepEqual(await bucket.folders(`${at}/a/`), ['c']);
      assert.ok((await bucket.folders('')).includes(at));
      bucket.close();
    });

    test('more objects are listed than fit in one page', async () => {
      const { bucket, at } = await fresh();
      const names = Array.from({ length: 1203 }, (_, i) => `${at}/${String(i).padStart(5, '0')}`);
      for (let from = 0; from < names.length; from += 40)
        await Promise.all(names.slice(from, from + 40).map((each) => bucket.put(each, Buffer.from('.'))));
      assert.deepEqual(await keys(bucket, `${at}/`), names);
      assert.deepEqual(await keys(bucket, `${at}/`, { from: names[1100] }), names.slice(1100));
      bucket.close();
    });

    test('what is deleted is gone', async () => {
      const { bucket, at } = await fresh();
      await bucket.put(`${at}/a/b`, Buffer.from('x'));
      await bucket.put(`${at}/a/c`, Buffer.from('x'));
      await bucket.delete(`${at}/a/b`);
      await assert.rejects(bucket.get(`${at}/a/b`, { bytesMax: 9 }), isNotFound);
      assert.deepEqual(await keys(bucket, at), [`${at}/a/c`]);
      await bucket.delete(`${at}/a/c`);
      assert.deepEqual(await bucket.folders(`${at}/`), []);
      bucket.close();
    });

    test('nobody waits for what was aborted', async () => {
      const { bucket, at } = await fresh();
      await bucket.put(`${at}/a`, Buffer.from('x'));
      const signal = AbortSignal.abort(new Error('enough'));
      await assert.rejects(bucket.get(`${at}/a`, { bytesMax: 9, signal }), hasCode('cancelled'));
      await assert.rejects(bucket.range(`${at}/a`, 0, 1, { signal }), hasCode('cancelled'));
      await assert.rejects(bucket.put(`${at}/b`, Buffer.from('x'), { signal }), hasCode('cancelled'));
      await assert.rejects(keys(bucket, at, { signal }), hasCode('cancelled'));
      assert.deepEqual(await keys(bucket, at), [`${at}/a`]);
      bucket.close();
    });

    test('keys that would leave their folder are refused', async () => {
      const { bucket } = await fresh();
      for (const key of ['', '/a', 'a/', 'a//b', '../a', 'a/../b', '.', 'a/.'])
        await assert.rejects(async () => bucket.put(key, Buffer.from('x')), hasCode('invalid'), key);
      bucket.close();
    });
  });
}

function text({ bytes }: { bytes: Uint8Array }): string {
  return Buffer.from(bytes).toString();
}

export async function keys(bucket: Bucket, prefix: string, options?: Parameters<Bucket['list']>[1]): Promise<string[]> {
  const all: string[] = [];
  for await (const { key } of bucket.list(prefix, options)) all.push(key);
  return all;
}

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof VivaceError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}
