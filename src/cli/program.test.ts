import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { runCli } from './program.ts';
import type { World } from './terminal.ts';

/** A run whose output, of both kinds in the order in which it came, ends in `written`. */
function worldOf(written: string[], more: Partial<World> = {}): Omit<World, 'onEnd'> {
  const output = { write: (text: string) => void written.push(text), isTTY: true, columns: 80, getColorDepth: () => 1 };
  return { program: 'vivace-cli', version: '1.2.3', stdout: output, stderr: output, env: {}, nowMs: Date.now, ...more };
}

describe('the program', () => {
  const cases: [args: string[], code: number, text: RegExp][] = [
    [['--version'], 0, /^1\.2\.3\n$/],
    [['--help'], 0, /Usage: vivace-cli .*Commands:.*query.*Examples:.*vivace-cli query api search localhost/s],
    [['query', 'api', 'search', '--help'], 0, /<endpoint> <query> \[start\] \[end\]/],
    [[], 2, /Usage: vivace-cli/],
    [['list'], 2, /Usage: vivace-cli list/],
    [['list', 'blocks', '--nope'], 2, /unknown option '--nope'/],
    [['query', 'api', 'search', 'h', '{ }', '--limit', 'x'], 2, /--limit wants a whole number of at least 1/],
    [['query', 'api', 'search', 'h', '{ }', '--header', 'x'], 2, /Write it as key=value/],
    [
      ['query', 'api', 'search', './data', '{ }', '--use-grpc'],
      2,
      /--use-grpc asks a server, and \.\/data is a folder/,
    ],
    [['list', 'blocks', '--output', 'xml'], 2, /Allowed choices are table, json/],
    [['query', 'trace-id', '1', '--percentage', '2', '--bucket', '/tmp'], 2, /--percentage wants a share/],
  ];
  for (const [args, code, text] of cases)
    it(`${args.join(' ')} ends with ${code}`, async () => {
      const written: string[] = [];
      assert.equal(await runCli(args, worldOf(written)), code, written.join(''));
      assert.match(written.join(''), text);
    });

  it('takes the line of progress away before it prints', async (t) => {
    const written: string[] = [];
    const world = worldOf(written);
    const server = http.createServer((_request, response) => {
      // Answers when the line is there.
      const timer = setInterval(() => {
        if (!written.some((text) => text.includes('searching'))) return;
        clearInterval(timer);
        response.end('{"traces":[{"traceID":"abc"}]}');
      }, 5);
    });
    t.after(() => server.close());
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const endpoint = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    assert.equal(await runCli(['query', 'api', 'search', endpoint, '{ }'], world), 0);
    const shown = written.findIndex((text) => text.includes('abc'));
    assert.equal(written[shown - 1], '\r\u001b[2K');
    assert.ok(!written.slice(shown).some((text) => text.includes('\r')));
  });
});
