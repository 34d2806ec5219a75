/**
 * Expected output in files that people can read and other programs could run. A file holds cases:
 *
 *   === name
 *   input
 *   --- out
 *   expected output
 *
 * VIVACE_WRITE=1 writes what came out into the file instead of comparing.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';

const FOLDER = path.resolve(import.meta.dirname, '../../tests/golden/cli');

export function golden(file: string, run: (input: string, name: string) => string | Promise<string>): void {
  const at = path.join(FOLDER, file);
  const [head, ...cases] = fs.readFileSync(at, 'utf8').split(/^=== /m);
  const outputs: string[] = [];
  for (const [index, text] of cases.entries()) {
    const name = text.slice(0, text.indexOf('\n'));
    const [input, expected = ''] = text.slice(name.length + 1).split(/^--- out\n/m);
    it(`${file}: ${name}`, async () => {
      const output = `${(await run(input.trimEnd(), name)).trimEnd()}\n`;
      outputs[index] = `=== ${name}\n${input}--- out\n${output}\n`;
      if (process.env.VIVACE_WRITE === '1') {
        if (index === cases.length - 1) fs.writeFileSync(at, `${head}${outputs.join('')}`.replace(/\n\n$/, '\n'));
      } else assert.equal(output, `${expected.trimEnd()}\n`);
    });
  }
}
