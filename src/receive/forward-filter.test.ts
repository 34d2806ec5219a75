import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { forwardFilter } from './forward-filter.ts';
import { otlpJsonToProto } from './otlp-json.ts';
import { otlpText } from './otlp-text.fixture.ts';

const attribute = (key: string, value: Record<string, unknown>) => ({ key, value });
const event = (name: string, retries: number) => ({
  ...{ timeUnixNano: '7', name, attributes: [attribute('retries', { intValue: retries })] },
});
const spans = [
  {
    ...{ traceId: 'ab'.repeat(16), spanId: '01'.repeat(8), name: 'GET /healthz', kind: 2, flags: 257 },
    ...{ startTimeUnixNano: '1000', endTimeUnixNano: '3000', traceState: 'a=b' },
    attributes: [
      attribute('http.route', { stringValue: '/healthz' }),
      attribute('n', { intValue: '9007199254740993' }),
      attribute('ratio', { doubleValue: 0.5 }),
      attribute('five', { doubleValue: 5 }),
      attribute('ok', { boolValue: true }),
      attribute('raw', { bytesValue: 'AQI=' }),
      attribute('list', { arrayValue: { values: [{ stringValue: 'x' }, { intValue: 2 }] } }),
      attribute('map', { kvlistValue: { values: [attribute('a', { stringValue: 'deep' })] } }),
    ],
    events: [event('retry', 1), event('retry', 9), event('done', 0)],
  },
];
const request = (more: object[] = []): Uint8Array =>
  otlpJsonToProto(
    Buffer.from(
      JSON.stringify({
        resourceSpans: [
          {
            schemaUrl: 'https://schema',
            resource: { attributes: [attribute('service.name', { stringValue: 'shop' })] },
            scopeSpans: [{ scope: { name: 'lib', version: '2' }, spans: [...spans, ...more] }],
          },
        ],
      }),
    ),
  );

describe('conditions that hold for the span', () => {
  const conditions = [
    'name == "GET /healthz"',
    'span.name != "other"',
    'attributes["http.route"] == "/healthz"',
    'span.attributes["http.route"] == "/healthz"',
    'resource.attributes["service.name"] == "shop"',
    'instrumentation_scope.name == "lib" and scope.version == "2"',
    'resource.schema_url == "https://schema"',
    'attributes["absent"] == nil',
    'not (attributes["http.route"] == nil)',
    'not attributes["absent"] != nil',
    'kind == SPAN_KIND_SERVER',
    'kind == 2',
    'kind.string == "Server"',
    'kind.deprecated_string == "SPAN_KIND_SERVER"',
    'status.code == STATUS_CODE_UNSET',
    'status.code != STATUS_CODE_ERROR and status.message == ""',
    'attributes["n"] == 9007199254740993',
    'attributes["n"] > 9007199254740992',
    'attributes["n"] > 1.5',
    'attributes["five"] == 5',
    'attributes["ratio"] < 1 and attributes["ratio"] >= .5 and attributes["ratio"] > -1',
    'attributes["ratio"] <= 5e-1',
    'attributes["ok"] == true',
    'attributes["raw"] == 0x0102',
    'attributes["list"][0] == "x" and attributes["list"][1] == 2 and attributes["list"][7] == nil',
    'attributes["map"]["a"] == "deep"',
    'name < "Z"',
    'trace_id == TraceID(0xabababababababababababababababab)',
    'trace_id.string == "abababababababababababababababab"',
    'span_id == SpanID(0x0101010101010101)',
    'IsRootSpan()',
    'start_time_unix_nano == 1000 and end_time_unix_nano > 2000',
    'trace_state == "a=b"',
    'flags == 257',
    'IsMatch(name, "^GET ")',
    'IsMatch(attributes["http.route"], "health.?")',
    'IsMatch(attributes["n"], "^90.*3$")',
    'IsMatch(attributes["list"], "x")',
    'not IsMatch(attributes["absent"], ".*")',
    'HasPrefix(name, "GET") and HasSuffix(name, "z")',
    'IsString(name) and IsInt(attributes["n"]) and IsDouble(attributes["five"]) and IsBool(attributes["ok"])',
    'IsList(attributes["list"]) and IsMap(attributes["map"])',
    'Len(attributes["list"]) == 2',
    'ToLowerCase(name) == "get /healthz"',
    'false or true',
    'name == "x" or name == "y" or (kind == 2 and (true))',
    'name == "GET \\u002f" or name == "GET /healthz"',
    'true or false and false',
  ];
  for (const condition of conditions)
    it(condition, () => assert.equal(forwardFilter({ span: [condition], spanevent: [] })!(request()).length, 0));
});

describe('conditions that do not', () => {
  const conditions = [
    'name == "GET"',
    'name == nil',
    'name == 5',
    'name > 5',
    'attributes["absent"] == "x"',
    'attributes["absent"] > 1',
    'attributes["http.route"]["deeper"] == nil',
    'Len(attributes["n"]) == 1',
    'HasPrefix(attributes["n"], "9")',
    'kind == SPAN_KIND_CLIENT',
    'not true',
    'IsMatch(name, "^/healthz")',
    'not (kind == 2 or name == "x")',
  ];
  for (const condition of conditions)
    it(condition, () =>
      assert.deepEqual(otlpText(forwardFilter({ span: [condition], spanevent: [] })!(request())), otlpText(request())),
    );
});

it('spans that stay, stay as they are', () => {
  const other = { ...spans[0], spanId: '02'.repeat(8), name: 'POST /orders' };
  const kept = forwardFilter({ span: ['name == "GET /healthz"', 'kind == SPAN_KIND_CLIENT'], spanevent: [] })!(
    request([other]),
  );
  const [resource, first, second] = [otlpText(request([other]))].flat().filter((line) => /^(resource|span)/.test(line));
  const lines = otlpText(kept);
  assert.equal(lines[0], resource);
  assert.ok(lines.includes(second) && !lines.includes(first));
});

it('events are left out by themselves', () => {
  const kept = forwardFilter({
    span: [],
    spanevent: ['name == "retry" and attributes["retries"] > 5', 'spanevent.name == "done" and span.kind == 2'],
  })!(request());
  const text = otlpText(kept).join('\n');
  assert.equal(text.match(/retry/g)?.length, 1, text);
  assert.doesNotMatch(text, /done/);
});

it('without conditions there is no filter', () => assert.equal(forwardFilter({ span: [], spanevent: [] }), undefined));

describe('what cannot be understood is refused, with its place', () => {
  const cases: [condition: string, reason: RegExp][] = [
    ['', /unexpected end, expected a value at 1$/],
    ['name ==', /unexpected end/],
    ['name', /unexpected end, expected a comparison at 5$/],
    ['name == "x" name', /unexpected name, expected and, or, or the end at 13$/],
    ['nmae == "x"', /unknown path nmae at 1$/],
    ['attributes.x == 1', /unknown path attributes\.x/],
    ['Concat(["a"], "") == "a"', /unexpected \[|not supported/],
    ['Split(name, "/") == nil', /function Split is not supported \(supported: IsMatch,/],
    ['IsMatch(name)', /IsMatch takes 2 arguments, not 1/],
    ['IsMatch(name, "(")', /no regular expression/],
    ['IsMatch(name, attributes["p"])', /must be a text/],
    ['TraceID(0x01) == trace_id', /16 bytes/],
    ['attributes["n"] + 1 == 2', /arithmetic is not supported/],
    ['(name == "x"', /expected "\)"/],
    ['name == "x', /unexpected "\\""/],
    ['name = "x"', /unexpected "="/],
    ['attributes[kind] == 1', /expected a text or a number between brackets/],
    ['STATUS_CODE_BAD == 1', /unknown name STATUS_CODE_BAD/],
    ['constructor == 1', /unknown path constructor/],
    [`${'('.repeat(5000)}`, /nested more than 100 levels/],
  ];
  for (const [condition, reason] of cases)
    it(condition.slice(0, 40), () =>
      assert.throws(() => forwardFilter({ span: [condition], spanevent: [] }), { code: 'invalid', message: reason }),
    );
});
