/** What a span may carry: values of every type, events, links, scopes, kinds. */
import {
  bytes,
  CLIENT,
  CONSUMER,
  double,
  empty,
  ERROR,
  INTERNAL,
  library,
  map,
  OK,
  PRODUCER,
  SERVER,
  service,
  UNSET,
  UNSPECIFIED,
  type Begin,
  type Trace,
} from './trace-builder.ts';

export function valueTraces(begin: Begin): void {
  let t: Trace;
  let root: string | undefined;

  // 1. One key, every type.
  t = begin(1);
  t.resource = service('types', { team: 'core' });
  root = t.span('types-root', { kind: SERVER, ms: 100 });
  Object.entries({
    'v-string': '42',
    'v-int': 42,
    'v-double-whole': double(42),
    'v-double': 42.5,
    'v-true': true,
    'v-false': false,
    'v-string-true': 'true',
    'v-strings': ['42', '43'],
    'v-ints': [42, 43],
    'v-doubles': [42.5, 43.5],
    'v-bools': [true, false],
    'v-mixed': ['42', 42],
    'v-empty-array': [],
    'v-map': map({ inner: '42', deep: map({ n: 42 }) }),
    'v-bytes': bytes('42'),
    'v-empty': empty,
    'v-empty-string': '',
    'v-nested': [['42'], ['43']],
  }).forEach(([name, v], i) => void t.span(name, { parent: root, at: i, ms: 5, attrs: { v, case: name } }));
  t.span('v-missing', { parent: root, at: 30, ms: 5, attrs: { case: 'v-missing' } });

  // 2. Whole numbers at the edges.
  t = begin(2);
  t.resource = service('ints');
  root = t.span('ints-root', { ms: 50 });
  [
    0n,
    1n,
    -1n,
    2147483647n,
    2147483648n,
    4294967296n,
    9007199254740991n,
    9007199254740992n,
    9007199254740993n,
    9223372036854775807n,
    -9223372036854775808n,
    1000000000n,
  ].forEach((n, i) => void t.span(`int-${n}`, { parent: root, at: i, ms: 1, attrs: { n } }));

  // 3. Fractions at the edges.
  t = begin(3);
  t.resource = service('doubles');
  root = t.span('doubles-root', { ms: 50 });
  [
    0.1,
    0.2,
    0.1 + 0.2,
    1.5,
    -2.25,
    1e21,
    1e-9,
    42,
    -0,
    5e-324,
    1.7976931348623157e308,
    NaN,
    Infinity,
    -Infinity,
    3,
  ].forEach((d, i) => void t.span(`double-${i}`, { parent: root, at: i, ms: 1, attrs: { d: double(d) } }));

  // 4. One key at every scope.
  t = begin(4);
  const scopesA = service('scopes-a', { region: 'eu', zone: 'z1', level: 1, only: 'resource' });
  const scopesB = service('scopes-b', { region: 'us', level: '1' });
  const scopesC = service('scopes-c');
  root = t.span('scope-both-differ', { resource: scopesA, ms: 60, attrs: { region: 'ap', level: 2 } });
  t.span('scope-resource-only', { resource: scopesA, parent: root, at: 1, ms: 5 });
  t.span('scope-both-same', { resource: scopesB, parent: root, at: 2, ms: 5, attrs: { region: 'us' } });
  t.span('scope-span-only', { resource: scopesC, parent: root, at: 3, ms: 5, attrs: { region: 'eu', only: 'span' } });
  t.span('scope-nowhere', { resource: scopesC, parent: root, at: 4, ms: 5 });
  t.span('scope-types-differ', { resource: scopesA, parent: root, at: 5, ms: 5, attrs: { region: 7 } });
  t.span('scope-event', {
    resource: scopesC,
    parent: root,
    at: 6,
    ms: 5,
    events: [{ at: 1, name: 'moved', attrs: { region: 'eu', only: 'event' } }],
  });
  t.span('scope-link', {
    resource: scopesC,
    parent: root,
    at: 7,
    ms: 5,
    links: [
      {
        traceId: 'c0de0000000000000000000000000001',
        spanId: '0001000000000001',
        attrs: { region: 'eu', only: 'link' },
      },
    ],
  });
  t.span('scope-instrumentation', {
    resource: scopesC,
    parent: root,
    at: 8,
    ms: 5,
    scope: library('scoped-lib', '0.1', { region: 'eu', only: 'instrumentation' }),
  });
  t.span('scope-empty-on-span', { resource: scopesA, parent: root, at: 9, ms: 5, attrs: { region: '' } });

  // 5. Strings that are hard to quote.
  t = begin(5);
  t.resource = service('strings');
  root = t.span('strings-root', { ms: 60 });
  [
    '',
    ' ',
    'a',
    'A',
    'ä',
    '日本語',
    '😀',
    'say "hi"',
    'back\\slash',
    'tick`',
    "it's",
    'line\nbreak',
    'tab\t',
    'a.b',
    'a*b',
    '(x)',
    '^a$',
    'null',
    'nil',
    'true',
    '0',
    '%20',
    'a&b<c>',
    'aa',
    'ab',
    'b',
    'ba',
  ].forEach((s, i) => void t.span(`string-${i}`, { parent: root, at: i, ms: 1, attrs: { s } }));

  // 6. Keys that are hard to name.
  t = begin(6);
  t.resource = service('keys', { 'r key': 'x', 'r"quote': 'x' });
  root = t.span('keys-root', { ms: 60 });
  [
    'key with space',
    'a.b.c',
    'key"quote',
    'key\\back',
    'ключ',
    '😀',
    'app.kubernetes.io/name',
    'ns:key',
    'dash-key',
    'f(x)',
    'curly{}',
    'brack[0]',
    '1st',
    '.lead',
    'trail.',
    'UPPER',
    'upper',
    'duration',
    'name',
    'status',
    'kind',
    'parent',
    'span',
    'resource',
    'span.x',
    'resource.x',
    'event',
    'by',
    'nil',
    'true',
    'a=b',
    'a&b',
    'a|b',
    'x',
    '_',
    'a,b',
    "it's",
    'tick`',
  ].forEach((key, i) => void t.span(`key-${i}`, { parent: root, at: i, ms: 1, attrs: { [key]: 'x' } }));

  // 7. Long values: attributes of 5,000 and exactly 2,048 bytes.
  t = begin(7);
  t.resource = service('long', { 'long.resource': 'r'.repeat(3000) });
  t.span('long-root', {
    ms: 5,
    attrs: {
      'long.value': `head-${'x'.repeat(4990)}-tail`,
      'long.edge': 'e'.repeat(2048),
      'long.unicode': `x${'é'.repeat(1500)}`,
    },
    events: [{ at: 1, name: 'long', attrs: { 'long.event': 'v'.repeat(2500) } }],
  });

  // 8. Events.
  t = begin(8);
  t.resource = service('events');
  root = t.span('events-none', { ms: 100 });
  t.span('events-one', {
    parent: root,
    at: 1,
    ms: 50,
    events: [
      { at: 10, name: 'exception', attrs: { 'exception.type': 'IOError', 'exception.message': 'disk full', retry: 1 } },
    ],
  });
  t.span('events-two', {
    parent: root,
    at: 2,
    ms: 50,
    events: [
      { at: 0, name: 'exception', attrs: { 'exception.type': 'TimeoutError', retry: 2 } },
      { at: 50, name: 'retry', attrs: { retry: 3, ok: true } },
    ],
  });
  t.span('events-three', {
    parent: root,
    at: 3,
    ms: 90,
    events: [
      { at: 5, name: 'cache.miss' },
      { at: 6, name: 'cache.miss', attrs: { shard: 'a' } },
      { at: 60, name: 'flush', attrs: { bytes: 1024, ratio: 0.5, hosts: ['h1', 'h2'] } },
    ],
  });
  t.span('events-late', { parent: root, at: 4, ms: 10, events: [{ at: 2000, name: 'late', attrs: { retry: 4 } }] });
  t.span('events-unnamed', { parent: root, at: 5, ms: 10, events: [{ at: 1, name: '', attrs: { mark: 'unnamed' } }] });
  t.span('events-typed', {
    parent: root,
    at: 6,
    ms: 10,
    events: [
      { at: 1, name: 'typed', attrs: { retry: '1', ok: 'true', ratio: double(2), m: map({ k: 'v' }) }, dropped: 2 },
    ],
  });
  // No event before the start of its span: its offset underflows in Tempo's column and hides others from comparisons.

  // 9. Links.
  t = begin(9);
  t.resource = service('links');
  root = t.span('links-none', { ms: 100 });
  t.span('links-one', {
    parent: root,
    at: 1,
    ms: 5,
    links: [
      {
        traceId: 'c0de0000000000000000000000000008',
        spanId: '0008000000000002',
        attrs: { 'link.type': 'follows', weight: 3 },
      },
    ],
  });
  t.span('links-two', {
    parent: root,
    at: 2,
    ms: 5,
    links: [
      {
        traceId: 'c0de0000000000000000000000000001',
        spanId: '0001000000000001',
        traceState: 'vendor=1',
        attrs: { 'link.type': 'batch', weight: 1.5 },
      },
      {
        traceId: '00000000000000001122334455667788',
        spanId: '0000000000000011',
        attrs: { 'link.type': 'follows', sampled: true },
      },
    ],
  });
  t.span('links-bare', {
    parent: root,
    at: 3,
    ms: 5,
    links: [{ traceId: 'c0de0000000000000000000000000008', spanId: '0008000000000003' }],
  });
  t.span('links-missing', {
    parent: root,
    at: 4,
    ms: 5,
    links: [
      {
        traceId: 'ffffffffffffffffffffffffffffffff',
        spanId: 'ffffffffffffffff',
        attrs: { 'link.type': 'lost', peers: ['p1', 'p2'] },
      },
    ],
  });
  t.span('links-own', {
    parent: root,
    at: 5,
    ms: 5,
    links: [{ traceId: t.id, spanId: root, attrs: { 'link.type': 'own' }, droppedAttributesCount: 1 }],
  });

  // 10. Instrumentation scopes.
  t = begin(10);
  t.resource = service('instrumentation');
  root = t.span('lib-http', {
    ms: 40,
    scope: library('io.http', '1.2.3', { channel: 'stable', build: 7, beta: false }),
  });
  t.span('lib-http-next', {
    parent: root,
    at: 1,
    ms: 4,
    scope: library('io.http', '2.0.0-rc.1', { channel: 'next', build: 8, beta: true }),
  });
  t.span('lib-db', {
    parent: root,
    at: 2,
    ms: 4,
    scope: library('io.db', '1.2.3', { ratio: 0.5, features: ['pool', 'tls'] }),
  });
  t.span('lib-no-version', { parent: root, at: 3, ms: 4, scope: library('io.bare') });
  t.span('lib-no-name', { parent: root, at: 4, ms: 4, scope: library(undefined, '9.9') });
  t.span('lib-none', { parent: root, at: 5, ms: 4, scope: {} });
  t.span('lib-dropped', {
    parent: root,
    at: 6,
    ms: 4,
    scope: library('io.dropped', '1', { channel: 'stable' }, { droppedAttributesCount: 4 }),
  });

  // 11. Every kind with every status, with and without a message.
  t = begin(11);
  t.resource = service('kinds');
  root = t.span('kinds-root', { kind: UNSPECIFIED, ms: 200 });
  for (const kind of [UNSPECIFIED, INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER]) {
    for (const status of [UNSET, OK, ERROR]) {
      t.span(`kind-${kind}-status-${status}`, {
        parent: root,
        at: kind * 10 + status,
        ms: 2,
        kind,
        status,
        message: status === ERROR ? `failed ${kind}` : status === OK && kind === SERVER ? 'fine' : undefined,
        attrs: { 'k.index': kind * 3 + status },
      });
    }
  }
}
