import { describe } from 'node:test';
import { explainLines } from './explain-lines.ts';
import { UNICODE } from './glyphs.ts';
import { golden } from './golden.fixture.ts';
import { createPaint } from './paint.ts';

describe('explanations', () => {
  golden('explain.txt', (input, name) => {
    const tableWidth = Number(/(\d+) columns/.exec(name)![1]);
    return explainLines(input, { tableWidth, glyphs: UNICODE, paint: createPaint(0) }).join('\n');
  });
});
