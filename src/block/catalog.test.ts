import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { BlockCatalog } from './catalog.ts';
import { type BlockMeta, parseMeta, rfc3339Seconds } from './meta.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-catalog-'));
after(() => fs.rmSync(root, { recursive: true }));

const blockId = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

function metaOf(n: number, tenant: string): BlockMeta {
  return {
    format: 'vivace1',
    blockID: blockId(n),
    tenantID: tenant,
    startTime: rfc3339Seconds(1000 * n),
    endTime: rfc3339Seconds(1000 * n + 500),
    totalObjects: 1,
    size: 100,
    compactionLevel: 0,
    encoding: 'none',
    indexPageSize: 0,
    totalRecords: 1,
    dataEncoding: '',
    bloomShards: 0,
    footerSize: 10,
    vivace: { spans: 1, pageRows: 8, tracesBytes: 50 },
  };
}

/** A block appears as another process makes it appear: whole, by a rename. */
function appear(folder: string, n: number, tenant: string, text = JSON.stringify(metaOf(n, tenant))): void {
  const hidden = path.join(folder, tenant, `.${blockId(n)}`);
  fs.mkdirSync(hidden, { recursive: true });
  fs.writeFileSync(path.join(hidden, 'meta.json'), text);
  fs.renameSync(hidden, path.join(folder, tenant, blockId(n)));
}

const ids = (catalog: BlockCatalog, tenant: string): string[] => catalog.blocks(tenant).map((block) => block.id);

test('blocks of other processes come and go, newest first', () => {
  const folder = fs.mkdtempSync(path.join(root, 'case-'));
  const catalog = new BlockCatalog(folder);
  assert.deepEqual(catalog.refresh(), []);
  appear(folder, 1, 'one');
  appear(folder, 3, 'one');
  appear(folder, 2, 'two');
  fs.mkdirSync(path.join(folder, 'one', `.${blockId(4)}`));
  fs.mkdirSync(path.join(folder, 'one', 'lost+found'));
  assert.deepEqual(catalog.refresh(), []);
  assert.deepEqual(
    [ids(catalog, 'one'), ids(catalog, 'two'), ids(catalog, 'three')],
    [[blockId(3), blockId(1)], [blockId(2)], []],
  );
  assert.equal(catalog.count, 3);
  assert.deepEqual(catalog.tenants().sort(), ['one', 'two']);
  const { version } = catalog;
  catalog.refresh();
  assert.equal(catalog.version, version, 'nothing changed');
  fs.rmSync(path.join(folder, 'one', blockId(3)), { recursive: true });
  appear(folder, 5, 'one');
  catalog.refreshIfChanged('one');
  assert.deepEqual(ids(catalog, 'one'), [blockId(5), blockId(1)]);
  assert.ok(catalog.version > version);
  const [{ startSeconds, endSeconds }] = catalog.blocks('two');
  assert.deepEqual([startSeconds, endSeconds], [2000, 2500]);
});

test('a folder without a meta is nothing, and one with a strange meta is told', () => {
  const folder = fs.mkdtempSync(path.join(root, 'case-'));
  fs.mkdirSync(path.join(folder, 't', blockId(1)), { recursive: true });
  appear(folder, 2, 't', '{"format":"vParquet4"');
  appear(folder, 3, 't', JSON.stringify({ ...metaOf(3, 't'), format: 'vParquet4' }));
  appear(folder, 4, 't');
  const catalog = new BlockCatalog(folder);
  const problems = catalog.refresh();
  assert.deepEqual(ids(catalog, 't'), [blockId(4)]);
  assert.equal(problems.length, 2);
  for (const [index, problem] of problems.sort().entries())
    assert.match(
      problem,
      new RegExp(`^cannot read block .*${blockId(index + 2)}: its meta.json is (?:damaged|not that)`),
    );
  // What nobody can tell the age of is missing from every answer; other formats are nobody's loss.
  assert.deepEqual(
    catalog.damaged('t').map(({ id, startSeconds }) => [id, startSeconds]),
    [[blockId(2), 0]],
  );
});

test('a meta is what it says', () => {
  const meta = metaOf(1, 't');
  assert.deepEqual(parseMeta(JSON.stringify(meta)), meta);
  for (const text of [
    '',
    'null',
    '[]',
    '{}',
    '{"format":"vivace1"}',
    '{"format":"vivace1","blockID":"x"}',
    '{"format":"vivace2","blockID":"x","vivace":{"pageRows":1}}',
  ])
    assert.equal(parseMeta(text), undefined, text);
});

test('times are whole seconds in UTC, also at the ends of what OTLP can say', () => {
  assert.equal(rfc3339Seconds(0), '1970-01-01T00:00:00Z');
  assert.equal(rfc3339Seconds(1_700_000_000), '2023-11-14T22:13:20Z');
  assert.equal(rfc3339Seconds(Math.ceil(2 ** 64 / 1e9)), '2554-07-21T23:34:34Z');
});
