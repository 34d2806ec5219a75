import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { BlockCatalog } from '../block/catalog.ts';
import { Appender } from '../cut/append.ts';
import { LiveColumns } from '../cut/columns.ts';
import { cutBlock } from '../cut/cut-block.ts';
import { encodeRequest, type SpanSpec } from '../query/segments.fixture.ts';
import { runCli } from './program.ts';
import { spansOf } from './trace.fixture.ts';

/** A data folder with a block of each trace, by tenant. */
async function folderOf(t: TestContext, tenants: Record<string, string[]>): Promise<string> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-cli-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  let trace = 0;
  for (const [tenant, traces] of Object.entries(tenants))
    for (const text of traces) await addBlock(folder, tenant, spansOf(text, ++trace));
  return folder;
}

async function addBlock(folder: string, tenant: string, spans: SpanSpec[]): Promise<void> {
  const columns = new LiveColumns(16 * 1024 * 1024, 1);
  new Appender(columns, { attributeBytesMax: 2048, traceBytesMax: 0 }).append(encodeRequest(spans));
  await cutBlock(columns.snapshot(1, tenant), {
    blocksDirectory: path.join(folder, 'blocks'),
    pageRows: 4,
    createdBy: 'test',
    fsync: 'never',
    log: { instance: 'test', sequence: 1 },
    cutMs: Date.now(),
    pause: async () => {},
  });
}

async function cli(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const written = { out: '', err: '' };
  const output = (name: 'out' | 'err') => ({
    write: (text: string) => {
      written[name] += text;
    },
  });
  const world = { program: 'vivace-cli', version: '1', env: {}, nowMs: Date.now };
  const code = await runCli(args, { ...world, stdout: output('out'), stderr: output('err') });
  return { code, ...written };
}

describe('a data folder', () => {
  it('of several tenants, together and one by one', async (t) => {
    const folder = await folderOf(t, { a: ['shop GET / 0-10'], b: ['bank charge 20-30'] });
    const both = await cli('query', 'api', 'tag-values', folder, 'resource.service.name', '--org-id', 'a|b');
    assert.equal(both.out, 'type    value\nstring  bank\nstring  shop\n');
    const one = await cli('query', 'api', 'tag-values', folder, 'resource.service.name', '--org-id', 'b');
    assert.equal(one.out, 'type    value\nstring  bank\n');
    const none = await cli('query', 'api', 'search', folder, '{ }');
    assert.equal(none.code, 1);
    assert.match(none.err, /no blocks of tenant single-tenant in .*; it has a, b; name one of these/);
  });

  it('that a trace is divided over', async (t) => {
    const folder = await folderOf(t, {});
    await addBlock(folder, 'a', spansOf('shop GET / 0-10', 7));
    await addBlock(
      folder,
      'a',
      spansOf('bank charge 2-8 ? 1', 7).map((span) => ({ ...span, span: 2 })),
    );
    const { code, out, err } = await cli('query', 'trace-id', '7', 'a', '--bucket', folder);
    assert.equal(code, 0);
    assert.match(out, /^2 spans {2}2 services {2}depth 2/m);
    assert.match(err, /^in 2 of 2 blocks: /);
    assert.match(
      (await cli('query', 'trace-id', '7', 'a', '--bucket', folder, '--percentage', '0.5')).err,
      /^in 1 of 1 block: /,
    );
  });

  it('with a damaged block answers from the others and says so', async (t) => {
    const folder = await folderOf(t, { a: ['shop GET / 0-10', 'bank charge 20-30', 'mail send 40-50'] });
    const catalog = new BlockCatalog(path.join(folder, 'blocks'));
    catalog.refresh();
    const [cut, flipped] = catalog.blocks('a');
    const file = path.join(flipped.directory!, 'data.parquet');
    const bytes = fs.readFileSync(file);
    // Pages, not the footer.
    for (let at = 4; at < bytes.length / 2; at++) bytes[at] ^= 0x55;
    fs.writeFileSync(file, bytes);
    fs.truncateSync(path.join(cut.directory!, 'data.parquet'), 100);
    for (const args of [
      ['query', 'api', 'search', folder, '{ name != "" }', '--org-id', 'a'],
      ['query', 'search', 'service.name', 'mail', '2023-11-14', '2023-11-15', 'a', '--bucket', folder],
    ]) {
      const { code, out, err } = await cli(...args);
      assert.equal(code, 0, err);
      assert.ok(out.trim().split('\n').length <= 2, out);
      assert.match(err, new RegExp(`block ${cut.id} of tenant a is left out: `));
    }
    const searched = await cli('query', 'api', 'search', folder, '{ name != "" }', '--org-id', 'a');
    assert.match(searched.err, new RegExp(`block ${flipped.id} of tenant a is left out: `));
    for (const trace of ['1', '2', '3']) {
      const { err } = await cli('query', 'trace-id', trace, 'a', '--bucket', folder);
      assert.match(err, new RegExp(`block ${cut.id} of tenant a is left out: `));
    }
    assert.equal((await cli('view', 'block', 'a', cut.id, '--bucket', folder)).code, 1);
  });

  it('with what is no block of ours says so', async (t) => {
    const folder = await folderOf(t, { a: ['shop GET / 0-10'] });
    const foreign = path.join(folder, 'blocks/a/00000000-0000-0000-0000-000000000000');
    fs.mkdirSync(foreign);
    fs.writeFileSync(path.join(foreign, 'meta.json'), '{"format":"vParquet4"}');
    const { code, out, err } = await cli('list', 'blocks', 'a', '--bucket', folder);
    assert.equal(code, 0);
    assert.equal(out.trim().split('\n').length, 2);
    assert.match(err, /its meta\.json is not that of a block of ours/);
  });
});
