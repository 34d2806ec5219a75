/** The meta of a block whose meta.json is lost, from its other files, which must be whole. What only the meta knew is gone. */
import { crc32 } from 'node:zlib';
import { checksPlaces } from '../parquet/checks.ts';
import { footerLength, parseFooter, TAIL_BYTES } from '../parquet/footer.ts';
import { messageOf } from '../runtime/errors.ts';
import { type BlockMeta, metaOf, rfc3339Seconds } from './meta.ts';
import { DATA_FILE, TRACES_FILE } from './objects.ts';
import { PAGE_ROWS_KEY } from './schema.ts';
import { readTraces, tracesParts } from './traces-file.ts';
import { type BlockFiles, secondsOf, verifyBlock } from './verify.ts';

/**
 * The meta, or why there can be none. The block's age counts from `writtenMs`; which blocks it replaced and which part of the
 * log is in it is not known any more: spans that come again by that are left out by those who read.
 */
export async function rebuiltMeta(
  tenant: string,
  id: string,
  files: BlockFiles,
  writtenMs: number,
  pause: () => Promise<void>,
): Promise<BlockMeta | string> {
  try {
    const dataBytes = await files.bytes(DATA_FILE);
    const tracesBytes = await files.bytes(TRACES_FILE);
    if (dataBytes === undefined || tracesBytes === undefined) return 'a file of it is missing';
    const footerBytes = footerLength(await files.read(DATA_FILE, dataBytes - TAIL_BYTES, TAIL_BYTES));
    const footerAt = dataBytes - TAIL_BYTES - footerBytes;
    const footer = await files.read(DATA_FILE, footerAt, footerBytes + TAIL_BYTES);
    const metadata = parseFooter(footer.subarray(0, footerBytes));
    // Without these nobody could tell a damaged index from a sound one.
    if (checksPlaces(metadata) === undefined) return `${DATA_FILE} is of an earlier version`;
    let [traces, start, end] = [0, Number.POSITIVE_INFINITY, 0];
    for (const part of tracesParts(await files.read(TRACES_FILE, 0, tracesBytes))) {
      const lines = readTraces(part);
      const seconds = secondsOf(lines);
      traces += lines.ids.length / 16;
      start = Math.min(start, seconds.start);
      end = Math.max(end, seconds.end);
    }
    const facts = {
      dataBytes,
      footerBytes,
      footerCrc: crc32(footer),
      tracesBytes,
      rowGroups: metadata.rowGroups.length,
      traces,
      spans: metadata.rows,
      startSeconds: Math.floor(start),
      endSeconds: Math.ceil(end),
    };
    const meta = metaOf(facts, {
      id,
      tenant,
      compactionLevel: 0,
      pageRows: Number(metadata.keyValue.get(PAGE_ROWS_KEY)),
      more: { cut: rfc3339Seconds(writtenMs / 1000) },
    });
    const problems = await verifyBlock(meta, files, pause);
    return problems.length === 0 ? meta : problems.join('; ');
  } catch (error) {
    return messageOf(error);
  }
}
