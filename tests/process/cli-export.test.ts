/** `vivace-cli export` of a folder and of a server that runs on it, and `import` into a fresh server, by its receiver and by its folder. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { openExportedBlock } from '../../src/cli/exported-block.ts';
import { VivaceError } from '../../src/runtime/errors.ts';
import { type Attribute, decodeRequest, encodeRequest, type Request, requestOf } from '../../src/cut/otlp.fixture.ts';
import { openDuckdb, rowsByDuckdb } from '../contract/foreign-readers.fixture.ts';
import { double, int, linesOf, str } from '../contract/segments.fixture.ts';
import { type Cleanup, ROOT, run, type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, post } from './spans.fixture.ts';

const START = BigInt(Date.now() - 60_000) * 1_000_000n;
/** A value of every kind, and what a line or a text could break. */
const ATTRIBUTES: Attribute[] = [
  { key: 'text', value: str('größer \u2028 als\n"€"') },
  { key: 'empty text', value: str('') },
  { key: 'yes', value: { type: 'bool', value: true } },
  { key: 'no', value: { type: 'bool', value: false } },
  { key: 'most', value: int(2n ** 63n - 1n) },
  { key: 'least', value: int(-(2n ** 63n)) },
  { key: 'zero', value: int(0) },
  { key: 'tenth', value: double(0.1) },
  { key: 'endless', value: double(Number.NEGATIVE_INFINITY) },
  { key: 'list', value: { type: 'array', values: [str('a'), int(1), double(2.5), { type: 'bool', value: false }] } },
  { key: 'texts', value: { type: 'array', values: [str('a'), str('b')] } },
  { key: 'map', value: { type: 'kvlist', values: [{ key: 'in', value: { type: 'array', values: [int(7)] } }] } },
  { key: 'bytes', value: { type: 'bytes', hex: '00ff10' } },
  { key: 'nothing', value: { type: 'empty' } },
  { key: 'twice', value: str('text') },
  { key: 'twice', value: int(5) },
];
const TRACES = [
  '0123456789abcdef0123456789abcdef',
  '00000000000000000000000000000abc',
  'ffffffffffffffffffffffffffffffff',
];
const OTHER = '11111111111111111111111111111111';

function wholeSpan(traceId: string, number: number) {
  return {
    traceId,
    spanId: `b7ad6b716920333${number}`,
    parentId: number === 0 ? '' : 'b7ad6b7169203330',
    name: `step ${number}`,
    kind: number,
    traceState: 'a=b',
    start: START + BigInt(number),
    end: START + 1_000_000_000n,
    attributes: ATTRIBUTES,
    droppedAttributes: 1,
    events: [{ time: START + 1n, name: 'event', attributes: ATTRIBUTES, dropped: 2 }],
    droppedEvents: 3,
    links: [
      { traceId: OTHER, spanId: '00f067aa0ba902b7', traceState: 'c=d', attributes: ATTRIBUTES, dropped: 4, flags: 1 },
    ],
    droppedLinks: 5,
    statusMessage: 'broken',
    status: number % 3,
    flags: 257,
  };
}

function requestWith(numbers: number[], traces: string[], service: string): Request {
  const [resource] = requestOf(...traces.flatMap((trace) => numbers.map((number) => wholeSpan(trace, number))));
  resource.resource = { attributes: [...ATTRIBUTES, { key: 'service.name', value: str(service) }], dropped: 6 };
  resource.schemaUrl = 'https://example.org/resource';
  resource.scopes[0].scope = { name: 'tests', version: '1', attributes: ATTRIBUTES, dropped: 7 };
  resource.scopes[0].schemaUrl = 'https://example.org/scope';
  return [resource];
}

async function cli(...args: string[]): Promise<string> {
  const ended = await run(path.join(ROOT, 'bin/vivace-cli'), args);
  assert.equal(ended.code, 0, `${args.join(' ')}: ${ended.stderr}`);
  return ended.stdout;
}

async function fails(code: number, why: RegExp, ...args: string[]): Promise<void> {
  const ended = await run(path.join(ROOT, 'bin/vivace-cli'), args);
  assert.deepEqual([ended.code, why.test(ended.stderr) ? '' : ended.stderr], [code, ''], args.join(' '));
}

/** The trace as lines that are equal when the spans are; none when it is not there. */
async function traceOf(server: Server, trace: string, tenant?: string): Promise<string[]> {
  const headers = { Accept: 'application/protobuf', ...(tenant !== undefined && { 'X-Scope-OrgID': tenant }) };
  const answer = await ask(`${server.url}/api/traces/${trace}`, { headers });
  return answer.status === 404 ? [] : linesOf(decodeRequest(answer.body));
}

const suite: Cleanup = { after: (work) => after(work) };
const folder = temporaryFolder(suite, 'export');
let source: Server;
let fresh: Server;
const expected = new Map<string, string[]>();

before(async () => {
  source = await startServer(suite, { directory: path.join(folder, 'source'), flags: ['--compactor.disabled=true'] });
  fresh = await startServer(suite, {
    directory: path.join(folder, 'fresh'),
    flags: ['--multitenancy-enabled=true', '--storage.trace.blocklist-poll=200ms'],
  });
  // The traces lie in two blocks each, and only the first part matches.
  const parts = [
    [...requestWith([0, 1, 2], TRACES, 'wanted'), ...requestWith([0], [OTHER], 'other')],
    requestWith([3, 4, 5], TRACES, 'second'),
  ];
  for (const part of parts) {
    assert.equal((await post(source.otlpUrl, encodeRequest(part))).status, 200);
    await ask(`${source.url}/flush`);
  }
  for (const trace of TRACES) {
    expected.set(trace, await traceOf(source, trace));
    assert.equal(expected.get(trace)!.length, 6);
  }
});

/** The tenant of the fresh server has what was exported, and nothing else. */
async function assertImported(tenant: string): Promise<void> {
  await until('it is there', async () => (await traceOf(fresh, TRACES[0], tenant)).length > 0);
  for (const [trace, spans] of expected) assert.deepEqual(await traceOf(fresh, trace, tenant), spans, tenant);
  assert.deepEqual(await traceOf(fresh, OTHER, tenant), []);
}

const QUERY = '{ resource.service.name = "wanted" }';
const FORMS = { 'traces.parquet': 'folder', 'traces.otlp': 'folder', 'traces.jsonl': 'folder', 'live.otlp': 'server' };

for (const [name, from] of Object.entries(FORMS))
  it(`${name} of a ${from} comes back, through a receiver and through a folder`, async () => {
    const file = path.join(folder, name);
    const endpoint = from === 'folder' ? source.dataDirectory : source.url;
    const range = from === 'folder' ? [] : ['--since', '1h'];
    assert.match(await cli('export', endpoint, QUERY, file, ...range), /^3 traces,.* in /);
    assert.equal(fs.existsSync(`${file}.unfinished`), false);
    const tenant = name.replace('.', '-');
    assert.match(await cli('import', file, fresh.otlpUrl, '--org-id', tenant), /^3 (?:traces|requests) sent to /);
    await assertImported(tenant);
    const direct = `${tenant}-folder`;
    assert.match(
      await cli('import', file, fresh.dataDirectory, '--org-id', direct),
      /^1 block\nblock [-0-9a-f]{36}\n$/,
    );
    await assertImported(direct);
    await cli('fsck', '--bucket', fresh.dataDirectory, '--tenant', direct);
  });

it('the JSON is OTLP’s own, and other programs read the Parquet', async () => {
  const [line] = fs.readFileSync(path.join(folder, 'traces.jsonl'), 'utf8').split('\n');
  const { resourceSpans } = JSON.parse(line) as {
    resourceSpans: { scopeSpans: { spans: { traceId: string; kind?: number }[] }[] }[];
  };
  const spans = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
  assert.deepEqual([...new Set(spans.map(({ traceId }) => traceId))], [[...TRACES].sort()[0]]);
  assert.deepEqual(spans.map(({ kind = 0 }) => kind).sort(), [0, 1, 2, 3, 4, 5]);
  const rows = await rowsByDuckdb(await openDuckdb(), path.join(folder, 'traces.parquet'));
  assert.equal(rows.length, 18);
});

it('nothing is left of an export that cannot be whole', async () => {
  const file = path.join(folder, 'none.otlp');
  await fails(1, /no trace matches/, 'export', source.dataDirectory, '{ name = "nobody" }', file);
  await fails(
    1,
    /more than 2 traces match; raise --limit/,
    'export',
    source.dataDirectory,
    QUERY,
    file,
    '--limit',
    '2',
  );
  await fails(
    2,
    /name a data folder or a configuration file/,
    'export',
    source.url,
    QUERY,
    path.join(folder, 'none.parquet'),
    '--since',
    '1h',
  );
  await fails(2, /name a start or --since/, 'export', source.url, QUERY, file);
  await fails(2, /does not say what form/, 'export', source.dataDirectory, QUERY, path.join(folder, 'none.csv'));
  assert.deepEqual(
    fs.readdirSync(folder).filter((name) => name.startsWith('none')),
    [],
  );
});

it('a damaged file is not imported', async () => {
  const bytes = fs.readFileSync(path.join(folder, 'traces.parquet'));
  const file = path.join(folder, 'damaged.parquet');
  // Also the last bytes, which are the footer, and those before it.
  for (let at = 5; at < bytes.length; at += 97) {
    bytes[at] ^= 1;
    fs.writeFileSync(file, bytes);
    const handle = await fs.promises.open(file);
    await assert.rejects(openExportedBlock(handle, 'tenant', 0), VivaceError, `byte ${at} of ${bytes.length}`);
    await handle.close();
    bytes[at] ^= 1;
  }
  fs.writeFileSync(file, bytes.subarray(1));
  await fails(1, /cannot import/, 'import', file, fresh.dataDirectory);
  const json = path.join(folder, 'damaged.jsonl');
  fs.writeFileSync(json, '\n{"resourceSpans":[}\n');
  await fails(1, /cannot import .*: line 2: /, 'import', json, fresh.otlpUrl, '--org-id', 'damaged');
  const otlp = path.join(folder, 'damaged.otlp');
  fs.writeFileSync(otlp, fs.readFileSync(path.join(folder, 'traces.otlp')).subarray(0, -1));
  await fails(1, /cut off/, 'import', otlp, fresh.otlpUrl, '--org-id', 'damaged');
});

it('a receiver that is full gets it again, and what it refuses is told', async (t) => {
  const answers = [
    { status: 429, headers: { 'Retry-After': '0' } },
    { status: 503, headers: { 'Retry-After': new Date().toUTCString() } },
    // Partial success: two spans refused, "no".
    {
      status: 200,
      headers: { 'Content-Type': 'application/x-protobuf' },
      body: Buffer.from('0a06080212026e6f', 'hex'),
    },
  ];
  const bodies: number[] = [];
  const receiver = http.createServer(async (request, response) => {
    let bytes = 0;
    for await (const chunk of request) bytes += (chunk as Buffer).length;
    bodies.push(bytes);
    const { status, headers, body } = answers[bodies.length - 1];
    response.writeHead(status, headers).end(body);
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  t.after(() => receiver.close());
  const target = `127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  await fails(1, /refused 2 spans: no/, 'import', path.join(folder, 'traces.otlp'), target);
  assert.equal(bodies.length, 3);
  assert.equal(new Set(bodies).size, 1);
});
