import { describe } from 'node:test';
import { UNICODE } from './glyphs.ts';
import { golden } from './golden.fixture.ts';
import { instantLines, rangeLines } from './metrics-table.ts';
import { createPaint } from './paint.ts';

describe('metrics', () => {
  golden('metrics.txt', (input, name) => {
    const width = Number(/(\d+) columns/.exec(name)![1]);
    const look = { width, tableWidth: width, glyphs: UNICODE, paint: createPaint(0) };
    const { lines, summary } = (name.includes('instant') ? instantLines : rangeLines)(input, look);
    return [...lines, summary].join('\n');
  });
});
