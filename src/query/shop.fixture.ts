/** Two small traces of a shop, with something in every scope and of every type. */
import type { SpanSpec } from './segments.fixture.ts';

const CART = { 'service.name': 'cart', region: 'eu', cores: 4n };
const MAIL = { 'service.name': 'mail', region: 'us', zones: ['a', 'b'] };
const HTTP = { name: 'http', version: '1.2', attributes: { 'lib.lang': 'js' } };

export const SHOP: SpanSpec[] = [
  {
    trace: 1,
    span: 1,
    name: 'GET /cart',
    kind: 2,
    ms: 30,
    resource: CART,
    scope: HTTP,
    attributes: { 'http.method': 'GET', 'http.status_code': 200n, region: 'ap', v: 'x', 'http.url': '/cart?full' },
    events: [{ name: 'cache.miss', at: 2, attributes: { shard: 'a', retry: 1n } }],
  },
  {
    trace: 1,
    span: 2,
    parent: 1,
    name: 'SELECT',
    kind: 3,
    status: 2,
    message: 'timeout',
    at: 5,
    ms: 10,
    resource: CART,
    attributes: { rows: 42n, v: 1.5, cached: true, list: ['p', 'q'], m: { inner: 'z' }, only: 'select' },
    links: [{ trace: 2, span: 1, attributes: { 'link.type': 'follows' } }],
  },
  {
    trace: 2,
    span: 1,
    name: 'send mail',
    kind: 5,
    at: 2000,
    ms: 0.002,
    resource: MAIL,
    attributes: { v: 9223372036854775807n, cached: false, raw: Uint8Array.of(1, 2), other: 'mail', list: ['q', 'q'] },
    events: [
      { name: 'retry', at: 2000, attributes: { retry: '1' } },
      { name: 'sent', at: 2000.001 },
    ],
  },
  {
    trace: 2,
    span: 2,
    parent: 77,
    name: 'orphan',
    status: 1,
    at: 2001,
    resource: CART,
    attributes: { v: [1n, 2n], 'http.method': 'POST', other: 'cart' },
  },
];
