/** Queries that somebody wrote to break things: each is answered or refused, in bounded time and memory. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { type Server, startServer, temporaryFolder } from './server.fixture.ts';
import { makeBatch, post, random } from './spans.fixture.ts';

/** Of TraceQL, in bytes. */
const TEXT_MAX = 131_072;
/** An answer of ten thousand series is some 40 MB of JSON, which is held more than once on its way. */
const PEAK_BYTES_MAX = 1024 * 1024 * 1024;

/** As often as fits into the longest query there may be. */
function filling(head: string, each: (i: number) => string, tail: string): string {
  const parts = [head];
  for (let i = 0, length = head.length + tail.length; ; i++) {
    const part = each(i);
    length += part.length;
    if (length > TEXT_MAX) return parts.join('') + tail;
    parts.push(part);
  }
}

const half = Math.floor(TEXT_MAX / 2) - 8;
const searches: [name: string, query: string, statuses: number[]][] = [
  ['parentheses', `{ ${'('.repeat(half)}true${')'.repeat(half)} }`, [400]],
  ['negations', filling('{ ', () => '!', 'true }'), [200, 400]],
  ['minuses', filling('{ 1 = ', () => '-', '1 }'), [200, 400]],
  ['powers', filling('{ 1 = 2', () => ' ^ 2', ' }'), [200, 400]],
  ['braces', '{'.repeat(TEXT_MAX), [400]],
  ['too long', filling('{ true', () => ' || true', ` || ${'.'.repeat(64)}a }`) + ' '.repeat(64), [400]],
  ['one key, ever so many values', filling('{ .a = 0', (i) => ` || .a = ${i}`, ' }'), [200]],
  ['ever so many keys', filling('{ .a = 0', (i) => `||.k${i}=1`, ' }'), [200]],
  ['names that exist, ever so often', filling('{ .text = "x"', (i) => `||.text="${i}"`, ' }'), [200]],
  ['exclusions', filling('{ .text != "x"', (i) => ` && .text != "${i}"`, ' }'), [200]],
  ['comparisons of keys', filling('{ .a = .b', (i) => ` || .a${i} = .b`, ' }'), [200]],
  ['spansets', filling('{}', () => ' && {}', ''), [200]],
  ['structures', filling('{}', () => ' >> {}', ''), [200]],
  ['siblings', filling('{}', () => ' !~ {}', ''), [200]],
  ['spansets in parentheses', `${'('.repeat(half)}{}${')'.repeat(half)}`, [400]],
  ['pipelines in parentheses', filling('', () => '(', '({} | count() > 1)'), [400]],
  ['stages', filling('{}', () => ' | {}', ''), [200, 400]],
  ['aggregates', filling('{}', () => ' | count() > 0', ''), [200, 400]],
  ['groups', filling('{}', (i) => ` | by(.a${i})`, ''), [200, 400]],
  ['coalesced groups', filling('{}', () => ' | by(span:id) | coalesce()', ''), [200, 400]],
  ['groups of one span', '{} | by(span:id) | count() > 0', [200]],
  ['selected keys', filling('{} | select(.a', (i) => `, .k${i}`, ')'), [200, 400]],
  ['alternatives', `{ .text =~ "${Array.from({ length: 10_000 }, (_, i) => `x${i}y`).join('|')}" }`, [200]],
  ['a pattern that others run for ever on', '{ .text =~ "(([a-z0-9])+.)+[A-Z]([a-z0-9])+$" }', [200]],
  ['nested repetitions', '{ .text =~ "((a{100}){100}){100}" }', [200, 400]],
  ['a great repetition', '{ .text =~ "(a?){1000}b{1000}" }', [200, 400]],
  ['open groups', `{ .text =~ "${'('.repeat(50_000)}" }`, [400]],
  ['a number of many digits', `{ .a = ${'9'.repeat(100_000)} }`, [400]],
  ['a float of many digits', `{ .a = 0.${'9'.repeat(100_000)} }`, [200, 400]],
  ['a duration of many digits', `{ duration = ${'9'.repeat(100_000)}ms }`, [400]],
  ['a long text', `{ .a = "${'x'.repeat(100_000)}" }`, [200]],
  ['a long key', `{ .${'x'.repeat(100_000)} = 1 }`, [200]],
  ['hints', filling('{} with(a=1', (i) => `, h${i}=1`, ')'), [200]],
];

const metrics: [name: string, query: string, statuses: number[], params?: Record<string, string>][] = [
  ['a thousand million steps', '{} | rate()', [400], { step: '100ns' }],
  ['a step of nothing', '{} | rate()', [200, 400], { step: '0' }],
  ['a series for each span', '{} | rate() by(span:id)', [200]],
  ['a series for each span and text', '{} | count_over_time() by(span:id, .text, trace:id)', [200]],
  ['quantiles', filling('{} | quantile_over_time(duration, 0', (i) => `, .${i + 1}`, ') by(span:id)'), [200, 400]],
  ['a histogram for each span', '{} | histogram_over_time(duration) by(span:id)', [200]],
  ['compared', '{} | compare({ status = error }, 9223372036854775807)', [200, 400]],
  ['the best of many', '{} | rate() by(span:id) | topk(9223372036854775807)', [200, 400]],
  ['second stages', filling('{} | rate() by(span:id)', () => ' | topk(5)', ''), [200, 400]],
  ['filters of series', filling('{} | rate() by(span:id)', () => ' > 0', ''), [200, 400]],
  ['labels', filling('{} | rate() by(.a', (i) => `,.k${i}`, ')'), [400]],
];

const parameters: [name: string, params: Record<string, string>, statuses: number[]][] = [
  ['limit 2^31', { q: '{}', limit: '2147483648' }, [400]],
  ['the greatest limit', { q: '{}', limit: '262144', spss: '100' }, [200]],
  ['spss 2^31', { q: '{}', spss: '2147483648' }, [400]],
  ['tags', { tags: filling('a=b', (i) => ` k${i}=v`, '') }, [200, 400]],
];

it('hostile queries are answered or refused, and the server lives on', { timeout: 300_000 }, async (t) => {
  const directory = temporaryFolder(t, 'hostile');
  const config = path.join(directory, 'tempo.yaml');
  fs.writeFileSync(config, 'querier:\n  search:\n    query_timeout: 500ms\n');
  const server = await startServer(t, { directory, flags: [`--config.file=${config}`] });
  const next = random(3);
  const startMs = Date.now() - 60_000;
  for (let i = 0; i < 5; i++) {
    const batch = makeBatch(next, { traces: 100, spansPerTrace: 20, textBytes: 60, startMs });
    assert.equal((await post(server.otlpUrl, batch.body)).status, 200);
  }
  const range = { start: String(Math.floor(startMs / 1000) - 60), end: String(Math.ceil(Date.now() / 1000)) };
  const cases = [
    ...searches.map(([name, q, statuses]) => ({ name, route: '/api/search', params: { q, ...range }, statuses })),
    ...metrics.map(([name, q, statuses, params]) => ({
      name: `metrics: ${name}`,
      route: '/api/metrics/query_range',
      params: { q, ...range, ...params },
      statuses,
    })),
    ...parameters.map(([name, params, statuses]) => ({
      name,
      route: '/api/search',
      params: { ...range, ...params },
      statuses,
    })),
  ];
  for (const where of ['live', 'blocks']) {
    for (const { name, route, params, statuses } of cases) {
      const answer = await fetch(`${server.url}${route}?${new URLSearchParams(params)}`);
      const text = await answer.text();
      const said = `${name}, ${where}: ${answer.status} ${text.slice(0, 200)}`;
      // 413 is too much for the memory that a query may take, 504 too long.
      assert.ok([413, 504, ...statuses].includes(answer.status), said);
    }
    assert.equal((await fetch(`${server.url}/flush`, { method: 'POST' })).status, 204);
  }
  const found = await fetch(`${server.url}/api/search?${new URLSearchParams({ q: '{}', ...range, limit: '5' })}`);
  assert.equal(((await found.json()) as { traces: unknown[] }).traces.length, 5);
  const peak = peakBytes(server);
  t.diagnostic(`${peak >> 20} MiB at most`);
  assert.ok(peak < PEAK_BYTES_MAX, `${peak >> 20} MiB`);
});

function peakBytes({ pid }: Server): number {
  const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}
