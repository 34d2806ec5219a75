/** The S3 bucket before a real server on bad days: what passes by is not noticed, what stays is told, nothing is wrong. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { VivaceError } from '../../src/runtime/errors.ts';
import type { Bucket } from '../../src/store/bucket.ts';
import { s3Bucket } from '../../src/store/s3.ts';
import type { Cleanup } from '../process/server.fixture.ts';
import { keys } from './bucket.ts';
import { type Fault, type FaultProxy, faultProxy } from './fault-proxy.fixture.ts';
import { type S3Server, s3Program, s3Settings, startS3Server } from './s3-server.fixture.ts';

const file: Cleanup = { after: (work) => after(work) };
const program = await s3Program();
const skip = 'missing' in program ? program.missing : undefined;
const server = 'file' in program ? await startS3Server(file, program.file) : undefined;
const proxy = server === undefined ? undefined : await faultProxy(file, server.endpoint);
/** Where something stalls; where nothing does, a slow machine must not pass for a stall. */
const SILENT_MS = 1000;
const PATIENT_MS = 60_000;

/** Faults that end when asked again; those of bodies only make sense for reads. */
const PASSING: Fault[] = ['slow-down', 'error', 'reset', 'lost-answer', 'stall'];
const PASSING_READS: Fault[] = [...PASSING, 'truncate', 'stall-body'];

describe('S3 on bad days', { skip }, () => {
  for (const fault of PASSING_READS)
    test(`${fault}: reads succeed when it is over`, async () => {
      const { bucket, at } = open(fault);
      const bytes = randomBytes(200_000);
      await bucket.put(`${at}/a`, bytes);
      await beset([fault], async () => {
        assert.ok(bytes.equals((await bucket.get(`${at}/a`, { bytesMax: 1 << 20 })).bytes));
      });
      await beset([fault], async () => {
        assert.ok(bytes.subarray(1000, 150_000).equals(await bucket.range(`${at}/a`, 1000, 149_000)));
      });
    });

  for (const fault of PASSING)
    test(`${fault}: writes, lists and deletions succeed when it is over`, async () => {
      const { bucket, at } = open(fault);
      const bytes = randomBytes(2 * bucket.partBytes + 100);
      async function* parts() {
        for (let from = 0; from < bytes.length; from += bucket.partBytes)
          yield bytes.subarray(from, from + bucket.partBytes);
      }
      await beset([fault], () => bucket.put(`${at}/a`, bytes.subarray(0, 1000)));
      await beset(['none', fault, 'none', fault], () => bucket.multipart(`${at}/b`, parts()));
      assert.ok(bytes.equals((await bucket.get(`${at}/b`, { bytesMax: bytes.length })).bytes));
      await beset([fault], async () => assert.deepEqual(await keys(bucket, at), [`${at}/a`, `${at}/b`]));
      await beset([fault], () => bucket.delete(`${at}/a`));
      assert.deepEqual(await keys(bucket, at), [`${at}/b`]);
    });

  for (const fault of PASSING_READS)
    test(`${fault}: what does not end is told as unavailable`, async () => {
      const { bucket, at } = open(fault, 4);
      await open().bucket.put(`${at}/a`, randomBytes(200_000));
      await beset(Array(100).fill(fault), async () => {
        await assert.rejects(bucket.range(`${at}/a`, 0, 1000), (error) => {
          assert.ok(error instanceof VivaceError);
          assert.equal(error.code, 'unavailable');
          assert.match(error.message, /^cannot read .* of S3 bucket traces: ./);
          return true;
        });
      });
    });

  test('wrong ETags of parts: the upload is told to have failed, and nothing is there', async () => {
    const { bucket, at } = open();
    async function* parts() {
      for (let part = 0; part < 2; part++) yield randomBytes(bucket.partBytes);
    }
    // Only parts have ETags that are used again.
    await assert.rejects(
      beset(Array(3).fill('wrong-etag'), () => bucket.multipart(`${at}/a`, parts())),
      (error) => error instanceof VivaceError && error.code === 'unavailable',
    );
    assert.deepEqual(await keys(bucket, at), []);
    await bucket.multipart(`${at}/a`, parts());
    assert.deepEqual(await keys(bucket, at), [`${at}/a`]);
  });

  test('a conditional put whose answer is lost is not said to have failed for another one’s sake', async () => {
    const { bucket, at } = open();
    const outcome = await beset(['lost-answer'], () =>
      bucket.put(`${at}/lock`, Buffer.from('mine'), { only: 'absent' }).then(
        () => 'made',
        (error: VivaceError) => error.code,
      ),
    );
    // Asked again, the server says that there is one: whoever holds a lock by this must look whose it is.
    assert.ok(outcome === 'made' || outcome === 'precondition');
    assert.equal(Buffer.from((await bucket.get(`${at}/lock`, { bytesMax: 9 })).bytes).toString(), 'mine');
  });

  test('credentials that are revoked and restored', async () => {
    const right = open();
    await right.bucket.put(`${right.at}/a`, Buffer.from('x'));
    const wrong = s3Bucket(s3Settings(server as S3Server, { secretKey: 'revoked' }));
    await assert.rejects(wrong.get(`${right.at}/a`, { bytesMax: 1 }), /access denied/);
    assert.equal((await right.bucket.get(`${right.at}/a`, { bytesMax: 1 })).bytes.length, 1);
  });
});

function open(fault: Fault = 'none', retryMaxAttempts = 10): { bucket: Bucket; at: string } {
  const settings = s3Settings(server as S3Server, { endpoint: (proxy as FaultProxy).endpoint, retryMaxAttempts });
  const silentMs = fault.startsWith('stall') ? SILENT_MS : PATIENT_MS;
  return { bucket: s3Bucket(settings, {}, silentMs), at: `run-${randomBytes(6).toString('hex')}` };
}

/** The next requests meet these faults, one each, and those after them none. */
async function beset<A>(faults: Fault[], work: () => Promise<A>): Promise<A> {
  const left = [...faults];
  (proxy as FaultProxy).decide = () => left.shift() ?? 'none';
  try {
    return await work();
  } finally {
    (proxy as FaultProxy).decide = () => 'none';
  }
}
