/** A block with a bit flipped in a page of span ids: other columns can still be read. */
import fs from 'node:fs';
import path from 'node:path';
import { parseFooter } from '../../src/parquet/footer.ts';

export function flipSpanId(blockFolder: string): void {
  const file = path.join(blockFolder, 'data.parquet');
  const bytes = fs.readFileSync(file);
  const footerAt = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8);
  const { columns } = parseFooter(bytes.subarray(footerAt, bytes.length - 8)).rowGroups[0];
  bytes[columns.find(({ name }) => name === 'span_id')!.dataPageOffset + 50] ^= 4;
  fs.writeFileSync(file, bytes);
}
