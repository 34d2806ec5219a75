/**
 * JSON text as UTF-8 bytes in a buffer that grows, for texts of many megabytes that would be slow and large as strings.
 * Texts come as UTF-8 and are copied byte by byte. What is not UTF-8 becomes U+FFFD (one for each maximal broken part,
 * as browsers do it), so the result is always valid. `<`, `>` and `&` are escaped, as Go does it.
 */

/** Text is copied in pieces, so that room for the worst case is reserved for a piece only. */
const PIECE_BYTES = 4096;
/** The longest escape of one byte: \u003c. */
const ESCAPED_BYTES_MAX = 6;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const PADDING = 0x3d;
const BASE64 = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const HEX = Buffer.from('0123456789abcdef');

const COPY = 0;
const UNICODE_ESCAPE = 1;
const SEVERAL_BYTES = 2;
/** What to do with a byte of text: one of the three above, or the letter that follows a backslash. */
const ACTIONS = actions();

function actions(): Uint8Array {
  const table = new Uint8Array(256).fill(UNICODE_ESCAPE, 0, 0x20).fill(SEVERAL_BYTES, 0x80);
  for (const char of '<>&') table[char.charCodeAt(0)] = UNICODE_ESCAPE;
  for (const [char, letter] of ['""', '\\\\', '\bb', '\ff', '\nn', '\rr', '\tt']) {
    table[char.charCodeAt(0)] = letter.charCodeAt(0);
  }
  return table;
}

export class JsonBytes {
  #bytes: Buffer<ArrayBuffer>;
  #length = 0;
  /** Whether the object or array being written has a member already, so that the next one needs a comma. */
  #filled = false;

  constructor(capacityBytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.ceil(capacityBytes));
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** ASCII as it is, without a comma. */
  ascii(text: string): void {
    this.#reserve(text.length);
    const bytes = this.#bytes;
    let at = this.#length;
    for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
    this.#length = at;
  }

  /** JSON as it is, without a comma. */
  raw(json: string): void {
    this.#reserve(3 * json.length);
    this.#length += this.#bytes.write(json, this.#length);
  }

  /** `{` or `[`, given as its code. */
  open(bracket: number): void {
    this.#byte(bracket);
    this.#filled = false;
  }

  close(bracket: number): void {
    this.#byte(bracket);
    this.#filled = true;
  }

  /** A comma if one is needed, then `"key":`, or a whole member of ASCII. */
  member(text: string): void {
    this.element();
    this.ascii(text);
  }

  /** A comma if one is needed. */
  element(): void {
    if (this.#filled) this.#byte(0x2c);
    this.#filled = true;
  }

  /** UTF-8 as a quoted text. */
  string(source: Uint8Array, start: number, end: number): void {
    this.#byte(QUOTE);
    let at = start;
    while (at < end) {
      const pieceEnd = Math.min(end, at + PIECE_BYTES);
      // The last character of a piece may reach three bytes beyond it.
      this.#reserve((pieceEnd - at + 3) * ESCAPED_BYTES_MAX);
      at = this.#piece(source, at, pieceEnd, end);
    }
    this.#byte(QUOTE);
  }

  /** The same of a string; lone surrogates become U+FFFD. */
  text(text: string): void {
    const { length } = text;
    this.#reserve(length + 2);
    const bytes = this.#bytes;
    let at = this.#length;
    bytes[at++] = QUOTE;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80 || ACTIONS[code] !== COPY) {
        const encoded = Buffer.from(text);
        this.string(encoded, 0, encoded.length);
        return;
      }
      bytes[at++] = code;
    }
    bytes[at++] = QUOTE;
    this.#length = at;
  }

  /** How many bytes there are so far. */
  get length(): number {
    return this.#length;
  }

  /** The bytes from `from` on once more. */
  again(from: number, to: number): void {
    this.#reserve(to - from);
    this.#bytes.copyWithin(this.#length, from, to);
    this.#length += to - from;
  }

  /** Any bytes as quoted base64. */
  base64(source: Uint8Array, start: number, end: number): void {
    this.#reserve(Math.ceil((end - start) / 3) * 4 + 2);
    const bytes = this.#bytes;
    let to = this.#length;
    let at = start;
    bytes[to++] = QUOTE;
    for (; at + 2 < end; at += 3) {
      const three = (source[at] << 16) | (source[at + 1] << 8) | source[at + 2];
      bytes[to++] = BASE64[three >> 18];
      bytes[to++] = BASE64[(three >> 12) & 63];
      bytes[to++] = BASE64[(three >> 6) & 63];
      bytes[to++] = BASE64[three & 63];
    }
    if (at < end) {
      const pair = at + 1 < end;
      const two = (source[at] << 8) | (pair ? source[at + 1] : 0);
      bytes[to++] = BASE64[two >> 10];
      bytes[to++] = BASE64[(two >> 4) & 63];
      bytes[to++] = pair ? BASE64[(two << 2) & 63] : PADDING;
      bytes[to++] = PADDING;
    }
    bytes[to++] = QUOTE;
    this.#length = to;
  }

  /** A finite number as it is, others as "NaN", "Infinity" and "-Infinity". */
  double(value: number): void {
    if (Number.isFinite(value)) this.ascii(Object.is(value, -0) ? '-0' : String(value));
    else this.ascii(`"${value}"`);
  }

  /** A number below 2^32. */
  uint32(value: number): void {
    this.#reserve(10);
    this.#digits(value, 1);
  }

  /** A 64-bit number in two unsigned words, quoted. */
  uint64(low: number, high: number): void {
    this.#reserve(22);
    this.#bytes[this.#length++] = QUOTE;
    this.#digits64(low, high);
    this.#bytes[this.#length++] = QUOTE;
  }

  /** The same in two's complement. */
  int64(low: number, high: number): void {
    if (high < 0x80000000) {
      this.uint64(low, high);
      return;
    }
    this.#reserve(23);
    this.#bytes[this.#length++] = QUOTE;
    this.#bytes[this.#length++] = MINUS;
    const negated = (~low + 1) >>> 0;
    this.#digits64(negated, (~high + (negated === 0 ? 1 : 0)) >>> 0);
    this.#bytes[this.#length++] = QUOTE;
  }

  #piece(source: Uint8Array, start: number, pieceEnd: number, end: number): number {
    const bytes = this.#bytes;
    let to = this.#length;
    let at = start;
    while (at < pieceEnd) {
      const byte = source[at];
      const action = ACTIONS[byte];
      if (action === COPY) {
        bytes[to++] = byte;
        at++;
      } else if (action === SEVERAL_BYTES) {
        const size = characterBytes(source, at, end);
        to = size > 0 ? copyCharacter(source, at, size, bytes, to) : writeReplacement(bytes, to);
        at += Math.abs(size);
      } else {
        if (action === UNICODE_ESCAPE) to = writeUnicodeEscape(bytes, to, byte);
        else {
          bytes[to++] = BACKSLASH;
          bytes[to++] = action;
        }
        at++;
      }
    }
    this.#length = to;
    return at;
  }

  /** Long division by 10^9 in digits of 16 bits, which is exact in doubles. Room must be reserved. */
  #digits64(low: number, high: number): void {
    if (high === 0) {
      this.#digits(low, 1);
      return;
    }
    const q3 = Math.floor((high >>> 16) / 1e9);
    let rest = ((high >>> 16) - q3 * 1e9) * 65536 + (high & 0xffff);
    const q2 = Math.floor(rest / 1e9);
    rest = (rest - q2 * 1e9) * 65536 + (low >>> 16);
    const q1 = Math.floor(rest / 1e9);
    rest = (rest - q1 * 1e9) * 65536 + (low & 0xffff);
    const q0 = Math.floor(rest / 1e9);
    // 2^64 / 10^9 has up to 11 digits.
    const quotient = ((q3 * 65536 + q2) * 65536 + q1) * 65536 + q0;
    const top = Math.floor(quotient / 1e9);
    if (top > 0) this.#digits(top, 1);
    this.#digits(quotient - top * 1e9, top > 0 ? 9 : 1);
    this.#digits(rest - q0 * 1e9, 9);
  }

  /** At least `width` digits of a number below 2^32. Room must be reserved. */
  #digits(value: number, width: number): void {
    let count = 1;
    for (let power = 10; power <= value; power *= 10) count++;
    if (count < width) count = width;
    const bytes = this.#bytes;
    let at = this.#length + count;
    this.#length = at;
    while (count-- > 0) {
      const tenth = Math.floor(value / 10);
      bytes[--at] = 0x30 + value - tenth * 10;
      value = tenth;
    }
  }

  #byte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = byte;
  }

  #reserve(more: number): void {
    const need = this.#length + more;
    if (need <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(need, Math.ceil(this.#bytes.length * 1.5)));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

/** Length of the character at `at`, which is not ASCII; of a broken one, the length of the broken part, negative. */
function characterBytes(source: Uint8Array, at: number, end: number): number {
  const first = source[at];
  if (first < 0xc2 || first > 0xf4) return -1;
  const size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  // The second byte has a narrower range where the first would allow overlong forms, surrogates or too large values.
  const secondMin = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const secondMax = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (at + 1 >= end || source[at + 1] < secondMin || source[at + 1] > secondMax) return -1;
  for (let i = 2; i < size; i++) if (at + i >= end || (source[at + i] & 0xc0) !== 0x80) return -i;
  return size;
}

function copyCharacter(source: Uint8Array, at: number, size: number, bytes: Uint8Array, to: number): number {
  // U+2028 and U+2029 end a line in JavaScript.
  if (source[at] === 0xe2 && source[at + 1] === 0x80 && (source[at + 2] & 0xfe) === 0xa8) {
    return writeUnicodeEscape(bytes, to, 0x2000 | (source[at + 2] & 0x3f));
  }
  for (let i = 0; i < size; i++) bytes[to++] = source[at + i];
  return to;
}

function writeReplacement(bytes: Uint8Array, to: number): number {
  bytes[to] = 0xef;
  bytes[to + 1] = 0xbf;
  bytes[to + 2] = 0xbd;
  return to + 3;
}

function writeUnicodeEscape(bytes: Uint8Array, to: number, code: number): number {
  bytes[to] = BACKSLASH;
  bytes[to + 1] = 0x75;
  bytes[to + 2] = HEX[code >> 12];
  bytes[to + 3] = HEX[(code >> 8) & 15];
  bytes[to + 4] = HEX[(code >> 4) & 15];
  bytes[to + 5] = HEX[code & 15];
  return to + 6;
}
