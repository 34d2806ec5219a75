/** The command line client against a real server and its data folder: tests/golden/cli/session.txt says what it prints. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { golden } from '../../src/cli/golden.fixture.ts';
import { spansOf } from '../../src/cli/trace.fixture.ts';
import { encodeRequest, type SpanSpec } from '../../src/query/segments.fixture.ts';
import { ROOT, run, type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { post } from './spans.fixture.ts';

const SHOP = `
shop GET /checkout 0-400
 cart GetCart 5-40
  redis HGETALL 12-31
 bank Charge 50-370
  bank POST card.example 60-260 ! Read timed out
  bank POST card.example 262-365
 stock UPDATE stock 70-118
`;
const MAIL = 'mail send 2000-2030 ? 153';

describe('vivace-cli', () => {
  const works: (() => void | Promise<void>)[] = [];
  const cleanup = { after: (work: () => void | Promise<void>) => void works.push(work) };
  let server: Server;
  let env: Record<string, string>;

  before(async () => {
    const folder = temporaryFolder(cleanup, 'cli');
    server = await startServer(cleanup, { directory: folder });
    const answer = await post(server.otlpUrl, encodeRequest([...shopSpans(), ...spansOf(MAIL, 0xabc)]));
    assert.equal(answer.status, 200);
    assert.equal((await fetch(`${server.url}/flush`)).status, 204);
    const data = path.join(folder, 'data');
    const blocks = path.join(data, 'blocks/single-tenant');
    await until('there is a block', () => fs.existsSync(blocks) && fs.readdirSync(blocks).length > 0);
    const config = path.join(folder, 'tempo.yaml');
    fs.writeFileSync(
      config,
      `storage: {trace: {backend: local, local: {path: ${data}/blocks}, wal: {path: ${data}/wal}}}\n`,
    );
    const tools = path.join(folder, 'tools');
    fs.mkdirSync(tools);
    fs.writeFileSync(
      path.join(tools, 'json'),
      `#!${process.execPath}\nlet value = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n` +
        'for (const key of process.argv.slice(2)) value = value[key];\nconsole.log(value);\n',
      { mode: 0o755 },
    );
    env = {
      PATH: `${tools}:${path.join(ROOT, 'bin')}:${process.env.PATH}`,
      SERVER: `127.0.0.1:${server.ports.api}`,
      GRPC: `127.0.0.1:${server.ports.internalGrpc}`,
      DATA: data,
      CONFIG: config,
      BLOCK: fs.readdirSync(blocks)[0],
    };
  });
  after(async () => {
    for (const work of works.reverse()) await work();
  });

  golden('session.txt', async (input) => {
    const ended = await run('/bin/bash', ['-c', input], { env });
    let output = ended.stdout;
    if (ended.code !== 0) output += `${ended.stderr}exit ${ended.code}\n`;
    for (const name of ['SERVER', 'GRPC', 'DATA', 'BLOCK']) output = output.replaceAll(env[name], `$${name}`);
    return output;
  });

  it('completes commands, options and their values in bash', async () => {
    const complete = async (...words: string[]): Promise<string[]> => {
      const script = `source <(vivace-cli completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _vivace_cli; echo "\${COMPREPLY[@]}"`;
      const ended = await run('/bin/bash', ['-c', script, 'bash', 'vivace-cli', ...words], { env });
      assert.equal(ended.stderr, '');
      return ended.stdout.trim().split(' ');
    };
    assert.deepEqual(await complete(''), [
      'query',
      'list',
      'view',
      'retention',
      'delete',
      'fsck',
      'compact',
      'rewrite-blocks',
      'rewrite',
      'export',
      'import',
      'completion',
      '--help',
    ]);
    assert.deepEqual(await complete('query', 'api', 'search'), ['search', 'search-tags', 'search-tag-values']);
    assert.deepEqual(await complete('query', 'api', 'search', 'localhost:3200', '--l'), ['--limit']);
    assert.deepEqual(await complete('list', 'blocks', '--color', 'a'), ['auto', 'always']);
    assert.deepEqual(await complete('list', 'blocks', '-o', ''), ['table', 'json']);
    assert.deepEqual(await complete('list', 'blocks', 'fold'), ['']);
  });
});

function shopSpans(): SpanSpec[] {
  return spansOf(SHOP).map((span) =>
    span.span !== 7
      ? span
      : {
          ...span,
          scope: { name: 'pg', version: '8.1' },
          attributes: { 'db.system': 'postgresql', 'db.rows': 3n, 'db.ids': ['a', 'b'] },
          events: [{ name: 'retry', at: 90, attributes: { attempt: 2n } }],
          links: [{ trace: 0xabc, span: 1 }],
        },
  );
}
