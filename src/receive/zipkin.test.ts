import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import { VivaceError } from '../runtime/errors.ts';
import { ProtoWriter, tagOf, WIRE_BYTES, WIRE_FIXED64, WIRE_VARINT } from '../wire/protobuf.ts';
import {
  bool,
  byte,
  i16,
  i32,
  i64,
  list,
  string,
  struct,
  type ThriftField,
  thriftBytes,
} from '../wire/thrift.fixture.ts';
import { THRIFT_STRUCT } from '../wire/thrift.ts';
import { otlpText } from './otlp-text.fixture.ts';
import { vector } from './vectors.fixture.ts';
import { zipkinJsonToOtlp } from './zipkin-json.ts';
import { ZipkinProto } from './zipkin-proto.ts';
import { zipkinV1JsonToOtlp } from './zipkin-v1-json.ts';
import { zipkinV1ThriftToOtlp } from './zipkin-v1-thrift.ts';

const PLAIN = { parseStringTags: false };
const NOW_MS = 1_700_000_000_123;
const json = (spans: unknown, parseStringTags = false): string[] =>
  otlpText(
    zipkinJsonToOtlp(Buffer.from(typeof spans === 'string' ? spans : JSON.stringify(spans)), { parseStringTags }),
  );
const v1 = (spans: unknown): string[] =>
  otlpText(zipkinV1JsonToOtlp(Buffer.from(typeof spans === 'string' ? spans : JSON.stringify(spans)), PLAIN, NOW_MS));

const base = { traceId: '0a', id: '11', name: 'op', timestamp: 5, duration: 7 };
const HEAD = `span ${'a'.padStart(32, '0')} ${'11'.padStart(16, '0')}`;
const TIMES = '5000+7000';

describe('golden vectors', () => {
  it('protobuf', () =>
    assert.deepEqual(otlpText(new ZipkinProto(PLAIN).convert(vector('zipkin-proto').bytes)), [
      'resource service.name="svc"',
      `span ${vector('zipkin-proto').traceId} 1112131415161718 "op" client 1700000000000000000+1000000`,
      '  k="v"',
    ]));
  it('Thrift', () =>
    assert.deepEqual(otlpText(zipkinV1ThriftToOtlp(vector('zipkin-thrift').bytes)), [
      'resource service.name="svc"',
      `span ${vector('zipkin-thrift').traceId} 1112131415161718 "op" client 1700000000000000000+1000000`,
    ]));
});

describe('JSON, second version', () => {
  const tagCases: [tags: Record<string, string>, head: string, attributes?: string][] = [
    [{ a: 'x', b: '' }, TIMES, 'a="x" b=""'],
    [{ 'span.kind': 'internal' }, `internal ${TIMES}`],
    [{ 'span.kind': 'server' }, TIMES],
    [{ 'otel.status_code': 'Ok', 'otel.status_description': 'fine' }, `${TIMES} ok "fine"`],
    [{ 'otel.status_code': 'STATUS_CODE_ERROR' }, `${TIMES} error`],
    [{ 'otel.status_code': 'other', 'otel.status_description': 'd' }, `${TIMES} "d"`],
    [{ 'otel.status_description': 'd' }, TIMES, 'otel.status_description="d"'],
    [{ error: 'true' }, `${TIMES} error`],
    [{ error: 'broken' }, `${TIMES} error`, 'error="broken"'],
    [{ error: 'true', 'otel.status_code': 'Ok', 'otel.status_description': 'd' }, `${TIMES} error "d"`],
    [{ 'w3c.tracestate': 'a=b' }, `${TIMES} state="a=b"`],
    [{ 'host.name': 'dropped without a service', a: 'x' }, TIMES, 'a="x"'],
    [{ n: '1', t: 'true' }, TIMES, 'n="1" t="true"'],
  ];
  for (const [tags, head, attributes] of tagCases)
    it(`tags ${JSON.stringify(tags)}`, () => {
      const kind = /^(internal) (.*)$/.exec(head);
      const line = kind ? `${HEAD} "op" ${kind[1]} ${kind[2]}` : `${HEAD} "op" ${head}`;
      assert.deepEqual(json([{ ...base, tags }]), ['resource', line, ...(attributes ? [`  ${attributes}`] : [])]);
    });

  it('a known kind keeps the tag', () =>
    assert.deepEqual(json([{ ...base, kind: 'SERVER', tags: { 'span.kind': 'x' } }]).slice(1), [
      `${HEAD} "op" server ${TIMES}`,
      '  span.kind="x"',
    ]));

  it('endpoints', () => {
    const localEndpoint = { serviceName: 'svc', ipv4: '1.2.3.4', port: 80 };
    const remoteEndpoint = { serviceName: 'db', ipv4: '1.2.3.5', ipv6: '2001:DB8:0:0::1', port: 0 };
    assert.deepEqual(json([{ ...base, localEndpoint, remoteEndpoint }]), [
      'resource service.name="svc"',
      `${HEAD} "op" ${TIMES}`,
      '  net.host.ip="1.2.3.4" net.host.port=80 peer.service="db" net.peer.ip="2001:db8::1"',
    ]);
    assert.deepEqual(json([{ ...base, localEndpoint: {}, remoteEndpoint: { ipv6: '::ffff:1.2.3.4' } }]).slice(2), [
      '  net.peer.ip="1.2.3.4"',
    ]);
  });

  it('services and libraries make groups; what describes the resource comes from the first span', () => {
    const of = (serviceName: string, tags: Record<string, string>) => ({
      ...base,
      localEndpoint: { serviceName },
      tags,
    });
    assert.deepEqual(
      json([
        of('a', { 'host.name': 'h1', x: '1', 'otel.library.name': 'lib', 'otel.library.version': '2' }),
        of('b', { 'otlp.service.name.source': 'app', 'service.version': '9' }),
        of('a', { 'host.name': 'h2', x: '2' }),
        of('a', { x: '3', 'otel.library.name': 'lib', 'otel.library.version': '3' }),
      ]),
      [
        'resource service.name="a" host.name="h1"',
        'scope lib 2',
        `${HEAD} "op" ${TIMES}`,
        '  x="1"',
        `${HEAD} "op" ${TIMES}`,
        '  x="3"',
        `${HEAD} "op" ${TIMES}`,
        '  x="2"',
        'resource app="b" service.version="9"',
        `${HEAD} "op" ${TIMES}`,
      ],
    );
  });

  it('annotations become events', () => {
    const annotations = [
      { timestamp: 1, value: 'plain' },
      { timestamp: 2, value: 'two|parts' },
      { timestamp: 3, value: 'name|{"a":"x|y","n":1,"d":1.5,"b":true,"l":[1],"o":null}|4' },
    ];
    assert.deepEqual(json([{ ...base, annotations }]).slice(2), [
      '  event 1000 "plain"',
      '  event 2000 "two"',
      '  event 3000 "name" a="x|y" n=1 d=1.5d b=true dropped=4',
    ]);
  });

  it('tags become links', () => {
    const [trace, span] = ['b'.repeat(32), 'c'.repeat(16)];
    const tags = {
      'otlp.link.0': `${trace}|${span}|st=1|{"a":"x"}|2`,
      'otlp.link.1': 'too|few',
      'otlp.link.2': `${trace}|${span}||{}|0`,
      'otlp.link.4': 'after a gap',
    };
    assert.deepEqual(json([{ ...base, tags }]).slice(2), [
      '  otlp.link.4="after a gap"',
      `  link ${trace} ${span} state="st=1" a="x" dropped=2`,
      `  link ${trace} ${span}`,
    ]);
  });

  it('a span without a start', () =>
    assert.deepEqual(json([{ traceId: 'a', id: '11', name: 'op', duration: 7 }]).slice(1), [
      `${HEAD} "op" 0+7000`,
      '  otel.zipkin.absentField.startTime=true',
    ]));

  it('string tags are parsed when asked', () => {
    const tags = {
      i: '-12',
      big: '99999999999999999999',
      small: '-99999999999999999999',
      d: '1.50',
      t: 'true',
      f: 'false',
      e: '',
      x: '1e5',
      o: '{"a":1}',
      l: '[1]',
      p: '+1',
      q: '1.',
      error: 'true',
      'otel.status_code': 'Ok',
    };
    assert.deepEqual(json([{ ...base, tags }], true).slice(1), [
      `${HEAD} "op" ${TIMES} error`,
      '  i=-12 big=9223372036854775807 small=-9223372036854775808 d=1.5d t=true f=false e="" x="1e5" o="{\\"a\\":1}" l="[1]" p="+1" q="1."',
    ]);
    const long = { ...base, tags: { n: '9'.repeat(1_000_000), z: '0'.repeat(1_000_000) } };
    assert.deepEqual(json([long], true).slice(2), ['  n=9223372036854775807 z=0']);
  });

  const ids: [Record<string, unknown>, string][] = [
    [{ traceId: 'ABCDEF0123456789' }, `span 0000000000000000abcdef0123456789 ${'11'.padStart(16, '0')}`],
    [{ traceId: '1'.repeat(17) }, `span ${'1'.repeat(17).padStart(32, '0')} ${'11'.padStart(16, '0')}`],
    [{ traceId: undefined }, `span ${'0'.repeat(32)} ${'11'.padStart(16, '0')}`],
    [{ parentId: '0022' }, `${HEAD} <0000000000000022`],
    [{ parentId: '11' }, HEAD],
    [{ parentId: null }, HEAD],
  ];
  for (const [fields, head] of ids)
    it(`ids ${JSON.stringify(fields)}`, () =>
      assert.deepEqual(json([{ ...base, ...fields }])[1], `${head} "op" ${TIMES}`));

  it('names of any case, unknown members, nulls, escapes', () => {
    const text =
      '[null, {"TRACEID":"a","Id":"11","NAME":"\\u006fp","timestamp":5,"duration":7,"kind":null,"tags":{"k\\n":"\\u00e4","n":null,"k":"1","k":"2"},"debug":true,"shared":false,"other":[{"a":[1]}],"annotations":null,"remoteEndpoint":null}]';
    assert.deepEqual(json(text), ['resource', `${HEAD} "op" ${TIMES}`, '  k\n="ä" n="" k="2"']);
  });
  for (const text of ['[]', 'null', '[null]', ' [ ] '])
    it(`${text} is nothing`, () => assert.deepEqual(json(text), []));

  const refused: [string, unknown][] = [
    ['76: no id', { ...base, id: undefined }],
    ['76: id of zeros', { ...base, id: '00' }],
    ['76: id of 17 digits', { ...base, id: '1'.repeat(17) }],
    ['76: id that is not hexadecimal', { ...base, id: 'xyz' }],
    ['77: traceId as a number', { ...base, traceId: 1234 }],
    ['77: traceId of 33 digits', { ...base, traceId: '1'.repeat(33) }],
    ['77: empty traceId', { ...base, traceId: '' }],
    ['78: annotation with broken attributes', { ...base, annotations: [{ timestamp: 1, value: 'a|b|c' }] }],
    ['78: link with broken JSON', { ...base, tags: { 'otlp.link.0': `${'1'.repeat(32)}|${'2'.repeat(16)}||{|0` } }],
    ['78: link with a broken id', { ...base, tags: { 'otlp.link.0': '1|2||{}|0' } }],
    ['79: tag value as a number', { ...base, tags: { a: 1 } }],
    ['79: port 70000', { ...base, localEndpoint: { port: 70000 } }],
    ['79: ipv4 999.1.1.1', { ...base, localEndpoint: { ipv4: '999.1.1.1' } }],
    ['79: timestamp 1.5', { ...base, timestamp: 1.5 }],
    ['timestamp as text', { ...base, timestamp: '1' }],
    ['negative timestamp', { ...base, timestamp: -1 }],
    ['annotation without a timestamp', { ...base, annotations: [{ value: 'a' }] }],
    ['a list as a span', []],
  ];
  for (const [title, span] of refused) it(title, () => assert.throws(() => json([span]), isUndecodable));
  for (const text of ['', '{}', 'x', '[{"id":"1"', '['.repeat(100_000), '[] []', '\ufeff[]'])
    it(`refuses ${JSON.stringify(text.slice(0, 20))}`, () => assert.throws(() => json(text), isUndecodable));
});

describe('protobuf', () => {
  const spanOf = (write: (out: ProtoWriter) => void, ids = true): string[] => {
    const out = new ProtoWriter();
    const mark = out.begin(tagOf(1, WIRE_BYTES), 2);
    if (ids) {
      out.bytesField(tagOf(1, WIRE_BYTES), Buffer.alloc(16, 0xab));
      out.bytesField(tagOf(3, WIRE_BYTES), Buffer.alloc(8, 0xcd));
    }
    write(out);
    out.end(mark, 2);
    return otlpText(new ZipkinProto(PLAIN).convert(out.finish()));
  };
  const head = `span ${'ab'.repeat(16)} ${'cd'.repeat(8)}`;
  it('everything there is', () =>
    assert.deepEqual(
      spanOf((out) => {
        out.bytesField(tagOf(2, WIRE_BYTES), Buffer.alloc(8, 1));
        out.varintField(tagOf(4, WIRE_VARINT), 3);
        out.stringField(tagOf(5, WIRE_BYTES), 'op');
        out.varint(tagOf(6, WIRE_FIXED64));
        out.fixed32(5);
        out.fixed32(0);
        out.varintField(tagOf(7, WIRE_VARINT), 7);
        out.bytesField(tagOf(8, WIRE_BYTES), Buffer.from('0a037376631a10200104700000000000000000000000012050', 'hex'));
        out.bytesField(tagOf(9, WIRE_BYTES), Buffer.from('12040102030420feffffffffffffffff01', 'hex'));
        out.bytesField(tagOf(10, WIRE_BYTES), Buffer.from('0901000000000000001201' + '65', 'hex'));
        out.bytesField(tagOf(11, WIRE_BYTES), Buffer.from('0a016b120176', 'hex'));
        out.varintField(tagOf(12, WIRE_VARINT), 1);
        out.varintField(tagOf(13, WIRE_VARINT), 1);
      }),
      [
        'resource service.name="svc"',
        `${head} <0101010101010101 "op" producer ${TIMES}`,
        '  net.host.ip="2001:470::1" net.host.port=80 net.peer.ip="1.2.3.4" net.peer.port=65534 k="v"',
        '  event 1000 "e"',
      ],
    ));
  it('without a start there is no mark', () =>
    assert.deepEqual(
      spanOf(() => {}),
      ['resource', `${head} "" 0+0`],
    ));
  const refused: [string, (out: ProtoWriter) => void][] = [
    ['80: a trace id of 8 bytes', (out) => out.bytesField(tagOf(1, WIRE_BYTES), Buffer.alloc(8, 1))],
    ['80: invalid UTF-8', (out) => out.bytesField(tagOf(5, WIRE_BYTES), Buffer.of(0x61, 0xff))],
    ['a parent id of 4 bytes', (out) => out.bytesField(tagOf(2, WIRE_BYTES), Buffer.alloc(4, 1))],
    ['a kind as text', (out) => out.stringField(tagOf(4, WIRE_BYTES), 'CLIENT')],
  ];
  for (const [title, write] of refused) it(title, () => assert.throws(() => spanOf(write), isUndecodable));
  it('80: cut short', () =>
    assert.throws(() => new ZipkinProto(PLAIN).convert(vector('zipkin-proto').bytes.subarray(0, -1)), isUndecodable));
  it('without an id', () => assert.throws(() => spanOf(() => {}, false), isUndecodable));
});

const v1base = { traceId: 'a'.padStart(16, '0'), id: '11'.padStart(16, '0'), name: 'op' };
const endpoint = { serviceName: 'svc', ipv4: '1.2.3.4', port: 80 };

describe('JSON, first version', () => {
  it('annotations tell the kind, the times and the service', () =>
    assert.deepEqual(
      v1([
        {
          ...v1base,
          parentId: '22'.padStart(16, '0'),
          annotations: [
            { timestamp: 9, value: 'note' },
            { timestamp: 5, value: 'sr', endpoint },
            { timestamp: 12, value: 'ss', endpoint },
          ],
          binaryAnnotations: [
            { key: 'lc', value: 'spring' },
            { key: 'k', value: 'v', endpoint: { serviceName: 'other' } },
            { key: 'sa', value: true, endpoint: { serviceName: 'db' } },
          ],
        },
      ]),
      [
        'resource service.name="svc" ipv4="1.2.3.4" port="80"',
        `${HEAD} <${'22'.padStart(16, '0')} "op" server 5000+7000`,
        '  component="spring" k="v" sa=true',
        '  event 9000 "note"',
      ],
    ));
  it('the span says when it was', () =>
    assert.equal(
      v1([{ ...v1base, timestamp: 5, duration: 7, annotations: [{ timestamp: 1, value: 'x' }] }])[1],
      `${HEAD} "op" ${TIMES}`,
    ));
  it('nothing says when it was', () =>
    assert.deepEqual(v1([v1base]), [
      'resource service.name="unknown-service"',
      `${HEAD} "op" ${BigInt(NOW_MS) * 1_000_000n}+0`,
      '  otel.zipkin.absentField.startTime=true',
    ]));
  const services: [unknown[], string][] = [
    [
      [
        { key: 'a', value: 'x', endpoint: { serviceName: 'one' } },
        { key: 'b', value: 'x', endpoint: { serviceName: 'two' } },
      ],
      'two',
    ],
    [[{ key: 'lc', value: 'local' }], 'local'],
    [[], 'unknown-service'],
  ];
  for (const [binaryAnnotations, service] of services)
    it(`the service is ${service}`, () =>
      assert.equal(v1([{ ...v1base, timestamp: 1, binaryAnnotations }])[0], `resource service.name="${service}"`));
  const statuses: [Record<string, string>, head: string, attributes?: string][] = [
    [{ 'census.status_code': '0', 'otel.status_code': '2' }, ' ok'],
    [{ 'census.status_code': '5', 'census.status_description': 'm' }, ' error "m"'],
    [{ 'otel.status_code': '1', 'otel.status_description': 'm' }, ' ok "m"'],
    [{ error: 'false', 'http.status_message': 'm' }, ' error "m"', 'http.status_message="m"'],
    [{ 'http.status_code': '399' }, '', 'http.status_code="399"'],
    [
      { 'http.status_code': '400', 'http.status_message': 'm' },
      ' error "m"',
      'http.status_code="400" http.status_message="m"',
    ],
  ];
  for (const [tags, status, attributes] of statuses)
    it(`status of ${JSON.stringify(tags)}`, () => {
      const binaryAnnotations = Object.entries(tags).map(([key, value]) => ({ key, value }));
      assert.deepEqual(v1([{ ...v1base, timestamp: 5, duration: 7, binaryAnnotations }]).slice(1), [
        `${HEAD} "op" ${TIMES}${status}`,
        ...(attributes ? [`  ${attributes}`] : []),
      ]);
    });
  const refused: [string, unknown][] = [
    ['74: null as a span', null],
    ['74: null as a binary annotation', { ...v1base, binaryAnnotations: [null] }],
    ['a trace id of 17 digits', { ...v1base, traceId: '1'.repeat(17) }],
    ['a trace id of zeros', { ...v1base, traceId: '0'.repeat(32) }],
    ['an id of 8 digits', { ...v1base, id: '1'.repeat(8) }],
    ['a parent of zeros', { ...v1base, parentId: '0'.repeat(16) }],
    ['a number as a value', { ...v1base, binaryAnnotations: [{ key: 'a', value: 1 }] }],
  ];
  for (const [title, span] of refused) it(title, () => assert.throws(() => v1([span]), isUndecodable));
});

const thriftSpan = (...more: ThriftField[]): Buffer =>
  thriftBytes('binary', struct([1, i64(0xan)], [3, string('op')], [4, i64(0x11n)], ...more));
const thriftList = (...spans: Buffer[]): Buffer =>
  Buffer.concat([Buffer.of(THRIFT_STRUCT, 0, 0, 0, spans.length), ...spans]);

describe('Thrift, first version', () => {
  const host = struct([1, i32(0x01020304)], [2, i16(-2)], [3, string('svc')]);
  const binary = (key: string, type: number, hex: string, ...more: ThriftField[]) =>
    struct([1, string(key)], [2, string(Buffer.from(hex, 'hex'))], [3, i32(type)], ...more);
  it('values of every type', () => {
    const values = [
      binary('t', 0, '01'),
      binary('f', 0, '0101'),
      binary('y', 1, 'ff00'),
      binary('h', 2, 'fffe'),
      binary('i', 3, 'fffffffe'),
      binary('l', 4, 'fffffffffffffffe'),
      binary('d', 5, '3ff8000000000000'),
      binary('s', 6, '78'),
      binary('short', 4, '01'),
      binary('what', 9, '01', [4, host]),
    ];
    const annotation = struct([1, i64(5n)], [2, string('mr')]);
    assert.deepEqual(
      otlpText(
        zipkinV1ThriftToOtlp(
          thriftList(
            thriftSpan(
              [5, i64(0x22n)],
              [6, list(THRIFT_STRUCT, [annotation])],
              [8, list(THRIFT_STRUCT, values)],
              [9, bool(true)],
              [10, i64(5n)],
              [11, i64(7n)],
              [12, i64(1n)],
              [99, byte(1)],
            ),
          ),
        ),
      ),
      [
        'resource service.name="svc" ipv4="1.2.3.4" port="-2"',
        `span ${'1'.padStart(16, '0')}${'a'.padStart(16, '0')} ${'11'.padStart(16, '0')} <${'22'.padStart(16, '0')} "op" consumer ${TIMES}`,
        '  t=true f=false y="/wA=" h=65534 i=4294967294 l=-2 d=1.5d s="x" short="<value of 1 bytes is too short>" what="<Unknown Zipkin annotation type 9>"',
      ],
    );
  });
  it('a span without times has none', () =>
    assert.equal(otlpText(zipkinV1ThriftToOtlp(thriftList(thriftSpan())))[1], `${HEAD} "op" 0+0`));
  for (const hex of ['0cffffffff', '0c7fffffff', '0c04f790d500', '0b0000000100000000', ''])
    it(`82: ${hex || 'nothing'}`, () =>
      assert.throws(() => zipkinV1ThriftToOtlp(Buffer.from(hex, 'hex')), isUndecodable));
  it('ids of zeros end it at once', () =>
    assert.throws(
      () => zipkinV1ThriftToOtlp(Buffer.concat([Buffer.from('0c00010000', 'hex'), Buffer.alloc(65536)])),
      (error) => error instanceof VivaceError && error.code === 'invalid',
    ));
});

describe('bytes of strangers', () => {
  const rich = {
    ...base,
    parentId: '1',
    kind: 'CLIENT',
    localEndpoint: endpoint,
    remoteEndpoint: endpoint,
    annotations: [{ timestamp: 3, value: 'n|{"a":1}|4' }],
    tags: { a: 'x', error: 'true', 'host.name': 'h' },
  };
  const decoders: [string, Uint8Array, (bytes: Uint8Array) => Uint8Array][] = [
    ['JSON v2', Buffer.from(JSON.stringify([rich, base])), (b) => zipkinJsonToOtlp(b, { parseStringTags: true })],
    [
      'JSON v1',
      Buffer.from(
        JSON.stringify([
          {
            ...v1base,
            annotations: [{ timestamp: 5, value: 'sr', endpoint }],
            binaryAnnotations: [{ key: 'a', value: 'b', endpoint }],
          },
        ]),
      ),
      (b) => zipkinV1JsonToOtlp(b, PLAIN, NOW_MS),
    ],
    ['protobuf', vector('zipkin-proto').bytes, (b) => new ZipkinProto(PLAIN).convert(b)],
    ['Thrift', vector('zipkin-thrift').bytes, zipkinV1ThriftToOtlp],
  ];
  for (const [name, seed, decode] of decoders)
    it(`${name}: OTLP or an error, and never more than ten times the input`, () => {
      const edit = fc.record({ at: fc.nat(seed.length), drop: fc.nat(3), put: fc.uint8Array({ maxLength: 4 }) });
      fc.assert(
        fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
          const bytes = edits.reduce<Uint8Array>(
            (all, { at, drop, put }) => Buffer.concat([all.subarray(0, at), put, all.subarray(at + drop)]),
            seed,
          );
          try {
            assert.ok(decode(bytes).length <= 10 * bytes.length + 1000);
          } catch (error) {
            if (!(error instanceof VivaceError && (error.code === 'undecodable' || error.code === 'invalid')))
              throw error;
          }
        }),
        { numRuns: 3000 },
      );
    });
});

function isUndecodable(error: unknown): boolean {
  return error instanceof VivaceError && error.code === 'undecodable';
}
