/** Blocks are looked through while somebody else merges, marks or removes them. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { type CheckedTenant, type CheckOptions, checkTenant, type Finding } from '../../src/block/check-blocks.ts';
import { FILTERS_FILE, LEASE_FILE } from '../../src/block/objects.ts';
import { bucketBlocks, folderBlocks } from '../../src/block/stored-blocks.ts';
import { INDEX_FILE, INDEX_FILE_PROTOBUF } from '../../src/block/tenant-index.ts';
import { encodeRequest } from '../../src/cut/otlp.fixture.ts';
import { memoryBucket } from '../../src/store/memory.ts';
import { temporaryFolder } from '../process/server.fixture.ts';
import { cut, TestColumns } from './segments.fixture.ts';
import { requestNumber } from './snapshots-requests.fixture.ts';

const TENANT = 'test';

function optionsOf(findings: Finding[]): CheckOptions {
  return {
    fast: false,
    nowMs: Date.now(),
    youngMs: 0,
    removeUploads: false,
    onFinding: async (finding) => void findings.push(finding),
    onBlock() {},
    pause: setImmediate,
  };
}

/** Two blocks are listed, then `meanwhile` happens to the first, then they are looked into. */
async function check(folder: string, meanwhile: (block: string) => void): Promise<[CheckedTenant, string[]]> {
  for (const number of [1, 2]) {
    const columns = new TestColumns();
    columns.append(encodeRequest(requestNumber(number)));
    await cut(columns, folder);
  }
  const stored = folderBlocks(folder);
  const findings: Finding[] = [];
  const checked = await checkTenant(
    {
      ...stored,
      async look(tenant) {
        const seen = await stored.look(tenant);
        meanwhile(path.join(folder, tenant, [...seen.blocks.keys()][0]));
        return seen;
      },
    },
    TENANT,
    optionsOf(findings),
  );
  return [checked, findings.map(({ text }) => text)];
}

test('a block that is removed meanwhile is no finding', async (t) => {
  const [checked, findings] = await check(temporaryFolder(t, 'check'), (block) =>
    fs.rmSync(block, { recursive: true }),
  );
  assert.deepEqual([checked.blocks, findings], [1, []]);
});

test('a block that is marked as merged meanwhile is no finding', async (t) => {
  const [checked, findings] = await check(temporaryFolder(t, 'check'), (block) =>
    fs.renameSync(path.join(block, 'meta.json'), path.join(block, 'meta.compacted.json')),
  );
  assert.deepEqual([checked.blocks, checked.compacted, findings], [1, 1, []]);
});

test('a file that is lost meanwhile is one', async (t) => {
  const [checked, findings] = await check(temporaryFolder(t, 'check'), (block) =>
    fs.rmSync(path.join(block, 'traces')),
  );
  assert.deepEqual([checked.blocks, findings], [1, ['traces is missing']]);
});

test('what stands beside the blocks of a bucket is no finding, unless nobody knows what it is', async () => {
  const bucket = memoryBucket();
  for (const name of [INDEX_FILE, INDEX_FILE_PROTOBUF, FILTERS_FILE, LEASE_FILE, 'stranger'])
    await bucket.put(`${TENANT}/${name}`, new Uint8Array(1));
  const findings: Finding[] = [];
  await checkTenant(bucketBlocks(bucket), TENANT, optionsOf(findings));
  assert.deepEqual(
    findings.map(({ text }) => text),
    ['stranger belongs to no block'],
  );
});
