import assert from 'node:assert/strict';
import fs from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import zlib from 'node:zlib';
import { type Server, startServer, temporaryFolder, until } from './server.fixture.ts';
import { ask, assertSpans, call, makeBatch, post, random, randomId, search } from './spans.fixture.ts';

// Numbers of the cases are rows of the table of hostile inputs (spec/ingestion.md §10).

const suite = { after };
const directory = temporaryFolder(suite, 'hostile');
const next = random(6);
const NOW = BigInt(Date.now()) * 1_000_000n;
let server: Server;
let session: http2.ClientHttp2Session;

before(async () => {
  server = await startServer(suite, { directory });
  session = http2.connect(`http://127.0.0.1:${server.ports.grpc}`);
  session.on('error', () => {});
});
after(() => session.destroy());

describe('ids', () => {
  const id = (bytes: number): Buffer => Buffer.alloc(bytes, 0xab);
  const zeros = (bytes: number): Buffer => Buffer.alloc(bytes);
  const cases: [string, grpc: number, Buffer][] = [
    ...[8, 15, 17].map((n): [string, number, Buffer] => [`18: trace id of ${n} bytes`, 13, span({ trace: id(n) })]),
    ['19: trace id of 0 bytes', 3, span({ trace: zeros(0) })],
    ['19: trace id absent', 3, span({ trace: undefined })],
    ['19: trace id of zeros', 3, span({ trace: zeros(16) })],
    ['20: span id of 4 bytes', 13, span({ id: id(4) })],
    ['20: parent id of 4 bytes', 13, span({}, len(4, id(4)))],
    ['20: trace id of a link of 8 bytes', 13, span({}, len(13, len(1, id(8)), len(2, id(8))))],
    ['21: span id of zeros', 3, span({ id: zeros(8) })],
    ['21: span id absent', 3, span({ id: undefined })],
  ];
  for (const [title, code, bad] of cases)
    it(title, async () => {
      const good = newTrace();
      const body = request(scope(span({ trace: good })), scope(bad));
      assert.equal((await call(session, body)).status, code);
      const answer = await post(server.otlpUrl, body);
      assert.equal(answer.status, 400, answer.body.toString());
      assert.equal(answer.headers['content-type'], 'application/x-protobuf');
      assert.equal((await trace(good)).status, 404, 'the good one of the request is not stored either');
    });

  it('23: one bad span among 999 good ones', async () => {
    const traces = Array.from({ length: 999 }, newTrace);
    const spans = traces.map((each) => span({ trace: each }));
    spans.splice(500, 0, span({ trace: zeros(16) }));
    assert.equal((await call(session, request(scope(...spans)))).status, 3);
    for (const each of [traces[0], traces[499], traces[998]]) assert.equal((await trace(each)).status, 404);
  });
});

/** What was accepted: the trace, and what it must be, now and later. */
const accepted: { title: string; trace: Buffer; check: (spans: Json[], whole: Json) => void }[] = [];

function accepts(
  title: string,
  fields: (trace: Buffer) => Buffer,
  check: (spans: Json[], whole: Json) => void = (spans) => assert.equal(spans.length, 1),
): void {
  const id = newTrace();
  accepted.push({ title, trace: id, check });
  it(title, async () => {
    const answer = await post(server.otlpUrl, fields(id));
    assert.equal(answer.status, 200, answer.body.toString());
    await checkTrace(id, check);
  });
}

describe('accepted', () => {
  accepts(
    '22: parent id of zeros is a root',
    (id) => request(scope(span({ trace: id }, len(4, Buffer.alloc(8))))),
    ([one]) => assert.ok(one.parentSpanId === undefined || one.parentSpanId === 'AAAAAAAAAAA=', one.parentSpanId),
  );
  const times: [string, bigint, bigint][] = [
    ['end before start', NOW, NOW - 5_000_000_000n],
    ['start 0', 0n, NOW],
    ['both 2^64-1', 2n ** 64n - 1n, 2n ** 64n - 1n],
  ];
  for (const [title, start, end] of times)
    accepts(
      `24: ${title}`,
      (id) => request(scope(span({ trace: id, start, end }))),
      ([one]) => {
        assert.equal(BigInt(one.startTimeUnixNano ?? 0), start);
        assert.equal(BigInt(one.endTimeUnixNano ?? 0), end);
      },
    );
  const broken = Buffer.from([0x61, 0xff, 0xfe, 0x62]);
  accepts(
    '25: invalid UTF-8 in name, key, value and trace state',
    (id) =>
      request(scope(span({ trace: id, name: broken }, len(3, broken), len(9, len(1, broken), len(2, len(1, broken)))))),
    ([one]) => {
      for (const text of [one.name, one.traceState, one.attributes[0].key, one.attributes[0].value.stringValue])
        assert.match(text, /^a\ufffd+b$/);
    },
  );
  accepts(
    '26: kind 99, status 7',
    (id) => request(scope(span({ trace: id, kind: 99 }, len(15, varint(3, 7))))),
    ([one]) => assert.deepEqual([one.kind, one.status.code], [99, 7]),
  );
  accepts(
    '26: kind -1',
    (id) => request(scope(span({ trace: id, kind: -1 }))),
    ([one]) => assert.equal(one.kind, -1),
  );
  accepts(
    '27: no value, no key, the same key twice, two members of one value',
    (id) =>
      request(
        scope(
          span(
            { trace: id },
            len(9, len(1, 'none')),
            len(9, len(1, ''), len(2, len(1, 'nameless'))),
            len(9, len(1, 'twice'), len(2, len(1, 'first'))),
            len(9, len(1, 'twice'), len(2, varint(3, 2))),
            len(9, len(1, 'both'), len(2, len(1, 'text'), varint(2, 1))),
          ),
        ),
      ),
    ([one]) => {
      const seen = one.attributes.map(({ key, value }: Json) => [key ?? '', value ?? {}]);
      assert.deepEqual(seen, [
        ['none', {}],
        ['', { stringValue: 'nameless' }],
        ['twice', { stringValue: 'first' }],
        ['twice', { intValue: '2' }],
        ['both', { boolValue: true }],
      ]);
    },
  );
  accepts(
    '28: lists of lists, 200 deep',
    (id) => request(scope(span({ trace: id }, len(9, len(1, 'deep'), len(2, nested(200)))))),
    ([one]) => {
      let depth = 0;
      let value = one.attributes[0].value;
      for (; value.kvlistValue !== undefined; depth++) value = value.kvlistValue.values[0].value;
      assert.deepEqual([depth, value], [200, { stringValue: 'bottom' }]);
    },
  );
  accepts(
    '31: 50 000 attributes on one span',
    (id) =>
      request(
        scope(
          span(
            { trace: id },
            ...Array.from({ length: 50_000 }, (_, i) => len(9, len(1, `key.${i}`), len(2, varint(3, i)))),
          ),
        ),
      ),
    ([one]) => {
      assert.equal(one.attributes.length, 50_000);
      const byKey = new Map<string, Json>(one.attributes.map(({ key, value }: Json) => [key, value]));
      for (const i of [0, 1, 25_000, 49_999]) assert.deepEqual(byKey.get(`key.${i}`), { intValue: String(i) });
    },
  );
  accepts(
    '33: a value of 100 kB and a key of 5 kB are cut to 2048 bytes',
    (id) =>
      request(
        scope(
          span(
            { trace: id },
            len(9, len(1, 'long'), len(2, len(1, 'v'.repeat(100_000)))),
            len(9, len(1, 'k'.repeat(5000)), len(2, len(1, 'short'))),
          ),
        ),
      ),
    ([one]) => {
      assert.equal(one.attributes[0].value.stringValue, 'v'.repeat(2048));
      assert.equal(one.attributes[1].key, 'k'.repeat(2048));
    },
  );
  accepts(
    '34: the cut falls between characters',
    (id) => request(scope(span({ trace: id }, len(9, len(1, 'long'), len(2, len(1, `x${'é'.repeat(2000)}`)))))),
    ([one]) => assert.equal(one.attributes[0].value.stringValue, `x${'é'.repeat(1023)}`),
  );
  accepts(
    '35: the same span twice, no resource, no scope',
    (id) => request(scope(span({ trace: id, id: Buffer.alloc(8, 7) }), span({ trace: id, id: Buffer.alloc(8, 7) }))),
    (spans) => assert.ok(spans.length === 1 || spans.length === 2),
  );
});

describe('deep, wide, many', () => {
  for (const depth of [1000, 10_000, 100_000])
    it(`${depth === 1000 ? 29 : 30}: a value ${depth} deep`, async () => {
      const id = newTrace();
      const body = request(scope(span({ trace: id }, len(9, len(1, 'deep'), len(2, nested(depth))))));
      const answer = await post(server.otlpUrl, body);
      assert.ok(answer.status === 400 || (depth === 1000 && answer.status === 200), `${answer.status}`);
      const { status } = await call(session, body);
      assert.ok(status === 13 || (depth === 1000 && status === 0), `${status}`);
      assert.equal((await trace(id)).status, answer.status === 200 ? 200 : 404);
    });

  it('32: a million empty attributes', async () => {
    const id = newTrace();
    const answer = await post(
      server.otlpUrl,
      request(scope(span({ trace: id }, Buffer.alloc(2_000_000, '4a00', 'hex')))),
    );
    assert.ok(answer.status === 200 || answer.status === 400, `${answer.status}`);
    assert.equal((await trace(id)).status, answer.status === 200 ? 200 : 404);
    assert.ok(peakBytes() < 600 << 20, `peak memory ${peakBytes()}`);
  });

  it('36: 100 000 resources without spans', async () => {
    const before = await metric('tempo_distributor_spans_received_total');
    assert.equal((await call(session, Buffer.alloc(200_000, '0a00', 'hex'))).status, 0);
    assert.equal(await metric('tempo_distributor_spans_received_total'), before);
  });

  it('37: 10 000 traces in one request', async () => {
    const batch = makeBatch(next, { traces: 10_000, spansPerTrace: 1 });
    assert.equal((await call(session, batch.body)).status, 0);
    const some = [...batch.traces].filter((_, index) => index % 100 === 0);
    await assertSpans(server.url, some);
  });

  it('33: cut attributes are counted', async () => {
    await until(
      'the counter has moved',
      async () => (await metric('tempo_distributor_attributes_truncated_total')) >= 3,
    );
  });
});

describe('bodies and heads', () => {
  const good = (): Buffer => request(scope(span({ trace: newTrace() })));

  it('51: 21 MiB, and 30 MiB of zeros as gzip', async () => {
    const large = await post(server.otlpUrl, Buffer.alloc(21 << 20));
    assert.equal(large.status, 400);
    assert.equal(large.headers.connection, 'close');
    const bomb = await post(server.otlpUrl, zlib.gzipSync(Buffer.alloc(30 << 20)), { 'Content-Encoding': 'gzip' });
    assert.equal(bomb.status, 400);
  });

  const gzip = zlib.gzipSync(good());
  const damaged = Buffer.from(gzip);
  damaged[damaged.length - 6] ^= 1;
  const bodies: [string, string, Buffer][] = [
    ['truncated', 'gzip', gzip.subarray(0, -9)],
    ['of another checksum', 'gzip', damaged],
    ['empty', 'gzip', Buffer.alloc(0)],
    ['no gzip at all', 'gzip', good()],
    ['raw', 'deflate', zlib.deflateRawSync(good())],
    ...['identity', 'br', 'GZIP', 'gzip, gzip'].map((name): [string, string, Buffer] => ['fine', name, gzip]),
  ];
  for (const [what, encoding, body] of bodies)
    it(`52: ${encoding}, ${what}`, async () => {
      assert.equal((await post(server.otlpUrl, body, { 'Content-Encoding': encoding })).status, 400);
    });

  const head = 'POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\n';
  const texts: [string, string, number][] = [
    ['57: a negative length', `${head}Host: x\r\nContent-Length: -5\r\n\r\n`, 400],
    ['57: no host', `${head}Content-Length: 0\r\n\r\n`, 400],
    ['57: a head of 2 MB', `${head}Host: x\r\nX: ${'x'.repeat(2 << 20)}\r\n\r\n`, 431],
    ['58: 10 GB announced', `${head}Host: x\r\nContent-Length: 10000000000\r\n\r\n`, 400],
    ['60: a chunk of no size', `${head}Host: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`, 400],
  ];
  for (const [title, text, status] of texts)
    it(title, async () => {
      const answer = await exchange(server.ports.http, text);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), answer.slice(0, 200));
    });

  it('60: a body that ends early leaves nothing behind', async () => {
    const socket = net.connect(server.ports.http, '127.0.0.1');
    socket.write(`${head}Host: x\r\nContent-Length: 500\r\n\r\nabc`);
    socket.end();
    await new Promise((resolve) =>
      socket
        .on('close', resolve)
        .on('error', () => {})
        .resume(),
    );
  });
});

describe('connections', () => {
  const strangers: [string, Buffer][] = [
    ['HTTP/1.1', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['TLS', Buffer.from('160301020001000001fc0303', 'hex')],
    ['a preface and junk', Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.alloc(64, 0xff)])],
  ];
  for (const [title, bytes] of strangers)
    it(`13: ${title} on the port for gRPC`, async () => {
      await exchange(server.ports.grpc, bytes);
      await serves();
    });

  it('14, 59: a thousand silent connections and slow heads do not keep others out', async (t) => {
    const sockets: net.Socket[] = [];
    t.after(() => {
      for (const socket of sockets) socket.destroy();
    });
    for (let i = 0; i < 1000; i++) {
      const socket = net.connect(i % 2 === 0 ? server.ports.grpc : server.ports.http, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(i % 2 === 0 ? 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' : 'POST /v1/traces HTTP/1.1\r\nX-Slow: ');
      sockets.push(socket);
    }
    await until('all are connected', () => sockets.every((socket) => !socket.connecting));
    await serves();
    for (const socket of sockets.filter((_, i) => i % 2 === 1)) socket.write('x');
    await serves();
  });

  it('15: a list of headers of 1 MB', async () => {
    const own = http2.connect(`http://127.0.0.1:${server.ports.grpc}`, { maxSendHeaderBlockLength: 2 << 20 });
    const failed = new Promise<void>((resolve) => own.on('error', () => resolve()).on('close', () => resolve()));
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`x-${i}`, 'y'.repeat(10_000)]));
    const answered = call(own, Buffer.alloc(0), undefined, many).then(
      ({ status }) => assert.notEqual(status, 0),
      () => {},
    );
    await Promise.race([failed, answered]);
    own.destroy();
    await serves();
  });

  it('16: streams that are opened and reset without end', async () => {
    const own = http2.connect(`http://127.0.0.1:${server.ports.grpc}`);
    let over = false;
    own
      .on('error', () => {})
      .on('goaway', () => (over = true))
      .on('close', () => (over = true));
    for (let i = 0; i < 20_000 && !over; i++) {
      const stream = own.request({ ':method': 'POST', ':path': '/a/b', 'content-type': 'application/grpc' });
      stream.on('error', () => {});
      stream.close(http2.constants.NGHTTP2_CANCEL);
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    own.destroy();
    await serves();
  });
});

describe('afterwards', () => {
  const queries = [
    '{}',
    '{ duration > 1s }',
    '{ kind = server }',
    '{ .deep != nil }',
    '{ name =~ ".*" }',
    '{ status = error }',
  ];
  const asks = async (): Promise<void> => {
    for (const q of queries) await search(server.url, { q, limit: '100' });
    for (const page of ['/api/search/tags', '/api/v2/search/tags', '/api/search/tag/twice/values', '/metrics'])
      assert.equal((await ask(`${server.url}${page}`)).status, 200, page);
  };
  const all = async (): Promise<void> => {
    for (const { title, trace: id, check } of accepted)
      await checkTrace(id, check).catch((error) => {
        throw new Error(`${title}: ${error.message}`, { cause: error });
      });
  };

  it('queries are answered', asks);

  it('what was accepted is the same after kill -9', async () => {
    session.destroy();
    await server.kill();
    server = await startServer(suite, { directory });
    await all();
    await asks();
  });

  it('and from a block', async () => {
    assert.equal((await ask(`${server.url}/flush`, { method: 'POST' })).status, 204);
    assert.equal(
      await metric('tempodb_blocklist_length'),
      fs.globSync(`${directory}/data/blocks/*/*/meta.json`).length,
    );
    await all();
    await asks();
  });

  it('and the server still works and stops in order', async () => {
    session = http2.connect(`http://127.0.0.1:${server.ports.grpc}`);
    await serves();
    session.destroy();
    assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.stderr());
    assert.doesNotMatch(server.stderr(), /level=error/);
  });
});

/** Good requests are taken and found. */
async function serves(): Promise<void> {
  const [overHttp, overGrpc] = [makeBatch(next), makeBatch(next)];
  assert.equal((await post(server.otlpUrl, overHttp.body)).status, 200);
  assert.equal((await call(session, overGrpc.body)).status, 0);
  for (const { traces } of [overHttp, overGrpc]) await assertSpans(server.url, traces);
}

// biome-ignore lint/suspicious/noExplicitAny: answers of the API, taken apart by assertions.
type Json = any;

function trace(id: Buffer) {
  return ask(`${server.url}/api/traces/${id.toString('hex')}`);
}

async function checkTrace(id: Buffer, check: (spans: Json[], whole: Json) => void): Promise<void> {
  const answer = await trace(id);
  assert.equal(answer.status, 200, answer.body.toString().slice(0, 300));
  const whole = JSON.parse(answer.body.toString());
  check(
    whole.batches.flatMap((batch: Json) => batch.scopeSpans.flatMap((each: Json) => each.spans)),
    whole,
  );
}

/** The sum of a metric over its labels. */
async function metric(name: string): Promise<number> {
  const text = (await ask(`${server.url}/metrics`)).body.toString();
  let sum = 0;
  for (const [, value] of text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, 'gm'))) sum += Number(value);
  return sum;
}

function peakBytes(): number {
  return 1024 * Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${server.pid}/status`, 'utf8'))![1]);
}

/** Writes to a socket and resolves with all that came until the server closed it. */
function exchange(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    let seen = '';
    const socket = net.connect(port, '127.0.0.1');
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      seen += text;
      // The answer is there; whether the server closes is another matter.
      if (seen.startsWith('HTTP/1.1') && seen.includes('\r\n\r\n')) socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(seen));
    socket.write(bytes);
  });
}

// ---- protobuf, written by hand so that it can be wrong ----

function newTrace(): Buffer {
  return Buffer.from(randomId(next, 16), 'hex');
}

interface SpanFields {
  trace?: Buffer;
  id?: Buffer;
  name?: Buffer | string;
  kind?: number;
  start?: bigint;
  end?: bigint;
}

function span(fields: SpanFields, ...more: Buffer[]): Buffer {
  const { name = 'hostile', kind = 2, start = NOW, end = NOW + 1_000_000n } = fields;
  const trace = 'trace' in fields ? fields.trace : newTrace();
  const id = 'id' in fields ? fields.id : Buffer.from(randomId(next, 8), 'hex');
  return Buffer.concat([
    ...(trace === undefined ? [] : [len(1, trace)]),
    ...(id === undefined ? [] : [len(2, id)]),
    len(5, name),
    varint(6, kind),
    fixed64(7, start),
    fixed64(8, end),
    ...more,
  ]);
}

/** ScopeSpans with these spans. */
function scope(...spans: Buffer[]): Buffer {
  return len(2, ...spans.map((each) => len(2, each)));
}

/** One ResourceSpans a scope. */
function request(...scopes: Buffer[]): Buffer {
  return Buffer.concat(scopes.map((each) => len(1, each)));
}

/** AnyValue: key-value lists inside each other. */
function nested(depth: number): Buffer {
  // Lengths are written from the inside out, and the whole once.
  const parts: Buffer[] = [len(1, 'bottom')];
  let length = parts[0].length;
  const wrap = (field: number): void => {
    const head = Buffer.concat([uvarint((field << 3) | 2), uvarint(length)]);
    parts.push(head);
    length += head.length;
  };
  for (let i = 0; i < depth; i++) {
    // KeyValue.value, KeyValueList.values, AnyValue.kvlist_value
    wrap(2);
    wrap(1);
    wrap(6);
  }
  return Buffer.concat(parts.reverse());
}

function len(field: number, ...content: (Buffer | string)[]): Buffer {
  const inner = Buffer.concat(content.map((each) => (typeof each === 'string' ? Buffer.from(each) : each)));
  return Buffer.concat([uvarint((field << 3) | 2), uvarint(inner.length), inner]);
}

function varint(field: number, value: number): Buffer {
  return Buffer.concat([uvarint(field << 3), uvarint(value)]);
}

function fixed64(field: number, value: bigint): Buffer {
  const bytes = Buffer.alloc(9);
  bytes[0] = (field << 3) | 1;
  bytes.writeBigUInt64LE(value, 1);
  return bytes;
}

function uvarint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
