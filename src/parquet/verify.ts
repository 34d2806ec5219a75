/**
 * Compares every byte of a file that we wrote with its checksums, reading it once, from the front, without decoding it. What
 * the pieces of the file leave between them is a problem, too: a byte that belongs to nothing is covered by nothing.
 */
import { crc32 } from 'node:zlib';
import { messageOf } from '../runtime/errors.ts';
import { Checks, type ChecksPlace, checksPlaces } from './checks.ts';
import { type FileMetadata, footerLength, parseFooter, type RowGroupMetadata, TAIL_BYTES } from './footer.ts';
import { parseOffsetIndex } from './indexes.ts';
import { parsePageHeader } from './page-header.ts';

export interface VerifiedFile {
  bytes: number;
  /** Exactly these bytes of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** CRC-32 of the footer and what is behind it; undefined for files of earlier versions, whose pages alone can be checked. */
  footerCrc: number | undefined;
  /** Gives the thread to others; called between reads. */
  pause(): Promise<void>;
}

/** A page, a filter or an index: where it stands and what is to be compared. */
interface Piece {
  what: string;
  offset: number;
  bytes: number;
  check: number | undefined;
  isPage: boolean;
}

/** Pieces are read together up to this many bytes. */
const READ_BYTES = 1 << 20;
/** Problems told of one file. */
const PROBLEMS_MAX = 10;

/** What is wrong with the file, and its footer if that can be read. */
export async function verifyFile(file: VerifiedFile): Promise<{ problems: string[]; metadata?: FileMetadata }> {
  const problems: string[] = [];
  let metadata: FileMetadata;
  let pieces: Piece[];
  let footerAt: number;
  try {
    const magic = file.bytes < 4 ? '' : Buffer.from(await file.read(0, 4)).toString('latin1');
    if (magic !== 'PAR1') problems.push('it does not begin with PAR1');
    const footerBytes = footerLength(await file.read(file.bytes - TAIL_BYTES, TAIL_BYTES));
    footerAt = file.bytes - TAIL_BYTES - footerBytes;
    if (footerAt < 0) throw new Error(`its footer has ${footerBytes} bytes, the file ${file.bytes}`);
    const footer = await file.read(footerAt, file.bytes - footerAt);
    if (file.footerCrc !== undefined && crc32(footer) !== file.footerCrc)
      return { problems: [...problems, 'the checksum of its footer differs'] };
    metadata = parseFooter(footer.subarray(0, footerBytes));
    pieces = await piecesOf(file, metadata);
  } catch (error) {
    return { problems: [...problems, messageOf(error)] };
  }
  let at = 4;
  for (let from = 0; from < pieces.length && problems.length < PROBLEMS_MAX; ) {
    let to = from + 1;
    const end = (piece: Piece): number => piece.offset + piece.bytes;
    while (to < pieces.length && end(pieces[to]) - pieces[from].offset <= READ_BYTES) to++;
    const base = pieces[from].offset;
    let bytes: Uint8Array;
    try {
      bytes = await file.read(base, end(pieces[to - 1]) - base);
    } catch (error) {
      return { problems: [...problems, messageOf(error)], metadata };
    }
    for (; from < to; from++) {
      const piece = pieces[from];
      if (piece.offset !== at && file.footerCrc !== undefined)
        problems.push(`bytes ${at} to ${piece.offset} belong to nothing`);
      at = end(piece);
      const problem = problemOf(piece, bytes.subarray(piece.offset - base, piece.offset - base + piece.bytes));
      if (problem !== undefined) problems.push(`${piece.what} at byte ${piece.offset}: ${problem}`);
    }
    await file.pause();
  }
  if (problems.length === 0 && at !== footerAt && file.footerCrc !== undefined)
    problems.push(`bytes ${at} to ${footerAt} belong to nothing`);
  return { problems: problems.slice(0, PROBLEMS_MAX), metadata };
}

/** Everything before the footer, in the order of the file. */
async function piecesOf(file: VerifiedFile, metadata: FileMetadata): Promise<Piece[]> {
  const known = checksPlaces(metadata);
  const pieces: Piece[] = [];
  for (const [g, group] of metadata.rowGroups.entries()) {
    const { offset: base, length, crc } = known?.places[g] ?? placeOfIndexes(group);
    const indexes = await file.read(base, length);
    const checks = known === undefined ? undefined : new Checks(group, known.pageRows, indexes);
    const other = (what: string, offset: number | undefined, bytes: number, check: number | undefined): void => {
      if (offset !== undefined && check !== undefined) pieces.push({ what, offset, bytes, check, isPage: false });
    };
    group.columns.forEach((chunk, column) => {
      const of = `of column ${chunk.name}`;
      const page = (what: string, offset: number, bytes: number, check: number | undefined): void =>
        void pieces.push({ what: `${what} ${of}`, offset, bytes, check, isPage: true });
      const { dictionaryPageOffset: dictionary, dataPageOffset, bloomOffset, columnIndexOffset } = chunk;
      if (dictionary !== undefined)
        page('the dictionary', dictionary, dataPageOffset - dictionary, checks?.dictionary(column));
      const from = (chunk.offsetIndexOffset ?? base) - base;
      const index = parseOffsetIndex(indexes.subarray(from, from + chunk.offsetIndexLength));
      for (let each = 0; each < index.pages; each++)
        page(`page ${each}`, index.offsets[each], index.bytes[each], checks?.page(column, each));
      if (bloomOffset !== undefined)
        other(`the bloom filter ${of}`, bloomOffset, chunk.bloomLength, checks?.bloom(column));
      if (columnIndexOffset !== undefined)
        other(`the column index ${of}`, columnIndexOffset, chunk.columnIndexLength, checks?.columnIndex(column));
    });
    other(`the indexes of row group ${g}`, base, length, crc);
    await file.pause();
  }
  return pieces.sort((a, b) => a.offset - b.offset);
}

/** Where the offset indexes of a row group are, in a file without checks. */
function placeOfIndexes({ columns }: RowGroupMetadata): Omit<ChecksPlace, 'crc'> & { crc: undefined } {
  const ends = columns.map(({ offsetIndexOffset = 0, offsetIndexLength }) => offsetIndexOffset + offsetIndexLength);
  const offset = Math.min(...columns.map(({ offsetIndexOffset = 0 }) => offsetIndexOffset));
  return { offset, length: Math.max(...ends) - offset, crc: undefined };
}

function problemOf({ check, isPage }: Piece, bytes: Uint8Array): string | undefined {
  if (!isPage) return check === undefined || crc32(bytes) === check ? undefined : 'its checksum differs';
  try {
    const { headerBytes, compressedBytes, crc } = parsePageHeader(bytes);
    if (headerBytes + compressedBytes !== bytes.length)
      return `it says that it has ${headerBytes + compressedBytes} bytes, and has ${bytes.length}`;
    const found = crc32(bytes.subarray(headerBytes));
    if (crc !== undefined && found !== crc) return 'its checksum differs';
    if (check !== undefined && crc32(bytes.subarray(0, headerBytes), found) !== check)
      return 'the checksum of its header differs';
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
