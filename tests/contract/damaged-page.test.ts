/** A page with a flipped byte is refused whenever it is read, not only the first time. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { encodeRequest } from '../../src/cut/otlp.fixture.ts';
import { parseFooter } from '../../src/parquet/footer.ts';
import { blockOf, cut, TestColumns } from './segments.fixture.ts';
import { requestNumber } from './snapshots-requests.fixture.ts';

test('a damaged page is refused every time, and other columns are read', async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vivace-damaged-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  const columns = new TestColumns();
  columns.append(encodeRequest(requestNumber(1)));
  const ref = await cut(columns, folder);
  const file = path.join(ref.directory, 'data.parquet');
  const bytes = fs.readFileSync(file);
  const footerAt = ref.meta.size - 8 - ref.meta.footerSize;
  const chunk = parseFooter(bytes.subarray(footerAt, footerAt + ref.meta.footerSize)).rowGroups[0].columns.find(
    ({ name }) => name === 'span_id',
  )!;
  bytes[chunk.startOffset + chunk.compressedBytes - 1] ^= 1;
  fs.writeFileSync(file, bytes);
  const block = await blockOf(ref);
  t.after(() => block.close());
  const rowsOf = async (field: 'span_id' | 'name'): Promise<number> => {
    let rows = 0;
    for (const part of (await block.column({ of: 'fixed', field }))!.parts) rows += part.rows;
    return rows;
  };
  for (let time = 0; time < 2; time++) {
    await assert.rejects(rowsOf('span_id'), /checksum differs/);
    assert.equal(await rowsOf('name'), ref.meta.vivace.spans);
  }
});
