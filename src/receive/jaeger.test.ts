import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import { VivaceError } from '../runtime/errors.ts';
import { ProtoWriter } from '../wire/protobuf.ts';
import { i32, i64, list, string, struct, thriftBytes, thriftMessage } from '../wire/thrift.fixture.ts';
import { THRIFT_STRUCT, ThriftBinary, ThriftCompact } from '../wire/thrift.ts';
import {
  type JaegerProcess,
  type JaegerSpan,
  type JaegerTag,
  protoRequest,
  protoSpan,
  thriftBatch,
} from './jaeger.fixture.ts';
import { JaegerProto } from './jaeger-proto.ts';
import { JaegerThrift } from './jaeger-thrift.ts';
import { DatagramBatch } from './jaeger-udp.ts';
import { otlpText } from './otlp-text.fixture.ts';
import { vector } from './vectors.fixture.ts';

type Convert = (process: JaegerProcess, spans: JaegerSpan[]) => string[];

const thrift =
  (protocol: 'binary' | 'compact'): Convert =>
  (process, spans) =>
    otlpText(fromThrift(protocol, thriftBytes(protocol, thriftBatch(process, spans))));
const proto: Convert = (process, spans) => otlpText(new JaegerProto().request(protoRequest(process, spans)));
const ENCODINGS: [string, Convert][] = [
  ['thrift binary', thrift('binary')],
  ['thrift compact', thrift('compact')],
  ['protobuf', proto],
];

const TRACE = 0x0102030405060708090a0b0c0d0e0f10n;
const ID = '0102030405060708090a0b0c0d0e0f10';
const base = { traceId: TRACE, spanId: 0x11n, name: 'op', start: 1_700_000_000_000_001n, duration: 1000n };
const SPAN = `span ${ID} 0000000000000011`;
const TIMES = '1700000000000001000+1000000';

describe('golden vectors', () => {
  const line = (name: string, kind: string): string[] => [
    'resource service.name="svc"',
    `span ${vector(name).traceId} 1112131415161718 "op" ${kind} 1700000000000000000+1000000 error`,
  ];
  it('Thrift over HTTP', () =>
    assert.deepEqual(otlpText(fromThrift('binary', vector('jaeger-thrift').bytes)), line('jaeger-thrift', 'client')));
  it('PostSpans', () =>
    assert.deepEqual(
      otlpText(new JaegerProto().request(vector('jaeger-proto').bytes)),
      line('jaeger-proto', 'client'),
    ));
  for (const protocol of ['compact', 'binary'] as const)
    it(`UDP, ${protocol}`, () => {
      const name = `jaeger-udp-${protocol}`;
      const batch = new DatagramBatch(protocol, 65_000);
      batch.add(vector(name).bytes);
      assert.equal(batch.spans, 1);
      assert.deepEqual(otlpText(batch.take()), line(name, 'client'));
    });
});

for (const [encoding, convert] of ENCODINGS)
  describe(encoding, () => {
    const processes: [JaegerProcess, string][] = [
      [{ service: 'svc' }, 'service.name="svc"'],
      [{ service: '' }, ''],
      [{ service: 'svc', tags: [['service.name', 'other']] }, 'service.name="other"'],
      [{ service: '', tags: [['service.name', 'other']] }, 'service.name="other"'],
      [{ service: 'svc', tags: [['hostname', 'h']] }, 'service.name="svc" host.name="h"'],
      [
        {
          service: 'svc',
          tags: [
            ['hostname', 'h'],
            ['host.name', 'g'],
          ],
        },
        'service.name="svc" hostname="h" host.name="g"',
      ],
      [
        { service: 'svc', tags: [['jaeger.version', 'Go-2']] },
        'service.name="svc" opencensus.exporterversion="Jaeger-Go-2"',
      ],
      [
        {
          service: 's',
          tags: [
            ['n', 7n],
            ['d', 1.5],
            ['b', true],
            ['x', Buffer.of(1, 255)],
          ],
        },
        'service.name="s" n=7 d=1.5d b=true x=0x01ff',
      ],
    ];
    for (const [process, resource] of processes)
      it(`process ${JSON.stringify(process, show)}`, () => {
        assert.deepEqual(convert(process, [base]), [`resource ${resource}`.trim(), `${SPAN} "op" ${TIMES}`]);
      });

    const tags: [JaegerTag[], head: string, attributes?: string][] = [
      [
        [
          ['a', 'x'],
          ['b', 1n],
          ['a', -2n],
        ],
        '',
        'a=-2 b=1',
      ],
      [
        [
          ['', 'x'],
          ['n', 2n ** 63n - 1n],
          ['m', -(2n ** 63n)],
        ],
        '',
        '="x" n=9223372036854775807 m=-9223372036854775808',
      ],
      ...(['client', 'server', 'producer', 'consumer', 'internal'].map((kind) => [[['span.kind', kind]], kind]) as [
        JaegerTag[],
        string,
      ][]),
      [[['span.kind', 'Client']], ''],
      [[['span.kind', 1n]], ''],
      [[['error', true]], 'error'],
      [[['error', false]], '', 'error=false'],
      [[['error', 'true']], '', 'error="true"'],
      [
        [
          ['error', true],
          ['otel.status_description', 'why'],
          ['http.status_message', 'http'],
        ],
        'error "why"',
        'http.status_message="http"',
      ],
      [
        [
          ['error', true],
          ['http.status_message', 'http'],
        ],
        'error "http"',
        'http.status_message="http"',
      ],
      [
        [
          ['error', true],
          ['otel.status_code', 'OK'],
        ],
        'error',
      ],
      [
        [
          ['otel.status_code', 'ok'],
          ['otel.status_description', 'fine'],
        ],
        'ok "fine"',
      ],
      [
        [
          ['otel.status_code', 'Error'],
          ['http.status_code', 200n],
        ],
        'error',
        'http.status_code=200',
      ],
      [[['otel.status_code', 'other']], ''],
      [[['http.status_code', 404n]], 'error', 'http.status_code=404'],
      [
        [
          ['http.status_code', '404'],
          ['span.kind', 'client'],
        ],
        'client error',
        'http.status_code="404"',
      ],
      [
        [
          ['http.status_code', 404n],
          ['span.kind', 'server'],
        ],
        'server',
        'http.status_code=404',
      ],
      [
        [
          ['http.status_code', 500n],
          ['span.kind', 'server'],
          ['http.status_message', 'm'],
        ],
        'server error "m"',
        'http.status_code=500 http.status_message="m"',
      ],
      ...(
        [
          [0, 'error'],
          [99, 'error'],
          [100, ''],
          [398, ''],
          [399, 'error'],
          [600, 'error'],
        ] as const
      ).map(([code, status]): [JaegerTag[], string, string] => [
        [['http.status_code', BigInt(code)]],
        status,
        `http.status_code=${code}`,
      ]),
      [[['http.status_code', 'x']], '', 'http.status_code="x"'],
    ];
    for (const [list, head, attributes] of tags)
      it(`tags ${JSON.stringify(list, show)}`, () => {
        const [kind, ...status] = head.split(/ (?=error|ok)|(?=^error|^ok)/);
        const isStatus = /^(error|ok)/.test(kind);
        const parts = [isStatus ? '' : kind, TIMES, ...(isStatus ? [kind] : []), ...status].filter(Boolean).join(' ');
        assert.deepEqual(convert({ service: '' }, [{ ...base, tags: list }]), [
          'resource',
          `${SPAN} "op" ${parts}`,
          ...(attributes ? [`  ${attributes}`] : []),
        ]);
      });

    it('references become the parent and links', () => {
      const other = 0xffn;
      const run = (...references: NonNullable<JaegerSpan['references']>) =>
        convert({ service: '' }, [{ ...base, references }]).slice(1);
      const link = (trace: string, span: string, type: string) =>
        `  link ${trace} ${span.padStart(16, '0')} opentracing.ref_type="${type}"`;
      const otherId = 'ff'.padStart(32, '0');
      const head = (parent: string) => `${SPAN} <${parent.padStart(16, '0')} "op" ${TIMES}`;
      assert.deepEqual(run({ type: 'child_of', spanId: 0x22n }), [head('22')]);
      assert.deepEqual(run({ type: 'follows_from', spanId: 0x22n }), [head('22'), link(ID, '22', 'follows_from')]);
      assert.deepEqual(
        run(
          { type: 'follows_from', spanId: 0x22n },
          { type: 'child_of', spanId: 0x33n },
          { type: 'child_of', spanId: 0x44n },
        ),
        [head('33'), link(ID, '22', 'follows_from'), link(ID, '44', 'child_of')],
      );
      assert.deepEqual(run({ type: 'child_of', traceId: other, spanId: 0x22n }), [
        `${SPAN} "op" ${TIMES}`,
        link(otherId, '22', 'child_of'),
      ]);
      assert.deepEqual(
        run({ type: 'child_of', traceId: other, spanId: 0x22n }, { type: 'child_of', spanId: 0x22n }),
        [head('22')],
        'the trace is not compared when links are left out',
      );
    });

    it('logs become events', () => {
      const logs = [
        {
          time: 1_700_000_000_000_500n,
          fields: [
            ['event', 'retry'],
            ['n', 1n],
          ] as JaegerTag[],
        },
        { time: 1n, fields: [['event', 5n]] as JaegerTag[] },
        { time: 0n, fields: [] },
      ];
      assert.deepEqual(convert({ service: '' }, [{ ...base, logs }]).slice(2), [
        '  event 1700000000000500000 "retry" n=1',
        '  event 1000 ""',
        '  event 0 ""',
      ]);
    });

    it('times wrap as unsigned numbers of 64 bits', () => {
      const [, line] = convert({ service: '' }, [{ ...base, start: -1n, duration: -5n }]);
      assert.equal(line, `${SPAN} "op" ${2n ** 64n - 1000n}+-5000`);
    });

    it('a thousand tags on a span, each found again', () => {
      const tags = Array.from({ length: 1000 }, (_, i): JaegerTag => [`key.${i % 700}`, BigInt(i)]);
      const [, , attributes] = convert({ service: '' }, [{ ...base, tags }]);
      const seen = attributes.trim().split(' ');
      assert.equal(seen.length, 700);
      assert.deepEqual(
        [seen[0], seen[299], seen[300], seen[699]],
        ['key.0=700', 'key.299=999', 'key.300=300', 'key.699=699'],
      );
    });
  });

describe('Thrift alone', () => {
  it('the parent id wins over references', () => {
    const references = [{ type: 'child_of' as const, spanId: 0x22n }];
    assert.deepEqual(thrift('binary')({ service: '' }, [{ ...base, parentId: 0x33n, references }]).slice(1), [
      `${SPAN} <0000000000000033 "op" ${TIMES}`,
      `  link ${ID} 0000000000000022 opentracing.ref_type="child_of"`,
    ]);
  });
  it('a span that says nothing is left out', () => {
    const nothing = { traceId: 0n, spanId: 0n, name: '', start: 0n, duration: 0n };
    const run = (flags: number) =>
      new JaegerThrift().batch(
        new ThriftBinary(thriftBytes('binary', thriftBatch({ service: 's' }, [{ ...nothing, flags }]))),
        new ProtoWriter(),
      );
    assert.deepEqual(run(1), { spans: 1, invalid: 1 });
    assert.deepEqual(run(0), { spans: 0, invalid: 0 });
  });
  it('scope and trace state stay tags', () => {
    const tags: JaegerTag[] = [
      ['otel.scope.name', 'lib'],
      ['w3c.tracestate', 'a=b'],
    ];
    assert.deepEqual(thrift('compact')({ service: '' }, [{ ...base, tags }]).slice(2), [
      '  otel.scope.name="lib" w3c.tracestate="a=b"',
    ]);
  });

  const missing: [string, ReturnType<typeof struct>][] = [
    ['process', struct([2, list(THRIFT_STRUCT, [])])],
    ['spans', struct([1, struct([1, string('s')])])],
    ['service name', struct([1, struct()], [2, list(THRIFT_STRUCT, [])])],
    ['fields of a span', struct([1, struct([1, string('s')])], [2, list(THRIFT_STRUCT, [struct([1, i64(1n)])])])],
    ['service name of another type', struct([1, struct([1, i32(5)])], [2, list(THRIFT_STRUCT, [])])],
  ];
  for (const [what, batch] of missing)
    it(`refuses a batch without ${what}`, () => {
      for (const protocol of ['binary', 'compact'] as const)
        assert.throws(() => fromThrift(protocol, thriftBytes(protocol, batch)), isUndecodable);
    });
});

describe('protobuf alone', () => {
  it('tags name the scope and the trace state', () => {
    const tags: JaegerTag[] = [
      ['otel.scope.name', 'lib'],
      ['otel.scope.version', '2'],
      ['w3c.tracestate', 'a=b'],
    ];
    assert.deepEqual(proto({ service: '' }, [{ ...base, tags }, base, { ...base, tags: tags.slice(1) }]), [
      'resource',
      'scope lib 2',
      `${SPAN} "op" ${TIMES} state="a=b"`,
      `${SPAN} "op" ${TIMES}`,
      `${SPAN} "op" ${TIMES} state="a=b"`,
      '  otel.scope.version="2"',
    ]);
  });
  it('a span may have a process of its own', () => {
    const own = { service: 'own', tags: [['hostname', 'h']] as JaegerTag[] };
    assert.deepEqual(
      proto({ service: 'svc' }, [{ ...base, process: own }, base, { ...base, process: own }]).filter((l) =>
        /^res/.test(l),
      ),
      ['resource service.name="own" host.name="h"', 'resource service.name="svc"'],
    );
  });
  it('a name that stands for no resource', () => {
    assert.deepEqual(proto({ service: 'OTLPResourceNoServiceName', tags: [['a', 'b']] }, [base])[0], 'resource');
  });
  it('one span alone, as Kafka carries it', () => {
    assert.deepEqual(otlpText(new JaegerProto().span(protoSpan({ ...base, process: { service: 'svc' } }))), [
      'resource service.name="svc"',
      `${SPAN} "op" ${TIMES}`,
    ]);
  });
  it('a trace id of 8 bytes is padded, other lengths are refused', () => {
    const bytes = Buffer.from(protoSpan(base));
    const short = (size: number): Buffer =>
      Buffer.concat([Buffer.of(0x0a, size), Buffer.alloc(size, 7), bytes.subarray(18)]);
    assert.match(otlpText(new JaegerProto().span(short(8)))[1], /^span 00000000000000000707070707070707 /);
    for (const size of [0, 5, 7, 15, 17])
      assert.throws(() => new JaegerProto().span(short(size)), isUndecodable, `${size}`);
    assert.match(otlpText(new JaegerProto().span(bytes.subarray(18)))[1], /^span 0{32} /);
  });
  const broken: [string, string][] = [
    ['span id of 4 bytes', '120401020304'],
    ['nanoseconds of 2e9', '32061080a8d6b907'],
    ['a duration of mixed signs', '3a0d080110ffffffffffffffffff01'],
    ['a year beyond 9999', '3207088083d1ffaf07'],
    ['name as a number', '1801'],
    ['field 0', '00'],
    ['a group', '0b'],
    ['a length beyond the end', '1aff'],
  ];
  for (const [what, hex] of broken)
    it(`refuses ${what}`, () => assert.throws(() => new JaegerProto().span(Buffer.from(hex, 'hex')), isUndecodable));
});

describe('datagrams', () => {
  const good = (protocol: 'compact' | 'binary'): Buffer => vector(`jaeger-udp-${protocol}`).bytes;
  const batch = thriftBatch({ service: 's' }, [base]);
  const bad: [string, (protocol: 'compact' | 'binary') => Buffer][] = [
    ['empty', () => Buffer.alloc(0)],
    ['another method', (protocol) => thriftMessage(protocol, 'emitOther', struct([1, batch]))],
    ['Zipkin', (protocol) => thriftMessage(protocol, 'emitZipkinBatch', struct([1, list(THRIFT_STRUCT, [])]))],
    ['no batch', (protocol) => thriftMessage(protocol, 'emitBatch', struct())],
    ['cut short', (protocol) => good(protocol).subarray(0, -9)],
    ['too large', (protocol) => Buffer.concat([good(protocol), Buffer.alloc(65_000)])],
    ['an endless varint', () => Buffer.alloc(500, 0x80)],
  ];
  for (const protocol of ['compact', 'binary'] as const) {
    for (const [what, make] of bad)
      it(`${protocol}: ${what} is counted and harms nobody`, () => {
        const datagrams = new DatagramBatch(protocol, 65_000);
        datagrams.add(good(protocol));
        datagrams.add(make(protocol));
        datagrams.add(good(protocol));
        assert.deepEqual(datagrams.counts, { datagrams: 3, undecodable: 1, invalidSpans: 0 });
        assert.equal(otlpText(datagrams.take()).length, 4);
      });
    it(`${protocol}: a batch without ids is refused, its neighbours are not`, () => {
      const datagrams = new DatagramBatch(protocol, 65_000);
      const bytes = thriftMessage(
        protocol,
        'emitBatch',
        struct([1, thriftBatch({ service: 's' }, [base, { ...base, spanId: 0n }])]),
      );
      for (const each of [good(protocol), bytes, good(protocol)]) datagrams.add(each);
      assert.deepEqual(datagrams.counts, { datagrams: 3, undecodable: 0, invalidSpans: 2 });
      assert.equal(otlpText(datagrams.take()).length, 4);
      assert.deepEqual(datagrams.take().length, 0);
    });
  }
  it('binary messages of the old form', () => {
    const datagrams = new DatagramBatch('binary', 65_000);
    datagrams.add(thriftMessage('binary', 'emitBatch', struct([1, batch]), false));
    assert.equal(datagrams.spans, 1);
  });
});

describe('bytes of strangers', () => {
  const whole = {
    ...base,
    tags: [
      ['a', 'x'],
      ['error', true],
    ] as JaegerTag[],
    logs: [{ time: 5n, fields: [['event', 'e']] as JaegerTag[] }],
    references: [{ type: 'child_of' as const, spanId: 5n }],
  };
  const decoders: [string, Uint8Array, (bytes: Uint8Array) => Uint8Array][] = [
    ['thrift binary', thriftBytes('binary', thriftBatch({ service: 's' }, [whole])), (b) => fromThrift('binary', b)],
    ['thrift compact', thriftBytes('compact', thriftBatch({ service: 's' }, [whole])), (b) => fromThrift('compact', b)],
    ['protobuf', protoRequest({ service: 's' }, [whole]), (b) => new JaegerProto().request(b)],
  ];
  for (const [name, seed, decode] of decoders)
    it(`${name}: OTLP or an error, and never more than ten times the input`, () => {
      fc.assert(
        fc.property(mutations(seed), (bytes) => {
          try {
            assert.ok(decode(bytes).length <= 10 * bytes.length + 1000);
          } catch (error) {
            if (!isUndecodable(error)) throw error;
          }
        }),
        { numRuns: 3000 },
      );
    });
});

/** A valid message with some bytes changed, taken out, put in. */
function mutations(seed: Uint8Array): fc.Arbitrary<Uint8Array> {
  const edit = fc.record({ at: fc.nat(seed.length), drop: fc.nat(3), put: fc.uint8Array({ maxLength: 4 }) });
  return fc
    .array(edit, { minLength: 1, maxLength: 4 })
    .map((edits) =>
      edits.reduce<Uint8Array>(
        (bytes, { at, drop, put }) => Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + drop)]),
        seed,
      ),
    );
}

function fromThrift(protocol: 'binary' | 'compact', bytes: Uint8Array): Uint8Array {
  const out = new ProtoWriter();
  new JaegerThrift().batch(protocol === 'binary' ? new ThriftBinary(bytes) : new ThriftCompact(bytes), out);
  return out.finish();
}

function isUndecodable(error: unknown): boolean {
  return error instanceof VivaceError && error.code === 'undecodable';
}

function show(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}
