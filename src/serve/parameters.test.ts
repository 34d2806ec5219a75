import assert from 'node:assert/strict';
import { test } from 'node:test';
import { get } from './api-under-test.ts';

const refusals: [path: string, status: number, body: string][] = [
  ['/api/traces/c0dez', 400, "trace IDs can only contain hex characters: invalid character 'z' at position 5"],
  [
    '/api/v2/traces/c0de0000-0000-0000-0000-000000000012',
    400,
    "trace IDs can only contain hex characters: invalid character '-' at position 9",
  ],
  [`/api/traces/${'1'.repeat(33)}`, 400, "trace IDs can't be larger than 128 bits"],
  ['/api/traces/', 404, '404 page not found'],
  ['/api/traces/a/b', 404, '404 page not found'],
  ['/api/traces/%zz', 400, 'invalid URL escape in "%zz"'],
  ['/api/traces/1?start=x', 400, 'invalid start: strconv.ParseInt: parsing "x": invalid syntax'],
  ['/api/traces/1?start=1&end=1.5', 400, 'invalid end: strconv.ParseInt: parsing "1.5": invalid syntax'],
  ['/api/v2/traces/1?start=10&end=3', 400, 'http parameter start must be before end. received start=10 end=3'],
  ['/api/v2/traces/1?mode=foo', 400, 'invalid value for mode foo'],
  ['/api/v2/traces/1?blockStart=12', 400, 'invalid value for blockstart: invalid UUID length: 2'],
  ['/api/v2/traces/1?start=7', 200, ''],
  ['/api/traces/1?start=7', 422, 'trace exceeds max size (max bytes: 9)'],
  ['/api/search?q=%7B%7D&tags=a=b', 400, "invalid request: can't specify tags and q in the same query"],
  ['/api/search?q=%7Boops', 400, 'invalid TraceQL query: parse error at line 1, col 3: oops'],
  [
    `/api/search?q=${'x'.repeat(131_073)}`,
    400,
    'TraceQL expression exceeds the configured maximum size of 131072 bytes, reduce the query expression size or contact your system administrator',
  ],
  ['/api/search?tags=a%3D1+a%3D2', 400, 'invalid tags: tag a has been set twice'],
  ['/api/search?tags=side%3D%22left', 400, 'invalid tags: unterminated quoted value at pos 11'],
  ['/api/search?tags=%22key+with+space%22%3Dx', 400, `invalid tags: unexpected '"' at pos 1`],
  ['/api/search?minDuration=soon', 400, 'invalid minDuration: time: invalid duration "soon"'],
  ['/api/search?maxDuration=5', 400, 'invalid maxDuration: time: missing unit in duration "5"'],
  ['/api/search?minDuration=2s&maxDuration=1s', 400, 'invalid maxDuration: must be greater than minDuration'],
  ['/api/search?limit=0', 400, 'invalid limit: must be a positive number'],
  ['/api/search?limit=-1', 400, 'invalid limit: strconv.ParseUint: parsing "-1": invalid syntax'],
  ['/api/search?limit=ten', 400, 'invalid limit: strconv.ParseUint: parsing "ten": invalid syntax'],
  ['/api/search?limit=300000', 400, 'limit 300000 exceeds max limit 262144'],
  ['/api/search?spss=101', 400, 'spans per span set exceeds 100. received 101'],
  ['/api/search?spss=-1', 400, 'invalid spss: strconv.ParseUint: parsing "-1": invalid syntax'],
  ['/api/search?start=abc&end=5', 400, 'invalid start: strconv.ParseUint: parsing "abc": invalid syntax'],
  [
    '/api/search?start=1767225600000000000&end=5',
    400,
    'invalid start: strconv.ParseUint: parsing "1767225600000000000": value out of range',
  ],
  ['/api/search?start=5&end=-1', 400, 'invalid end: strconv.ParseUint: parsing "-1": invalid syntax'],
  ['/api/search?start=10&end=3', 400, 'http parameter start must be before end. received start=10 end=3'],
  ['/api/search?start=10&end=10', 400, 'http parameter start must be before end. received start=10 end=10'],
  ['/api/search?start=10', 400, 'http parameter start must be before end. received start=10 end=0'],
  [
    '/api/search?end=10',
    400,
    'error parsing date range: only one of start and end provided: must provide both or neither',
  ],
  [
    '/api/search?start=1&end=2000000',
    400,
    'range specified by start and end exceeds 168h0m0s. received start=1 end=2000000',
  ],
  [
    '/api/search?since=x',
    400,
    `error parsing date range: could not parse 'since' parameter: not a valid duration string: "x"`,
  ],
  [
    '/api/search?since=-5m',
    400,
    `error parsing date range: could not parse 'since' parameter: not a valid duration string: "-5m"`,
  ],
  ['/api/search/tags?scope=all', 400, 'invalid scope: all'],
  ['/api/search/tags?scope=Span', 400, 'invalid scope: Span'],
  [
    '/api/search/tags?start=abc&end=5',
    400,
    `error parsing date range: could not parse 'start' parameter: strconv.ParseInt: parsing "abc": invalid syntax`,
  ],
  [
    '/api/v2/search/tag/span.a/values?start=5&end=abc',
    400,
    `error parsing date range: could not parse 'end' parameter: strconv.ParseInt: parsing "abc": invalid syntax`,
  ],
  [
    '/api/v2/search/tags?start=5',
    400,
    'error parsing date range: only one of start and end provided: must provide both or neither',
  ],
  ['/api/v2/search/tag/foo/values', 400, 'please provide a valid tagName: failed to parse identifier foo: unknown'],
  ['/api/v2/search/tag//values', 404, '404 page not found'],
  ['/api/v3/search', 404, '404 page not found'],
  ['/api/echo', 200, 'echo'],
  ['/ready', 200, 'ready'],
  ['/metrics', 200, 'up 1'],
  ['/status/config', 200, 'mode: full'],
  ['/status/config?mode=diff', 200, 'mode: diff'],
  ['/status/config?mode=foo', 500, 'unknown value for mode query parameter: foo'],
  ['/status/usage-stats', 200, 'usage-stats is not enabled'],
  ['/status/nonsense', 404, '404 page not found'],
  ['/status/constructor', 404, '404 page not found'],
  ['/flush?tenant=nobody', 404, 'tenant nobody has no data'],
  ['/shutdown', 200, 'shutdown job acknowledged'],
];
for (const [path, status, body] of refusals) {
  test(`${path.slice(0, 80)} answers ${status}`, async () => {
    const got = await get(path);
    assert.equal(got.status, status, got.text);
    if (body === '') return;
    assert.equal(got.text.trim(), body);
    assert.match(got.type, /^text\/plain; (version=0.0.4; )?charset=utf-8$/);
  });
}
