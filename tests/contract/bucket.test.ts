/** The suite over every implementation, and what only one of them has. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { azureBucket } from '../../src/store/azure.ts';
import { gcsBucket } from '../../src/store/gcs.ts';
import { localBucket } from '../../src/store/local.ts';
import { memoryBucket } from '../../src/store/memory.ts';
import { prefixed } from '../../src/store/prefixed.ts';
import { s3Bucket } from '../../src/store/s3.ts';
import { type Cleanup, temporaryFolder } from '../process/server.fixture.ts';
import { azureProgram, startAzureServer } from './azure-server.fixture.ts';
import { bucketContract, keys } from './bucket.ts';
import { gcsProgram, startGcsServer } from './gcs-server.fixture.ts';
import { s3Program, s3Settings, startS3Server } from './s3-server.fixture.ts';

const file: Cleanup = { after: (work) => after(work) };

// Everything is waited for before the first test is made: the runner takes a file without tests under way for finished.
const program = await s3Program();
const azurite = await azureProgram();
const fakeGcs = await gcsProgram();
const s3 = 'file' in program ? await startS3Server(file, program.file) : undefined;
const azure = 'file' in azurite ? await startAzureServer(file, azurite.file) : undefined;
const gcs = 'file' in fakeGcs ? await startGcsServer(file, fakeGcs.file) : undefined;
const skip = 'missing' in program ? program.missing : undefined;
const noAzure = 'missing' in azurite ? azurite.missing : undefined;
const noGcs = 'missing' in fakeGcs ? fakeGcs.missing : undefined;
const folder = temporaryFolder(file, 'bucket');
const memory = memoryBucket();

for (const each of [
  { name: 'memory', open: async () => memory },
  { name: 'local', open: async () => localBucket(folder) },
  { name: 'S3', open: async () => s3Bucket(s3Settings(s3!)), skip },
  { name: 'Azure', open: () => azureBucket(azure!), skip: noAzure },
  { name: 'GCS', open: async () => gcsBucket(gcs!), skip: noGcs },
]) {
  bucketContract(each);
  const withPrefix = async () => prefixed(await each.open(), '/some/where/');
  bucketContract({ ...each, name: `${each.name} with a prefix`, open: withPrefix });
}

describe('Azure', { skip: noAzure }, () => {
  test('a wrong key and a missing container are named with their cure', async () => {
    const key = Buffer.from('another').toString('base64');
    const wrong = await azureBucket({ ...azure!, storageAccountKey: key });
    await assert.rejects(wrong.put('a', Buffer.from('x')), /access denied \(.*\); check storage\.trace\.azure/);
    const missing = await azureBucket({ ...azure!, containerName: 'nowhere' });
    await assert.rejects(missing.put('a', Buffer.from('x')), /the container does not exist/);
    await assert.rejects(missing.get('a', { bytesMax: 1 }), /the container does not exist/);
  });
});

describe('GCS', { skip: noGcs }, () => {
  test('a missing bucket is no missing object', async () => {
    const missing = gcsBucket({ ...gcs!, bucketName: 'nowhere', maxRetries: 0 });
    await assert.rejects(keys(missing, ''), /the bucket does not exist; make it/);
    await assert.rejects(missing.put('a', Buffer.from('x')), /the bucket does not exist; make it/);
  });
});

describe('S3', { skip }, () => {
  test('a wrong secret, an unknown account and a missing bucket are named with their cure', async () => {
    const wrong = s3Bucket(s3Settings(s3!, { secretKey: 'another', retryMaxAttempts: 1 }));
    await assert.rejects(
      wrong.put('a', Buffer.from('x')),
      /access denied \(.*\); check storage\.trace\.s3\.access_key/,
    );
    const unknown = s3Bucket(s3Settings(s3!, { accessKey: 'nobody', retryMaxAttempts: 1 }));
    await assert.rejects(unknown.get('a', { bytesMax: 1 }), /access denied/);
    const missing = s3Bucket(s3Settings(s3!, { bucket: 'nowhere', retryMaxAttempts: 1 }));
    await assert.rejects(missing.put('a', Buffer.from('x')), /the bucket does not exist/);
    await assert.rejects(missing.get('a', { bytesMax: 1 }), /the bucket does not exist/);
    await assert.rejects(keys(missing, ''), /the bucket does not exist/);
  });

  test('credentials come from the environment, MinIO’s too', async () => {
    const settings = s3Settings(s3!, { accessKey: '', secretKey: '' });
    const bucket = s3Bucket(settings, { MINIO_ROOT_USER: s3!.accessKey, MINIO_ROOT_PASSWORD: s3!.secretKey });
    await bucket.put('env/minio', Buffer.from('x'));
    assert.equal((await bucket.get('env/minio', { bytesMax: 1 })).bytes.length, 1);
  });

  test('what a killed upload left is removed by the next', async () => {
    const bucket = s3Bucket(s3Settings(s3!));
    const { S3Client, CreateMultipartUploadCommand, ListMultipartUploadsCommand } = await import('@aws-sdk/client-s3');
    const client = new S3Client({
      endpoint: `http://${s3!.endpoint}`,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: s3!.accessKey, secretAccessKey: s3!.secretKey },
    });
    for (const Key of ['again/large', 'again/large-other'])
      await client.send(new CreateMultipartUploadCommand({ Bucket: 'traces', Key }));
    async function* parts(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('whole');
    }
    await bucket.multipart('again/large', parts(), { again: true });
    const left = await client.send(new ListMultipartUploadsCommand({ Bucket: 'traces', Prefix: 'again/' }));
    assert.deepEqual(
      left.Uploads?.map(({ Key }) => Key),
      ['again/large-other'],
    );
    client.destroy();
  });
});
