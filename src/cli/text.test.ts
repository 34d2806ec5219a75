import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { progressLine, startProgress } from './progress.ts';
import { ASCII, glyphsOf, UNICODE } from './glyphs.ts';
import { coloursOf } from './paint.ts';
import { sparkline } from './sparkline.ts';
import { tableLines } from './table.ts';
import { clean, cut, cutMiddle, fit, fitRight, widthOf } from './text.ts';
import { timeMs, timeRange } from './time-range.ts';
import { bytesText, countText, durationText, numberText } from './units.ts';

describe('text on a terminal', () => {
  it('is harmless', () => {
    assert.equal(clean('a\u001b]0;title\u0007b\nc\td\u202ee'), 'a\\u001b]0;title\\u0007b\\nc\\td\\u202ee');
    assert.equal(clean('Zürich 商店 🛒'), 'Zürich 商店 🛒');
  });

  it('is cut and filled by columns, not by characters', () => {
    for (const [text, columns, expected] of [
      ['abcdef', 4, 'abc…'],
      ['abcd', 4, 'abcd'],
      ['商店购物', 5, '商店…'],
      ['商店购物', 4, '商… '],
      ['🛒🛒🛒', 5, '🛒🛒…'],
      ['a', 3, 'a  '],
      ['abc', 0, ''],
    ] as const) {
      assert.equal(fit(text, columns), expected);
      assert.equal(widthOf(fit(text, columns)), columns);
    }
    assert.equal(fitRight('a', 3), '  a');
    assert.equal(cut('abc', 2, '~'), 'a~');
    assert.equal(cutMiddle('abcdefgh', 6), 'abc…gh');
    assert.equal(cutMiddle('商店购物商店', 7), '商…店');
  });
});

describe('units', () => {
  const durations: [number, string][] = [
    [0, '0ns'],
    [999, '999ns'],
    [1000, '1.00µs'],
    [45_123, '45.1µs'],
    [999_499, '999µs'],
    [999_999, '1.00ms'],
    [310e6, '310ms'],
    [999.9e6, '1.00s'],
    [1.24e9, '1.24s'],
    [59.99e9, '1m00s'],
    [123e9, '2m03s'],
    [3 * 3600e9 + 7 * 60e9, '3h07m'],
    [76 * 3600e9, '3d04h'],
    [-5e6, '-5.00ms'],
    [Number.NaN, '-'],
  ];
  for (const [ns, text] of durations) it(`${ns} ns is ${text}`, () => assert.equal(durationText(ns), text));

  it('bytes, counts and numbers', () => {
    assert.deepEqual([0, 1023, 1024, 1.5 * 1024 ** 2, 1023.9 * 1024].map(bytesText), [
      '0B',
      '1023B',
      '1.00KiB',
      '1.50MiB',
      '1.00MiB',
    ]);
    assert.deepEqual([1, 1234, 1234567].map(countText), ['1', '1,234', '1,234,567']);
    assert.deepEqual([0, 0.1333333, 12.3456, 123456.7, 5, 1e20, 1e-9].map(numberText), [
      '0',
      '0.1333',
      '12.35',
      '123457',
      '5',
      '1.00e+20',
      '1.00e-9',
    ]);
  });
});

describe('times', () => {
  const now = Date.parse('2026-01-31T12:00:00Z');
  const cases: [string, string][] = [
    ['now', '2026-01-31T12:00:00.000Z'],
    ['now-1h', '2026-01-31T11:00:00.000Z'],
    ['now-1d12h', '2026-01-30T00:00:00.000Z'],
    ['now+5m', '2026-01-31T12:05:00.000Z'],
    ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00.000Z'],
    ['2026-01-31T12:00:00.5+01:00', '2026-01-31T11:00:00.500Z'],
    ['2026-01-31 12:00', '2026-01-31T12:00:00.000Z'],
    ['2026-01-31', '2026-01-31T00:00:00.000Z'],
    ['1700000000', '2023-11-14T22:13:20.000Z'],
    ['1700000000123', '2023-11-14T22:13:20.123Z'],
    ['1700000000123000000', '2023-11-14T22:13:20.123Z'],
  ];
  for (const [text, iso] of cases)
    it(text, () => assert.equal(new Date(timeMs('start', text, now)).toISOString(), iso));

  for (const text of ['', 'yesterday', 'now-', 'now-1x', '2026-13-01', '12:00', '-5'])
    it(`${JSON.stringify(text)} is none`, () => assert.throws(() => timeMs('start', text, now), /^Error: start is no/));

  it('make a range', () => {
    assert.equal(timeRange(undefined, undefined, undefined, now), undefined);
    assert.deepEqual(timeRange('now-1h', undefined, undefined, now), { startMs: now - 3_600_000, endMs: now });
    assert.deepEqual(timeRange(undefined, undefined, '1h', now), { startMs: now - 3_600_000, endMs: now });
    assert.throws(() => timeRange('now', 'now-1h', undefined, now), /the start \(now\) must be before the end/);
    assert.throws(() => timeRange('now', undefined, '1h', now), /not both/);
  });
});

describe('tables', () => {
  const columns = [{ title: 'id' }, { title: 'n', align: 'right' as const }, { title: 'name', shrinkTo: 4 }];
  const rows = [
    ['a', '1', 'a long name'],
    ['bcd', '22', '商店'],
  ];
  it('line up', () =>
    assert.deepEqual(tableLines(columns, rows, { width: 80 }), [
      'id    n  name',
      'a     1  a long name',
      'bcd  22  商店',
    ]));
  it('give way where the terminal is narrow, and never more than they may', () => {
    assert.deepEqual(tableLines(columns, rows, { width: 16 }), ['id    n  name', 'a     1  a long…', 'bcd  22  商店']);
    assert.deepEqual(tableLines(columns, rows, { width: 5 })[1], 'a     1  a l…');
    const dropped = [columns[0], { ...columns[1], dropRank: 1 }, columns[2]];
    assert.deepEqual(tableLines(dropped, rows, { width: 12 })[1], 'a    a long…');
  });
});

describe('sparklines', () => {
  const cases: [(number | undefined)[], number, string][] = [
    [[0, 1], 2, '▁█'],
    [[0, 1], 100, '▁▁▁▁████'],
    [[0, 1, 2, 3, 4, 5, 6, 7], 8, '▁▂▃▄▅▆▇█'],
    [[0, 0], 2, '▁▁'],
    [[5, undefined, 5], 3, '█ █'],
    [[1, 9, 1, 1], 2, '█▁'],
    [[-4, 4], 2, '▁█'],
    [[Number.NaN, 1], 5, '  ██'],
    [[], 8, ''],
  ];
  for (const [values, width, line] of cases)
    it(JSON.stringify(values), () => assert.equal(sparkline(values, width, UNICODE.levels), line));
});

describe('colours', () => {
  const terminal = { isTerminal: true, colourBits: 8 };
  const cases: [string, Parameters<typeof coloursOf>, 0 | 16 | 256][] = [
    ['a terminal', ['auto', {}, terminal], 256],
    ['a terminal of sixteen', ['auto', {}, { isTerminal: true, colourBits: 4 }], 16],
    ['a terminal of none', ['auto', {}, { isTerminal: true, colourBits: 1 }], 0],
    ['no terminal', ['auto', {}, { isTerminal: false, colourBits: 8 }], 0],
    ['NO_COLOR', ['auto', { NO_COLOR: '1' }, terminal], 0],
    ['NO_COLOR with nothing in it', ['auto', { NO_COLOR: '' }, terminal], 256],
    ['TERM=dumb', ['auto', { TERM: 'dumb' }, terminal], 0],
    ['never', ['never', {}, terminal], 0],
    ['always, into a pipe', ['always', { NO_COLOR: '1' }, { isTerminal: false, colourBits: 1 }], 16],
  ];
  for (const [what, args, expected] of cases) it(what, () => assert.equal(coloursOf(...args), expected));

  it('ASCII where the locale is not UTF-8', () => {
    assert.equal(glyphsOf({ LANG: 'C' }, false), ASCII);
    assert.equal(glyphsOf({ LANG: 'C', LC_ALL: 'en_US.UTF-8' }, false), UNICODE);
    assert.equal(glyphsOf({}, false), UNICODE);
    assert.equal(glyphsOf({}, true), ASCII);
  });
});

describe('progress', () => {
  const look = { label: 'searching ./data', unit: 'blocks', columns: 80, glyphs: UNICODE };
  it('is a bar where the total is known, and the time where it is not', () => {
    assert.equal(
      progressLine(look, { done: 10, total: 40 }, 2130),
      'searching ./data  ██████░░░░░░░░░░░░░░░░░░  10/40 blocks  2.10s',
    );
    assert.equal(progressLine(look, { done: 0, total: 0 }, 2130), 'searching ./data  2.10s');
    assert.equal(
      progressLine({ ...look, columns: 40 }, { done: 10, total: 40 }, 2130),
      'searching ./data  10/40 blocks',
    );
    assert.ok(widthOf(progressLine({ ...look, columns: 12 }, { done: 10, total: 40 }, 2130)) < 12);
  });

  it('draws only what takes long, and cleans up', () => {
    let now = 0;
    const written: string[] = [];
    const progress = startProgress({ ...look, write: (text) => written.push(text), nowMs: () => now });
    progress.update(1, 4);
    assert.deepEqual(written, []);
    now = 1000;
    progress.update(2, 4);
    progress.update(3, 4);
    progress.end();
    assert.equal(written.length, 2);
    assert.match(written[0], /2\/4 blocks/);
    assert.equal(written[1], '\r\u001b[2K');
  });
});
