import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfiguration } from './load.ts';

/** File text, and the lines of the error behind `yaml: unmarshal errors:`. */
const unmarshal: [text: string, ...lines: string[]][] = [
  [
    'server:\n  http_listen_prt: 1\n',
    'line 2: field http_listen_prt not found in type server.Config (column 3: did you mean http_listen_port?)',
  ],
  ['igester: {}\n', 'line 1: field igester not found in type app.Config (column 1: did you mean ingester?)'],
  [
    'live_store:\n  trace_idle_period: 1s\n',
    'line 2: field trace_idle_period not found in type livestore.Config (column 3: did you mean ingester.trace_idle_period?)',
  ],
  ['nonsense_beyond_help: 1\n', 'line 1: field nonsense_beyond_help not found in type app.Config (column 1)'],
  ['__proto__: {a: 1}\n', 'line 1: field __proto__ not found in type app.Config (column 1)'],
  ['server:\n  constructor: 1\n', 'line 2: field constructor not found in type server.Config (column 3)'],
  ['server: {http_listen_port: abc}\n', 'line 1: cannot unmarshal !!str `abc` into int (column 28)'],
  ['server: {http_listen_port: "3200"}\n', 'line 1: cannot unmarshal !!str `3200` into int (column 28)'],
  ['server: {http_listen_port: 1.5}\n', 'line 1: cannot unmarshal !!float `1.5` into int (column 28)'],
  [
    'server: {http_listen_port: 70000}\n',
    'line 1: cannot unmarshal !!int `70000` into int (column 28: http_listen_port must be at most 65535)',
  ],
  [
    'query_frontend: {search: {max_result_limit: -1}}\n',
    'line 1: cannot unmarshal !!int `-1` into uint (column 45: max_result_limit must be at least 0)',
  ],
  ['server: [1]\n', 'line 1: cannot unmarshal !!seq into server.Config (column 9)'],
  ['server: text\n', 'line 1: cannot unmarshal !!str `text` into server.Config (column 9)'],
  ['server:\n  log_level: {a: 1}\n', 'line 2: cannot unmarshal !!map into string (column 14)'],
  [
    'server:\n  log_level: loud\n',
    'line 2: unrecognized log level "loud": one of debug, info, warn, error (column 14)',
  ],
  ['multitenancy_enabled: maybe\n', 'line 1: cannot unmarshal !!str `maybe` into bool (column 23)'],
  ['multitenancy_enabled: 1\n', 'line 1: cannot unmarshal !!int `1` into bool (column 23)'],
  ['shutdown_delay: 1.5\n', 'line 1: cannot unmarshal !!float `1.5` into time.Duration (column 17)'],
  [
    'shutdown_delay: 1d\n',
    'line 1: cannot unmarshal !!str `1d` into time.Duration (column 17: time: unknown unit "d" in duration "1d" (write days as hours: 1d is 24h))',
  ],
  ['shutdown_delay: a very long text\n', /^line 1: cannot unmarshal !!str `a very \.\.\.` into time\.Duration/.source],
  [
    'storage: {trace: {s3: {secret_key: {a: hidden}}}}\n',
    'line 1: cannot unmarshal !!map into flagext.Secret (column 36)',
  ],
  ['target: all\ntarget: all\n', 'line 2: field target already set in type app.Config (column 1)'],
  [
    'server: {http_listen_port: a}\ntagret: b\n',
    'line 1: cannot unmarshal !!str `a` into int (column 28)',
    'line 2: field tagret not found in type app.Config (column 1: did you mean target?)',
  ],
  [
    'distributor: {receivers: {otlp: {protocols: {grcp: }}}}\n',
    'line 1: field grcp not found in type otlpreceiver.Protocols (column 46: grpc or http)',
  ],
  [
    'distributor: {receivers: {otlp: {protocols: {http: {endpont: a}}}}}\n',
    'line 1: field endpont not found in type confighttp.ServerConfig (column 53: did you mean endpoint?)',
  ],
  [
    'distributor: {receivers: {otlp: {protocols: {http: {endpoint: "4318"}}}}}\n',
    'line 1: endpoint "4318" is no host:port such as 0.0.0.0:4317 (column 63)',
  ],
  [
    'distributor: {receivers: {otlp: {protocols: {http: {auth: {authenticator: a}}}}}}\n',
    'line 1: authenticator not found: put authentication in front of the receiver (column 46)',
  ],
  [
    'distributor: {receivers: {otpl: {}}}\n',
    'line 1: unknown receiver type "otpl" (column 27: one of otlp, jaeger, zipkin, opencensus, kafka)',
  ],
];

/** Flags, environment, file text (undefined: unreadable), exit code, and the start of the output on stderr. */
const exits: [argv: string, text: string | undefined, code: number, stderr: RegExp][] = [
  [
    '-config.file=X',
    undefined,
    1,
    /^failed parsing config: failed to read configFile X: open X: no such file or directory\n$/,
  ],
  [
    '-config.file=X',
    'a: [\n',
    1,
    /^failed parsing config: failed to parse configFile X: yaml: line \d+: .* \(column \d+\)\n$/,
  ],
  [
    '-config.file=X',
    'server: {http_listen_port: ${PORT}}\n',
    1,
    /yaml: line 1: .*; it has placeholders: is -config\.expand-env=true missing\?\n$/,
  ],
  ['-config.file=X', 'a: *nothing\n', 1, /^failed parsing config: failed to parse configFile X: yaml: .*nothing/],
  [
    '-config.file=X -config.expand-env=true',
    'target: ${A-b}\n',
    1,
    /^failed parsing config: failed to expand env vars from configFile X: missing closing brace \(line 1, column 9: \$\{A-b\}\)\n$/,
  ],
  ['-nonsense', '', 2, /^flag provided but not defined: -nonsense\nUsage of tempo:\n/],
  ['-config.file', '', 2, /^flag needs an argument: -config\.file\nUsage of tempo:\n/],
  ['-help', '', 0, /^Usage of tempo:\n/],
  ['-target=everything', '', 1, /^unrecognised module name: everything \(one of all, /],
  ['-target=quereir', '', 1, /^unrecognised module name: quereir \(did you mean querier\?\)\n$/],
  ['-target=querier', '', 1, /^frontend worker address not specified/],
  ['-storage.trace.backend=loacl', '', 1, /^unknown backend loacl \(did you mean local\?\)\n$/],
  [
    '-storage.trace.s3.bucket=b',
    '',
    1,
    /^unknown backend "": storage\.trace\.s3 is set but storage\.trace\.backend is not/,
  ],
  ['-storage.trace.backend=s3', '', 1, /^cannot use the s3 backend: storage\.trace\.s3\.bucket is empty/],
  ['-storage.trace.backend=gcs', '', 1, /^cannot use the gcs backend: storage\.trace\.gcs\.bucket_name is empty/],
  ['-vivace.live-bytes=1', '', 1, /^invalid configuration: vivace\.live_bytes must be at least 1048576\n$/],
  [
    '-live-store.flush-check-period=0s',
    '',
    1,
    /^invalid configuration: live_store\.flush_check_period must be longer than 0\n$/,
  ],
  ['-config.file=X -config.verify=true', 'target: all\n', 0, /^$/],
  ['-config.file=X -config.verify=true', 'ingester: {max_block_duration: 5m}\n', 0, /^$/],
  [
    '-config.file=X -config.verify=true',
    'query_frontend: {mcp_server: {enabled: true}}\n',
    1,
    /^level=warn msg="-- CONFIGURATION WARNINGS --"\nlevel=warn msg="query_frontend\.mcp_server is enabled.*"\n$/,
  ],
];

describe('a file that does not parse', () => {
  for (const [text, ...lines] of unmarshal) {
    it(JSON.stringify(text), () => {
      const { code, stderr } = exitOf('-config.file=X', text);
      assert.equal(code, 1);
      const [head, ...found] = stderr.trimEnd().split('\n  ');
      assert.equal(head, 'failed parsing config: failed to parse configFile X: yaml: unmarshal errors:');
      assert.equal(found.length, lines.length, stderr);
      found.forEach((line, index) => {
        if (lines[index].startsWith('^')) assert.match(line, new RegExp(lines[index]));
        else assert.equal(line, lines[index]);
      });
    });
  }

  it('never shows a secret', () => {
    const { stderr } = exitOf('-config.file=X', 'ingest: {kafka: {sasl_password: [hidden]}}');
    assert.doesNotMatch(stderr, /hidden/);
  });

  it('may not unfold without end', () => {
    const { stderr } = exitOf(
      '-config.file=X',
      `metrics_generator: {processor: {span_metrics: {filter_policies: [${bomb()}]}}}\n`,
    );
    assert.match(stderr, /unfolds to more than \d+ nodes: use fewer aliases/);
  });
});

describe('what ends before it runs', () => {
  for (const [argv, text, code, stderr] of exits) {
    it(`${argv} ${JSON.stringify(text)}`, () => {
      const exit = exitOf(argv, text);
      assert.match(exit.stderr, stderr);
      assert.equal(exit.code, code);
    });
  }

  it('-version', () => {
    const loaded = loadConfiguration({ argv: ['-version'], env: {}, readFile: () => '', version: '1.2.3' });
    assert.equal(loaded.kind, 'exit');
    if (loaded.kind !== 'exit') return;
    assert.equal(loaded.code, 0);
    assert.match(loaded.stdout, /^tempo, version 1\.2\.3 \(branch: .*, revision: .*\)\n$/);
  });

  it('-health', () => {
    const loaded = loadConfiguration({ argv: ['-health', '-health.url=http://x/ready'], env: {}, readFile: () => '' });
    assert.deepEqual(loaded, { kind: 'health', url: 'http://x/ready' });
  });
});

/** Ten levels of ten aliases each: ten thousand million nodes. */
function bomb(): string {
  let levels = '&b0 [x, x, x, x, x, x, x, x, x, x]';
  for (let level = 1; level < 10; level++) {
    levels += `, &b${level} [${Array(10)
      .fill(`*b${level - 1}`)
      .join(', ')}]`;
  }
  return levels;
}

function exitOf(argv: string, text: string | undefined): { code: number; stderr: string } {
  const loaded = loadConfiguration({
    argv: argv.split(' '),
    env: {},
    readFile: () => {
      if (text === undefined) throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' });
      return text;
    },
  });
  assert.equal(loaded.kind, 'exit');
  return loaded.kind === 'exit' ? loaded : { code: -1, stderr: '' };
}
