import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NOW, asked, fields, get, lastAsked } from './api-under-test.ts';
import type { SearchRequest } from './queries.ts';

test('a search answers the JSON of Tempo to the letter', async () => {
  const got = await get('/api/search?q=%7B%7D&start=1&end=2');
  assert.equal(got.type, 'application/json');
  assert.equal(got.headers.vary, 'Accept-Encoding');
  const set =
    '{"spans":[{"spanID":"000000000000000b","name":"SELECT","startTimeUnixNano":"1767225000070000000","durationNanos":"200000000",' +
    '"attributes":[{"key":"db.rows","value":{"intValue":"9007199254740993"}},{"key":"ratio","value":{"doubleValue":"NaN"}},' +
    '{"key":"hit","value":{"boolValue":false}},{"key":"tags","value":{"arrayValue":{"values":[{"stringValue":""}]}}}]}],' +
    '"matched":5,"attributes":[{"key":"count()","value":{"intValue":"5"}}]}';
  assert.equal(
    got.text,
    '{"traces":[{"traceID":"1122334455667788","rootServiceName":"shop","rootTraceName":"GET /cart?a=\\u003cb\\u003e\\u0026c",' +
      `"startTimeUnixNano":"1767225000000000001","durationMs":400,"spanSet":${set},"spanSets":[${set},{"spans":[]}],` +
      '"serviceStats":{"cartdb":{"spanCount":2,"errorCount":1},"shop":{"spanCount":3}}}],' +
      '"metrics":{"inspectedTraces":3,"inspectedBytes":"20668","totalBlocks":1,"completedJobs":4,"totalJobs":4}}',
  );
});

test('the protobuf of a search has the numbers of Tempo', async () => {
  const got = await get('/api/search?q=%7B%7D&start=1&end=2', { accept: 'application/protobuf' });
  assert.equal(got.type, 'application/protobuf');
  const [trace] = fields(got.body, 1);
  assert.equal(fields(trace, 1)[0].toString(), '1122334455667788');
  assert.equal(fields(trace, 2)[0].toString(), 'shop');
  assert.equal(fields(trace, 7).length, 2);
  assert.deepEqual(fields(trace, 6)[0], fields(trace, 7)[0]);
  const [span] = fields(fields(trace, 7)[0], 1);
  assert.equal(fields(span, 1)[0].toString(), '000000000000000b');
  assert.equal(fields(fields(span, 5)[0], 1)[0].toString(), 'db.rows');
  assert.equal(fields(fields(trace, 8)[0], 1)[0].toString(), 'cartdb');
});

test('a legacy search has neither span sets nor statistics', async () => {
  const got = await get('/api/search?tags=service.name%3Dshop+note%3D%22two+words%22&start=1&end=2');
  const [trace] = JSON.parse(got.text).traces;
  assert.deepEqual(Object.keys(trace), [
    'traceID',
    'rootServiceName',
    'rootTraceName',
    'startTimeUnixNano',
    'durationMs',
  ]);
  assert.deepEqual(
    [...(lastAsked().tags as Map<string, string>)],
    [
      ['service.name', 'shop'],
      ['note', 'two words'],
    ],
  );
});

const day = 86_400;
const searches: [path: string, request: Partial<SearchRequest>][] = [
  [
    'q=%7B%7D&start=1&end=2',
    { query: '{}', tags: undefined, limit: 20, spansPerSpanSet: 3, startSeconds: 1, endSeconds: 2 },
  ],
  ['start=1&end=2', { query: '', tags: new Map(), tenant: 'single-tenant' }],
  ['q=&tags=a%3Db&start=1&end=2', { query: '', tags: new Map([['a', 'b']]) }],
  ['tags=side&start=1&end=2', { tags: new Map([['side', '']]) }],
  ['tags=s%3D%22say+%5C%22hi%5C%22%22&start=1&end=2', { tags: new Map([['s', 'say "hi"']]) }],
  ['minDuration=1.5s&maxDuration=1m&start=1&end=2', { minDurationNs: 1_500_000_000n, maxDurationNs: 60_000_000_000n }],
  ['q=%7B+name%3D%22a%22+%7D&q=%7B+name%3D%22b%22+%7D&start=1&end=2', { query: '{ name="a" }' }],
  ['q={+name+=+%22mother%22+}&start=1&end=2', { query: '{ name = "mother" }' }],
  ['limit=7&spss=9&start=1&end=2', { limit: 7, spansPerSpanSet: 9 }],
  ['spss=0&limit=&start=1&end=2', { limit: 20, spansPerSpanSet: 3 }],
  ['unknown=1&start=1&end=2', { tags: new Map() }],
  ['since=1h&q=%7B%7D', { startSeconds: NOW - 3600, endSeconds: NOW }],
  [`since=1d&end=${NOW - day}&q=%7B%7D`, { startSeconds: NOW - 2 * day, endSeconds: NOW - day }],
];
for (const [parameters, request] of searches) {
  test(`/api/search?${parameters} asks the engine for that`, async () => {
    const got = await get(`/api/search?${parameters}`);
    assert.equal(got.status, 200, got.text);
    assert.partialDeepStrictEqual(lastAsked(), request);
  });
}

test('without a range the last quarter of an hour and all recent data are searched', async () => {
  const from = asked.length;
  const got = await get('/api/search?q=%7B%7D');
  assert.equal(JSON.parse(got.text).traces.length, 1);
  const [range, recent] = asked.slice(from);
  assert.partialDeepStrictEqual(range, { startSeconds: NOW - 900 });
  assert.ok((range.endSeconds as number) >= NOW);
  assert.equal(range.recentOnly, undefined);
  assert.partialDeepStrictEqual(recent, { startSeconds: 0, recentOnly: true });
});

test('a cut-off ends ranges before now', async () => {
  await get(`/api/search?start=${NOW - 100}&end=${NOW}`, {}, 'padded');
  assert.partialDeepStrictEqual(lastAsked(), { startSeconds: NOW - 100, endSeconds: NOW - 30 });
});

test('trace ids are padded where the tenant wants it', async () => {
  const got = await get('/api/search?q=%7B%7D&start=1&end=2', {}, 'padded');
  assert.match(got.text, /"traceID":"00000000000000001122334455667788"/);
});

test('nothing found is an empty list', async () => {
  const got = await get('/api/search?q=%7Bnothing%7D&start=1&end=2');
  assert.match(got.text, /^\{"traces":\[\],"metrics":\{"inspectedTraces":3,/);
});
