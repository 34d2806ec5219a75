/** The requests of a pack as a segment, in columns that live as long as a query. */
import { Appender } from './append.ts';
import { LiveColumns } from './columns.ts';
import { LiveSegment } from './live-segment.ts';
import { type PackSnapshot, readPack } from './packs.ts';

/** Far more than a pack may hold; memory is taken as it fills. */
const COLUMNS_BYTES_MAX = 256 * 1024 * 1024;

/** Reads a pack. Errors are the system's: ENOENT when its spans are in a block meanwhile. */
export async function packedSegment(pack: PackSnapshot): Promise<LiveSegment> {
  const columns = new LiveColumns(COLUMNS_BYTES_MAX, 0);
  const appender = new Appender(columns, { attributeBytesMax: pack.attributeBytesMax, traceBytesMax: 0 });
  await readPack(pack, (body) => appender.append(body));
  return new LiveSegment(columns.snapshot(pack.id, pack.tenant));
}
