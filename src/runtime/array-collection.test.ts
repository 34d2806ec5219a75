import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';

test('arrays that nobody has any more are collected when there are too many', () => {
  const text = `
    import { collectArrays } from ${JSON.stringify(path.join(import.meta.dirname, 'array-collection.ts'))};
    const collect = collectArrays(32 << 20);
    const bytes = () => process.memoryUsage().arrayBuffers;
    const before = bytes();
    const leave = (count) => { for (let i = 0; i < count; i++) new Uint8Array(4 << 20).fill(1); };
    leave(12);
    collect();
    console.log(bytes() - before);
  `;
  const output = execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', text], {
    encoding: 'utf8',
  });
  assert.ok(Number(output) < 32 << 20, `${output} bytes`);
});
