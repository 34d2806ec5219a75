/** `parse_string_tags`: texts that look like numbers or bools become such. Source: spec/ingestion.md §5.4. */
import { TAG_TEXT, type TagTable } from './tag-table.ts';

/** Longer digits are beyond any number that is told from its neighbours. */
const NUMBER_CHARS_MAX = 400;
const INT_MIN = -(2n ** 63n);
const INT_MAX = 2n ** 63n - 1n;
const double = new DataView(new ArrayBuffer(8));

/** Every tag that is not taken out. */
export function parseTags(tags: TagTable): void {
  for (let tag = 0; tag < tags.count; tag++) if (!tags.isRemoved(tag)) parseTag(tags, tag);
}

/** Changes the value of one tag, if its text is a whole number (saturating), a decimal one, true or false. */
function parseTag(tags: TagTable, tag: number): void {
  if (tags.type(tag) !== TAG_TEXT) return;
  const { bytes } = tags;
  const start = tags.start(tag);
  const end = tags.end(tag);
  const first = bytes[start];
  const negative = first === 0x2d;
  if (end === start || !(negative || isDigit(first))) {
    if (end - start === 4 || end - start === 5) {
      const text = tags.string(tag);
      if (text === 'true' || text === 'false') tags.bool(tag, text === 'true');
    }
    return;
  }
  // By hand and once over the bytes, for the text may be a megabyte of digits.
  let at = negative ? start + 1 : start;
  const digits = at;
  while (at < end && isDigit(bytes[at])) at++;
  if (at === digits) return;
  if (at === end) {
    const value =
      at - digits > NUMBER_CHARS_MAX ? saturated(bytes, digits, at, negative) : BigInt(tags.string(tag) ?? '');
    const bounded = value < INT_MIN ? INT_MIN : value > INT_MAX ? INT_MAX : value;
    tags.int(tag, Number(bounded & 0xffffffffn), Number((bounded >> 32n) & 0xffffffffn));
    return;
  }
  if (bytes[at++] !== 0x2e || at === end) return;
  const fraction = at;
  while (at < end && isDigit(bytes[at])) at++;
  if (at < end || fraction === end) return;
  double.setFloat64(0, Number(tags.string(tag)), true);
  tags.double(tag, double.getUint32(0, true), double.getUint32(4, true));
}

/** The value of very many digits, which is out of range unless nearly all of them are zeros. */
function saturated(bytes: Uint8Array, start: number, end: number, negative: boolean): bigint {
  while (start < end && bytes[start] === 0x30) start++;
  if (end - start > 20) return negative ? INT_MIN : INT_MAX;
  const value = BigInt(Buffer.from(bytes.subarray(start, end)).toString('latin1') || '0');
  return negative ? -value : value;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
