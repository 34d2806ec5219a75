import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../../tests/property.ts';
import { VivaceError } from '../runtime/errors.ts';
import { OpencensusStream } from './opencensus.ts';
import { opencensusJsonMessages } from './opencensus-json.ts';
import { otlpText } from './otlp-text.fixture.ts';
import { vector } from './vectors.fixture.ts';

const TRACE = Buffer.alloc(16, 0xab).toString('base64');
const SPAN = Buffer.alloc(8, 0xcd).toString('base64');
const HEAD = `span ${'ab'.repeat(16)} ${'cd'.repeat(8)}`;
const base = {
  traceId: TRACE,
  spanId: SPAN,
  name: { value: 'op' },
  startTime: '2023-11-14T22:13:20Z',
  endTime: '2023-11-14T22:13:20.001Z',
};
const TIMES = '1700000000000000000+1000000';
const node = { serviceInfo: { name: 'svc' } };

/** Requests as JSON, through the protobuf that the stream reads. */
const run = (...requests: unknown[]): string[] => {
  const stream = new OpencensusStream();
  return opencensusJsonMessages(Buffer.from(requests.map((each) => JSON.stringify(each)).join('\n'))).flatMap(
    (message) => otlpText(stream.convert(message)),
  );
};
const spanLines = (span: Record<string, unknown>): string[] =>
  run({ node: {}, spans: [{ ...base, ...span }] }).slice(1);

it('golden vector', () => {
  assert.deepEqual(otlpText(new OpencensusStream().convert(vector('opencensus').bytes)), [
    'resource service.name="svc"',
    `span ${vector('opencensus').traceId} 1112131415161718 "op" client ${TIMES}`,
  ]);
});

describe('the sender', () => {
  it('everything a node says', () =>
    assert.deepEqual(
      run({
        node: {
          identifier: { hostName: 'h', pid: 7, startTimestamp: '2023-11-14T22:13:20.5Z' },
          libraryInfo: { language: 'NODE_JS', exporterVersion: '1', coreLibraryVersion: '2' },
          serviceInfo: { name: 'svc' },
          attributes: { a: 'x' },
        },
        resource: { type: 'host', labels: { 'cloud.zone': 'z', b: 'y' } },
        spans: [base],
      })[0],
      'resource host.name="h" process.pid=7 opencensus.starttime="2023-11-14T22:13:20.5Z" telemetry.sdk.language="nodejs" opencensus.exporterversion="1" telemetry.sdk.version="2" service.name="svc" a="x" opencensus.resourcetype="host" cloud.availability_zone="z" b="y"',
    ));
  it('is remembered, and replaced', () =>
    assert.deepEqual(
      run(
        { node, spans: [base] },
        { spans: [base], resource: { labels: { a: '1' } } },
        { spans: [base] },
        { spans: [base], node: {} },
      ).filter((line) => line.startsWith('resource')),
      [
        'resource service.name="svc"',
        'resource service.name="svc" a="1"',
        'resource service.name="svc" a="1"',
        'resource a="1"',
      ],
    ));
  it('a span may have a resource of its own', () =>
    assert.deepEqual(
      run({
        node,
        resource: { labels: { a: '1' } },
        spans: [{ ...base, resource: { labels: { a: '2' } } }, base],
      }).filter((line) => line.startsWith('resource')),
      ['resource service.name="svc" a="1"', 'resource service.name="svc" a="2"'],
    ));
  it('is bounded, and so is what it is repeated for', () => {
    assert.throws(() => run({ node: { attributes: { a: 'x'.repeat(70_000) } } }), isCode('too-large'));
    const own = Array.from({ length: 2000 }, (_, i) => ({ ...base, resource: { labels: { i: String(i) } } }));
    assert.throws(() => run({ node: { attributes: { a: 'x'.repeat(60_000) } }, spans: own }), isCode('too-large'));
  });
});

describe('spans', () => {
  const cases: [string, Record<string, unknown>, string[]][] = [
    ['kinds', { kind: 'SERVER' }, [`${HEAD} "op" server ${TIMES}`]],
    ['kinds as numbers', { kind: 2 }, [`${HEAD} "op" client ${TIMES}`]],
    [
      'a kind as an attribute',
      { attributes: { attributeMap: { 'span.kind': { stringValue: { value: 'producer' } } } } },
      [`${HEAD} "op" producer ${TIMES}`],
    ],
    [
      'another kind as an attribute',
      { attributes: { attributeMap: { 'span.kind': { stringValue: { value: 'server' } } } } },
      [`${HEAD} "op" ${TIMES}`, '  span.kind="server"'],
    ],
    ['a parent', { parentSpanId: SPAN }, [`${HEAD} <${'cd'.repeat(8)} "op" ${TIMES}`]],
    ['status 0', { status: { code: 0, message: 'm' } }, [`${HEAD} "op" ${TIMES} "m"`]],
    ['status 5', { status: { code: 5, message: 'm' } }, [`${HEAD} "op" ${TIMES} error "m"`]],
    ['status -1', { status: { code: -1 } }, [`${HEAD} "op" ${TIMES} error`]],
    [
      'status of OpenTelemetry',
      { status: { code: 5 }, attributes: { attributeMap: { 'otel.status_code': { intValue: '1' } } } },
      [`${HEAD} "op" ${TIMES} ok`],
    ],
    [
      'same process',
      { sameProcessAsParentSpan: false, childSpanCount: 3 },
      [`${HEAD} "op" ${TIMES}`, '  opencensus.same_process_as_parent_span=false'],
    ],
    [
      'trace state',
      {
        tracestate: {
          entries: [
            { key: 'a', value: '1' },
            { key: 'b', value: '2' },
          ],
        },
      },
      [`${HEAD} "op" ${TIMES} state="a=1,b=2"`],
    ],
    [
      'attributes',
      {
        attributes: {
          attributeMap: {
            s: { stringValue: { value: 'x' } },
            i: { intValue: '-5' },
            b: { boolValue: true },
            d: { doubleValue: 1.5 },
            n: {},
          },
          droppedAttributesCount: 4,
        },
      },
      [
        `${HEAD} "op" ${TIMES} dropped=4,0,0`,
        '  s="x" i=-5 b=true d=1.5d n="<Unknown OpenCensus attribute value type \\"<nil>\\">"',
      ],
    ],
    [
      'time events',
      {
        timeEvents: {
          timeEvent: [
            {
              time: '1970-01-01T00:00:01Z',
              annotation: { description: { value: 'note' }, attributes: { attributeMap: { a: { boolValue: false } } } },
            },
            {
              time: '1970-01-01T00:00:02Z',
              messageEvent: { type: 'SENT', id: '7', uncompressedSize: '100', compressedSize: 50 },
            },
            {},
          ],
          droppedAnnotationsCount: 2,
          droppedMessageEventsCount: 3,
        },
      },
      [
        `${HEAD} "op" ${TIMES} dropped=0,5,0`,
        '  event 1000000000 "note" a=false',
        '  event 2000000000 "message" message.type="SENT" messaging.message_id=7 messaging.message_payload_size_bytes=100 messaging.message_payload_compressed_size_bytes=50',
        '  event 0 "OpenCensus time event without a value"',
      ],
    ],
    [
      'links',
      {
        links: {
          link: [
            {
              traceId: TRACE,
              spanId: SPAN,
              type: 'CHILD_LINKED_SPAN',
              attributes: { attributeMap: { a: { intValue: 1 } } },
            },
          ],
          droppedLinksCount: 1,
        },
      },
      [`${HEAD} "op" ${TIMES} dropped=0,0,1`, `  link ${'ab'.repeat(16)} ${'cd'.repeat(8)} a=1`],
    ],
    ['a short id ends in zeros', { spanId: 'AQI=' }, [`span ${'ab'.repeat(16)} 0102000000000000 "op" ${TIMES}`]],
    [
      'a long id is cut',
      { spanId: Buffer.alloc(20, 9).toString('base64') },
      [`span ${'ab'.repeat(16)} ${'09'.repeat(8)} "op" ${TIMES}`],
    ],
  ];
  for (const [title, span, lines] of cases) it(title, () => assert.deepEqual(spanLines(span), lines));
  it('names as in the .proto file', () =>
    assert.equal(
      spanLines({ start_time: '2023-11-14T22:13:20Z', kind: 'CLIENT', unknown: [{}] })[0],
      `${HEAD} "op" client ${TIMES}`,
    ));
});

describe('broken', () => {
  const texts = [
    '',
    '[]',
    '{',
    '{"spans":[{"traceId":5}]}',
    '{"spans":[{"traceId":"%%"}]}',
    '{"spans":[{"kind":"OTHER"}]}',
    '{"spans":[{"startTime":"now"}]}',
    `${'{"node":'.repeat(100)}`,
  ];
  for (const text of texts)
    it(`JSON ${JSON.stringify(text.slice(0, 40))}`, () =>
      assert.throws(() => opencensusJsonMessages(Buffer.from(text)), isCode('undecodable')));
  it('text that is not UTF-8', () => {
    assert.throws(() => new OpencensusStream().convert(Buffer.from('0a051a030a01ff', 'hex')), isCode('undecodable'));
  });
  it('bytes of strangers: OTLP or an error, and never more than ten times the input', () => {
    const seed = vector('opencensus').bytes;
    const edit = fc.record({ at: fc.nat(seed.length), drop: fc.nat(3), put: fc.uint8Array({ maxLength: 4 }) });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
        const bytes = edits.reduce<Uint8Array>(
          (all, { at, drop, put }) => Buffer.concat([all.subarray(0, at), put, all.subarray(at + drop)]),
          seed,
        );
        try {
          assert.ok(new OpencensusStream().convert(bytes).length <= 10 * bytes.length + 1000);
        } catch (error) {
          if (!isCode('undecodable')(error)) throw error;
        }
      }),
      { numRuns: 3000 },
    );
  });
});

function isCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof VivaceError && error.code === code;
}
