/** Ids, keys and sizes that are seldom, and figures to calculate and group with. */
import {
  bytes,
  CLIENT,
  CONSUMER,
  double,
  empty,
  ERROR,
  map,
  OK,
  PRODUCER,
  resourceOf,
  SERVER,
  service,
  UNSET,
  type Begin,
  type Trace,
  type Value,
  type Values,
} from './trace-builder.ts';

export function oddTraces(begin: Begin): void {
  let t: Trace;
  let root: string | undefined;

  // 29.–31. Trace ids with zeros on the left: 8 bytes, 4 bytes, one byte.
  for (const [number, id] of [
    [29, '1122334455667788'],
    [30, '0badcafe'],
    [31, '7'],
  ] as const) {
    t = begin(number, { id });
    t.resource = service('short-id');
    root = t.span('short-root', {
      ms: 10,
      kind: SERVER,
      id: `00000000000000${(number - 18).toString(16).padStart(2, '0')}`,
    });
    t.span('short-child', { parent: root, at: 1, ms: 2, kind: CLIENT, attrs: { 'id.bytes': id.length / 2 } });
  }

  // 32.–34. Without service.name, with an empty one, with a number for one.
  const anonymous: [number, Values][] = [
    [32, { team: 'nobody' }],
    [33, { 'service.name': '', team: 'nobody' }],
    [34, { 'service.name': 12, team: 'nobody' }],
  ];
  for (const [number, attrs] of anonymous) {
    t = begin(number);
    t.resource = resourceOf(attrs);
    root = t.span('anonymous', { ms: 10, kind: SERVER, attrs: { number } });
    t.span('anonymous-child', { parent: root, at: 1, ms: 2 });
  }

  // 35. Well-known span keys with unexpected types.
  t = begin(35);
  t.resource = service('http-types');
  root = t.span('http-root', { ms: 50, kind: SERVER });
  [
    ['int', 200],
    ['int-404', 404],
    ['string', '200'],
    ['double', double(200)],
    ['bool', true],
    ['ints', [200, 404]],
  ].forEach(
    ([name, code], i) =>
      void t.span(`http-${name}`, {
        parent: root,
        at: i,
        ms: 1,
        attrs: {
          'http.status_code': code,
          'http.method': i % 2 ? 'GET' : 1,
          'http.url': i % 2 ? `/u/${i}` : ['/a', '/b'],
        },
      }),
  );

  // 36. Well-known resource keys on spans, and with unexpected types on resources.
  t = begin(36);
  t.resource = service('well-known', {
    cluster: 'c1',
    namespace: 'n1',
    pod: 'p1',
    container: 'k1',
    'k8s.cluster.name': 'kc1',
    'k8s.namespace.name': 'kn1',
    'k8s.pod.name': 'kp1',
    'k8s.container.name': 'kk1',
  });
  root = t.span('well-known-root', { ms: 20 });
  t.span('well-known-on-span', {
    parent: root,
    at: 1,
    ms: 2,
    attrs: { 'service.name': 'span-level', cluster: 'span-cluster', 'k8s.pod.name': 'span-pod', namespace: 5 },
  });
  t.span('well-known-numbers', {
    parent: root,
    at: 2,
    ms: 2,
    resource: service('well-known', { cluster: 1, namespace: 2.5, pod: true, 'k8s.cluster.name': ['kc1', 'kc2'] }),
  });

  // 37. Client and server that share a span id, as Zipkin does it.
  t = begin(37);
  const zipA = service('zipkin-a'),
    zipB = service('zipkin-b');
  root = t.span('zip-root', { resource: zipA, ms: 100, kind: SERVER, id: '00000000000000a1' });
  t.span('zip-call', { resource: zipA, parent: root, at: 5, ms: 60, kind: CLIENT, id: '00000000000000a2' });
  t.span('zip-call', { resource: zipB, parent: root, at: 8, ms: 50, kind: SERVER, id: '00000000000000a2' });
  t.span('zip-work', { resource: zipB, parent: '00000000000000a2', at: 10, ms: 20, id: '00000000000000a3' });
  t.span('zip-db', { resource: zipB, parent: '00000000000000a3', at: 11, ms: 5, kind: CLIENT, id: '00000000000000a4' });

  // 38. Four hundred spans.
  t = begin(38);
  t.resource = service('big');
  root = t.span('big-root', { ms: 5000, kind: SERVER });
  for (let i = 0; i < 20; i++) {
    const head = t.span('big-branch', { parent: root, at: i * 100, ms: 90, attrs: { branch: i } });
    for (let k = 0; k < 19; k++)
      t.span('big-leaf', { parent: head, at: i * 100 + k, ms: 1 + k, attrs: { branch: i, leaf: k } });
  }

  // 39. Numbers to calculate with.
  t = begin(39);
  t.resource = service('arithmetic', { factor: 2 });
  root = t.span('arithmetic-root', { ms: 100 });
  const operands: [Value, Value?][] = [
    [1, 2],
    [2, 2],
    [3, 4],
    [10, 3],
    [7, 1],
    [0, 5],
    [-5, 2],
    [double(1.5), 2],
    [2, double(0.5)],
    ['3', 4],
    [5],
  ];
  operands.forEach(
    ([a, b], i) =>
      void t.span(`calc-${i}`, { parent: root, at: i, ms: 10 * (i + 1), attrs: { a, ...(b !== undefined && { b }) } }),
  );
  t.span('calc-zero', { parent: root, at: 20, ms: 1, attrs: { y: 7, zero: 0, 'zero.double': double(0) } });

  // 40. Everything that only a trace lookup shows.
  t = begin(40);
  t.resource = resourceOf(
    { 'service.name': 'details' },
    { resource: { droppedAttributesCount: 3 }, schemaUrl: 'https://opentelemetry.io/schemas/1.27.0' },
  );
  root = t.span('details-root', {
    ms: 30,
    kind: SERVER,
    parent: '0000000000000000',
    traceState: 'a=1,b=2',
    droppedAttributesCount: 5,
    droppedEventsCount: 6,
    droppedLinksCount: 7,
    flags: 257,
    message: 'unset but said',
    attrs: {
      m: map({ s: 'x', n: 1, l: ['a', 1, true] }),
      raw: bytes('\u0000\u0001binary'),
      none: empty,
      mix: ['a', 1, 2.5, false],
    },
  });
  t.span('details-child', {
    parent: root,
    at: 1,
    ms: 2,
    traceState: 'c=3',
    status: OK,
    message: 'all good',
    links: [
      {
        traceId: 'c0de0000000000000000000000000001',
        spanId: '0001000000000002',
        traceState: 'l=1',
        flags: 1,
        droppedAttributesCount: 2,
      },
    ],
  });

  // 41. Three requests for one trace.
  t = begin(41);
  const early = service('fragments-leaf', { 'service.version': '1' }),
    late = service('fragments-root');
  const rootId = 'f0f0f0f0f0f0f0f0';
  for (let i = 0; i < 6; i++)
    t.span(`piece-${i}`, { resource: early, parent: rootId, at: 10 + i, ms: 5, attrs: { piece: i } });
  t.span('pieces', { resource: late, id: rootId, ms: 60, kind: SERVER });
  t.fragments = [t.spans.slice(0, 3), t.spans.slice(3, 6), t.spans.slice(6)];

  // 42. Many attributes on one span.
  t = begin(42);
  t.resource = service('many');
  t.span('many-attributes', {
    ms: 5,
    attrs: Object.fromEntries(
      Array.from({ length: 120 }, (_, i) => [
        `many.k${String(i).padStart(3, '0')}`,
        i % 4 === 0 ? i : i % 4 === 1 ? `s${i}` : i % 4 === 2 ? i / 8 : i % 8 === 3,
      ]),
    ),
  });

  // 43.–46. Single spans; one starts exactly on a minute, one a nanosecond after it.
  t = begin(43, { at: 1200 });
  t.resource = service('single');
  t.span('on-the-minute', { ms: 60_000, attrs: { edge: 'exact' } });
  t = begin(44, { at: 1200 });
  t.resource = service('single');
  t.span('after-the-minute', { at: 0.000001, ms: 1, attrs: { edge: 'after' } });
  t = begin(45, { at: 1200 });
  t.resource = service('single');
  t.span('before-the-minute', { at: -0.000001, ms: 1, attrs: { edge: 'before' } });
  t = begin(46);
  t.resource = service('single');
  t.span('consumer-only', {
    kind: CONSUMER,
    ms: 8,
    parent: 'abcabcabcabcabca',
    attrs: { 'messaging.system': 'kafka' },
  });

  // 47. and 48. A producer, and a consumer in a trace of its own that links back.
  t = begin(47);
  t.resource = service('queue-producer');
  root = t.span('place order', { ms: 50, kind: SERVER });
  const sent = t.span('orders send', {
    parent: root,
    at: 5,
    ms: 5,
    kind: PRODUCER,
    attrs: { 'messaging.system': 'kafka', 'messaging.destination.name': 'orders', 'messaging.batch.message_count': 3 },
  });
  t = begin(48);
  t.resource = service('queue-consumer');
  root = t.span('orders process', {
    ms: 70,
    kind: CONSUMER,
    attrs: { 'messaging.system': 'kafka', 'messaging.destination.name': 'orders' },
    links: [{ traceId: 'c0de000000000000000000000000002f', spanId: sent, attrs: { 'messaging.offset': 12 } }],
  });
  t.span('store', { parent: root, at: 5, ms: 20, kind: CLIENT, attrs: { 'db.system': 'postgresql' } });

  // 49. Arrays.
  t = begin(49);
  t.resource = service('arrays', {
    roles: ['api', 'worker'],
    ports: [80, 443],
    ratios: [0.5, 1.5],
    flags: [true, false],
  });
  root = t.span('arrays-root', { ms: 40 });
  Object.entries<Values>({
    'arr-abc': { list: ['a', 'b', 'c'] },
    'arr-one': { list: ['a'] },
    'arr-empty': { list: [] },
    'arr-scalar': { list: 'a' },
    'arr-dup': { list: ['a', 'a'] },
    'arr-blank': { list: ['', 'a'] },
    'arr-bc': { list: ['b', 'c'] },
    'arr-ints': { nums: [1, 2, 3] },
    'arr-int-one': { nums: [2] },
    'arr-doubles': { nums: [1.5, 2.5] },
    'arr-int-scalar': { nums: 2 },
    'arr-bools': { bits: [true, false] },
    'arr-trues': { bits: [true, true] },
    'arr-bool-scalar': { bits: true },
  }).forEach(([name, attrs], i) => void t.span(name, { parent: root, at: i, ms: 1, attrs }));

  // 50. Durations on the round figures that people search for.
  t = begin(50);
  t.resource = service('durations');
  root = t.span('durations-root', { ms: 70_000 });
  [0.000999, 0.001, 0.5, 1, 1.000001, 9.999999, 10, 100, 999.999999, 1000, 1500, 60_000].forEach(
    (ms, i) => void t.span(`took-${ms}`, { parent: root, at: i, ms }),
  );

  // 51. Boolean combinations of two flags.
  t = begin(51);
  t.resource = service('booleans', { p: true });
  root = t.span('booleans-root', { ms: 20 });
  for (const p of [true, false, undefined])
    for (const q of [true, false, undefined])
      t.span(`p-${p}-q-${q}`, {
        parent: root,
        at: 1,
        ms: 2,
        attrs: { ...(p !== undefined && { p }), ...(q !== undefined && { q }) },
      });

  // 52. and 53. The same names in two services, for grouping.
  for (const [number, team] of [
    [52, 'red'],
    [53, 'blue'],
  ] as const) {
    t = begin(number);
    t.resource = service(`group-${team}`, { team });
    root = t.span('handle', { ms: 100, kind: SERVER, attrs: { shard: 'a', cost: 10 } });
    for (let i = 0; i < 6; i++)
      t.span(i % 2 ? 'read' : 'write', {
        parent: root,
        at: i * 10,
        ms: 5 * (i + 1),
        kind: CLIENT,
        status: i === 5 ? ERROR : UNSET,
        attrs: { ...(i < 4 && { shard: i < 2 ? 'a' : 'b' }), cost: i % 3 ? i : i + 0.5, weight: i },
      });
  }
}
