import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultConfiguration } from '../config/load.ts';
import { Tenants } from './tenants.ts';

const defaults = defaultConfiguration().overrides.defaults;

describe('limits of tenants', () => {
  it('take what an entry leaves out from the next layer', () => {
    const { tenants } = withFile(`
overrides:
  "*":
    ingestion: {burst_size_bytes: 7}
    global: {max_bytes_per_trace: 8}
  small:
    ingestion: {rate_limit_bytes: 100, max_traces_per_user: 3}
  empty:
`);
    const small = tenants.of('small');
    assert.equal(small.ingestion.rateLimitBytes, 100);
    assert.equal(small.ingestion.burstSizeBytes, 7);
    assert.equal(small.global.maxBytesPerTrace, 8);
    assert.equal(small.ingestion.retryInfoEnabled, true);
    assert.equal(small.read.maxBytesPerTagValuesQuery, 1_000_000);
    assert.equal(tenants.of('empty').ingestion.burstSizeBytes, 7);
    assert.equal(tenants.of('nobody').ingestion.burstSizeBytes, 7);
    assert.equal(tenants.of('nobody').ingestion.rateLimitBytes, 30_000_000);
    assert.equal(defaults.ingestion.burstSizeBytes, 30_000_000, 'the defaults themselves stay');
    assert.equal(tenants.of('small'), small, 'the same object while nothing changes');
  });

  it('take the flat keys of old, and a key of today before them', () => {
    const { tenants } = withFile(`
overrides:
  old: {ingestion_rate_limit_bytes: 1, max_traces_per_user: 2, max_bytes_per_trace: 3, metrics_generator_processors: [span-metrics]}
  both: {ingestion: {rate_limit_bytes: 5}, ingestion_rate_limit_bytes: 4}
`);
    const old = tenants.of('old');
    assert.equal(old.ingestion.rateLimitBytes, 1);
    assert.equal(old.ingestion.maxTracesPerUser, 2);
    assert.equal(old.global.maxBytesPerTrace, 3);
    assert.deepEqual(old.metricsGenerator.processors, ['span-metrics']);
    assert.equal(tenants.of('both').ingestion.rateLimitBytes, 5);
  });

  it('change with the file, and stay when it is bad', () => {
    const { tenants, file, told } = withFile('overrides: {a: {ingestion: {rate_limit_bytes: 1}}}');
    let changes = 0;
    tenants.onChange(() => changes++);
    tenants.reload();
    assert.equal(changes, 0, 'the same text');
    file.text = 'overrides: {a: {ingestion: {rate_limit_bytes: 2}}}';
    tenants.reload();
    assert.equal(tenants.of('a').ingestion.rateLimitBytes, 2);
    assert.deepEqual([changes, told], [1, [undefined]]);
    for (const bad of [
      'overrides: {a: {ingestion: {rate_limit_byte: 3}}}',
      'overrides: [',
      'limits: {}',
      'a: &a [*a]',
    ]) {
      file.text = bad;
      tenants.reload();
      tenants.reload();
      assert.equal(tenants.of('a').ingestion.rateLimitBytes, 2, bad);
    }
    assert.equal(told.length, 5, 'each reason once');
    assert.match(told[1]!, /line 1: field rate_limit_byte not found.*did you mean rate_limit_bytes/);
    file.text = undefined;
    tenants.reload();
    assert.match(told[5]!, /no such file/);
    file.text = 'overrides: {a: {ingestion: {rate_limit_bytes: 2}}}';
    tenants.reload();
    assert.equal(told[6], undefined, 'the old text is good news after a bad one');
    assert.equal(changes, 1);
    file.text = '';
    tenants.reload();
    assert.equal(tenants.of('a').ingestion.rateLimitBytes, 30_000_000);
  });

  it('refuse to start with a bad file', () => {
    assert.throws(
      () => withFile('overrides: {a: {x: 1}}'),
      /cannot read the limits of tenants: yaml: unmarshal errors/,
    );
  });
});

function withFile(text: string) {
  const file: { text: string | undefined } = { text };
  const told: (string | undefined)[] = [];
  const tenants = new Tenants({
    defaults,
    readFile() {
      if (file.text === undefined) throw new Error('no such file');
      return file.text;
    },
    onReload: (error) => told.push(error),
  });
  return { tenants, file, told };
}
