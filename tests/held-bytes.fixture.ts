/** Looks for a text in every byte below a folder, those in zstd frames included, wherever in a file a frame begins. */
import fs from 'node:fs';
import path from 'node:path';
import { zstdDecompressSync } from 'node:zlib';

const FRAME = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/** Names of the files that hold one of the texts. Files that go away meanwhile hold nothing. */
export function filesHolding(folder: string, ...texts: (string | Uint8Array)[]): string[] {
  const wanted = texts.map((text) => Buffer.from(text as string));
  const found: string[] = [];
  for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    let bytes: Buffer;
    try {
      bytes = fs.readFileSync(file);
    } catch {
      continue;
    }
    if (parts(bytes).some((part) => wanted.some((text) => part.includes(text))))
      found.push(path.relative(folder, file));
  }
  return found.sort();
}

function parts(bytes: Buffer): Buffer[] {
  const all = [bytes];
  for (let at = bytes.indexOf(FRAME); at >= 0; at = bytes.indexOf(FRAME, at + 1))
    try {
      all.push(zstdDecompressSync(bytes.subarray(at)));
    } catch {
      // Four bytes that only look like the beginning of a frame.
    }
  return all;
}
