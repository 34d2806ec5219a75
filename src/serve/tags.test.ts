import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fields, get, json, lastAsked, range } from './api-under-test.ts';
import { INTRINSIC_TAGS } from './intrinsics.ts';

const intrinsic = { name: 'intrinsic', tags: INTRINSIC_TAGS };
const resource = { name: 'resource', tags: ['region', 'service.name'] };
const spanScope = { name: 'span', tags: ['http.method', 'region'] };
const cost = { inspectedBytes: '630188' };
const bodies: [path: string, body: unknown, accept?: string][] = [
  [`/api/search/tags?${range}`, { tagNames: ['http.method', 'region', 'service.name'], metrics: cost }],
  [`/api/search/tags?${range}&scope=intrinsic`, { tagNames: INTRINSIC_TAGS, metrics: {} }],
  [`/api/search/tags?${range}&scope=link`, { tagNames: [], metrics: cost }],
  [`/api/v2/search/tags?${range}`, { scopes: [resource, spanScope, intrinsic], metrics: cost }],
  [`/api/v2/search/tags?${range}&scope=none`, { scopes: [resource, spanScope, intrinsic], metrics: cost }],
  [`/api/v2/search/tags?${range}&scope=span`, { scopes: [spanScope], metrics: cost }],
  [`/api/v2/search/tags?${range}&scope=trace`, { scopes: [], metrics: {} }],
  [
    `/api/search/tag/region/values?${range}`,
    { tagValues: ['', '200', 'a&b', 'eu'], metrics: { inspectedBytes: '17733' } },
  ],
  [
    `/api/v2/search/tag/.region/values?${range}`,
    {
      tagValues: [
        { type: 'string', value: 'eu' },
        { type: 'string' },
        { type: 'int', value: '200' },
        { type: 'string', value: 'a&b' },
      ],
      metrics: { inspectedBytes: '17733' },
    },
  ],
  [
    `/api/v2/search/tag/.region/values?${range}`,
    { tagValues: { int: ['200'], string: ['', 'a&b', 'eu'] }, metrics: { inspectedBytes: 17_733 } },
    'application/vnd.grafana.llm',
  ],
];
for (const [path, body, accept] of bodies) {
  test(`${path}${accept ? ` as ${accept}` : ''} answers what Tempo does`, async () =>
    assert.deepEqual(await json(path, accept ? { accept } : {}), body));
}

const identifiers: [path: string, tag: string][] = [
  ['/api/search/tag/key%20with%20space/values', 'key with space'],
  ['/api/search/tag/app.kubernetes.io%2Fname/values', 'app.kubernetes.io/name'],
  ['/api/v2/search/tag/span.app.kubernetes.io/name/values', 'span.app.kubernetes.io/name'],
  ['/api/v2/search/tag/span%3Aname/values', 'span:name'],
  ['/api/v2/search/tag/span.%D0%BA%D0%BB/values', 'span.кл'],
  ['/api/v2/search/tag/span.%22a%20b%22/values', 'span."a b"'],
  ['/api/v2/search/tag/span.%2522a%2520b%2522/values', 'span."a b"'],
];
for (const [path, tag] of identifiers) {
  test(`${path} is about ${tag}`, async () => {
    assert.equal((await get(`${path}?${range}`)).status, 200);
    assert.equal(lastAsked().tag, tag);
    assert.equal(lastAsked().v1, path.startsWith('/api/search'));
  });
}

test('limits that are no numbers count as absent', async () => {
  await get(`/api/v2/search/tag/.a/values?${range}&limit=abc&maxStaleValues=-4`);
  assert.partialDeepStrictEqual(lastAsked(), { limit: 0, maxStaleValues: 0, bytesMax: 1_000_000 });
});

test('version 1 has no filter, version 2 has', async () => {
  await get(`/api/search/tag/a/values?${range}&q=%7B%7D`);
  assert.equal(lastAsked().query, undefined);
  await get(`/api/v2/search/tag/.a/values?${range}&q=%7B%7D`);
  assert.equal(lastAsked().query, '{}');
});

test('tags and values have protobuf answers', async () => {
  const headers = { accept: 'application/protobuf' };
  const v1 = await get(`/api/search/tags?${range}`, headers);
  assert.deepEqual(fields(v1.body, 1).map(String), ['http.method', 'region', 'service.name']);
  const v2 = await get(`/api/v2/search/tag/.region/values?${range}`, headers);
  assert.deepEqual(
    fields(v2.body, 1).map((value) => [...fields(value, 1), ...fields(value, 2)].map(String)),
    [['string', 'eu'], ['string'], ['int', '200'], ['string', 'a&b']],
  );
  const names = await get(`/api/v2/search/tags?${range}&scope=span`, headers);
  assert.deepEqual(fields(fields(names.body, 1)[0], 2).map(String), ['http.method', 'region']);
});
