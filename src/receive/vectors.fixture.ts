import fs from 'node:fs';

/** The golden vectors of tests/golden/receive/vectors.txt by name. */
export const VECTORS: ReadonlyMap<string, { traceId: string; bytes: Buffer }> = new Map(
  fs
    .readFileSync(new URL('../../tests/golden/receive/vectors.txt', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [name, last, hex] = line.split(' ');
      return [name, { traceId: `0102030405060708090a0b0c0d0e0f${last}`, bytes: Buffer.from(hex, 'hex') }];
    }),
);

/** A golden vector by its name. */
export function vector(name: string): { traceId: string; bytes: Buffer } {
  const found = VECTORS.get(name);
  if (found === undefined) throw new Error(`there is no golden vector ${name}`);
  return found;
}
