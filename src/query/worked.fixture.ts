/**
 * The worked data set of the language's description (spec/traceql.md §11): three traces, eight spans. What queries find
 * in them is in tests/golden/worked.
 */
import type { SpanSpec } from './segments.fixture.ts';

const SHOP = { 'service.name': 'shop', region: 'eu', 'k8s.pod': 'p-1' };
const SHOP_OF_B = { 'service.name': 'shop', region: 'eu' };
const CARTDB = { 'service.name': 'cartdb', region: 'us' };
const LIB_A = { name: 'lib-a', version: '1.2', attributes: { 'lib.tier': 'gold' } };
const LIB_B = { name: 'lib-b' };

const A = 0xa;
const B = 0xb;
const C = 0xc;

export const WORKED: SpanSpec[] = [
  {
    trace: A,
    span: 0xa1,
    name: 'GET /cart',
    kind: 2,
    ms: 400,
    resource: SHOP,
    scope: LIB_A,
    attributes: {
      'http.status_code': 200n,
      'http.method': 'GET',
      tags: ['x', 'y'],
      nums: [1n, 2n, 3n],
      ratio: 0.5,
      cached: true,
      empty: '',
      nested: { k: 'v' },
      raw: Uint8Array.of(1, 2),
    },
  },
  {
    trace: A,
    span: 0xa2,
    parent: 0xa1,
    name: 'auth',
    status: 1,
    at: 10,
    ms: 50,
    resource: SHOP,
    scope: LIB_A,
    attributes: { user: 'u-1' },
  },
  {
    trace: A,
    span: 0xa5,
    parent: 0xa1,
    name: 'render',
    at: 290,
    ms: 100,
    resource: SHOP,
    scope: LIB_A,
    attributes: { tags: 'z' },
    links: [{ trace: B, span: 0xb1, attributes: { rel: 'follows' } }],
  },
  {
    trace: A,
    span: 0xa3,
    parent: 0xa1,
    name: 'SELECT',
    kind: 3,
    status: 2,
    message: 'timeout',
    at: 70,
    ms: 200,
    resource: CARTDB,
    scope: LIB_B,
    attributes: { 'db.rows': 42n, 'http.status_code': 500n, region: 'span-eu' },
    events: [{ name: 'exception', at: 150, attributes: { 'exception.type': 'Timeout', retry: 2n } }],
  },
  { trace: A, span: 0xa4, parent: 0xa3, name: 'parse', at: 80, ms: 20, resource: CARTDB, scope: LIB_B },
  {
    trace: B,
    span: 0xb1,
    name: 'GET /health',
    kind: 2,
    at: 1000,
    ms: 5,
    resource: SHOP_OF_B,
    scope: LIB_A,
    attributes: { 'http.status_code': '200' },
  },
  { trace: B, span: 0xb2, parent: 0xb1, name: 'ping', at: 1001, ms: 1, resource: SHOP_OF_B, scope: LIB_A },
  {
    trace: C,
    span: 0xc1,
    parent: 0xcc,
    name: 'send',
    kind: 4,
    at: 2000,
    ms: 2000,
    resource: { 'service.name': 'mail' },
    scope: LIB_A,
    attributes: { 'http.status_code': 204n },
  },
];
