/**
 * A cursor over JSON text as UTF-8 bytes, for readers that know what they expect: they ask for the next key, string or
 * number, or step over a value. Nothing is built but what is asked for. Strings keep their bytes as they are, also when
 * they are not valid UTF-8. Every method throws VivaceError 'undecodable' at what is not JSON (RFC 8259).
 */
import { VivaceError } from '../runtime/errors.ts';
import { ProtoWriter } from '../wire/protobuf.ts';
import { KnownTexts } from './known-texts.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

const TWO_32 = 2 ** 32;

/** Levels that a skipped value may have, as in Tempo's JSON library. */
const SKIP_DEPTH_MAX = 10_000;

export class JsonCursor {
  readonly bytes: Uint8Array;
  pos = 0;
  /** The content of the last `text()`: textBytes[textStart … textEnd). */
  textBytes: Uint8Array;
  textStart = 0;
  textEnd = 0;
  /** The last `integer()`: two unsigned 32-bit words, negative ones in two's complement. */
  low = 0;
  high = 0;
  #scratch: ProtoWriter | undefined;
  #words: KnownTexts | undefined;
  #closers: Uint8Array | undefined;

  readonly #what: string;

  /** `what`: the name of the format, for errors. */
  constructor(bytes: Uint8Array, what = 'OTLP/JSON') {
    this.bytes = bytes;
    this.textBytes = bytes;
    this.#what = what;
  }

  fail(what: string): VivaceError {
    return new VivaceError('undecodable', `cannot decode ${this.#what}: ${what} at byte ${this.pos}`);
  }

  /** Refuses anything but white space after the last value. */
  end(): void {
    if (this.peek() >= 0) throw this.fail('expected nothing more');
  }

  /** The next byte that is no white space, not consumed; -1 at the end. */
  peek(): number {
    const bytes = this.bytes;
    let pos = this.pos;
    let byte = bytes[pos];
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++pos];
    this.pos = pos;
    return pos < bytes.length ? byte : -1;
  }

  /** Consumes `null` if that is the next value. */
  takeNull(): boolean {
    if (this.peek() !== 0x6e) return false;
    this.#literal('null');
    return true;
  }

  /** Consumes the opening; false when the object is empty and consumed whole. */
  openObject(): boolean {
    return this.#open(OPEN_BRACE, CLOSE_BRACE, 'an object');
  }

  openArray(): boolean {
    return this.#open(OPEN_BRACKET, CLOSE_BRACKET, 'an array');
  }

  /** After a member: true when another one follows, false when the object ended. */
  anotherMember(): boolean {
    return this.#another(CLOSE_BRACE);
  }

  anotherElement(): boolean {
    return this.#another(CLOSE_BRACKET);
  }

  /** A member's name, found by `text…`, and its colon. */
  key(): void {
    this.text();
    if (this.peek() !== COLON) throw this.fail('expected ":"');
    this.pos++;
  }

  boolean(): boolean {
    const byte = this.peek();
    if (byte !== 0x74 && byte !== 0x66) throw this.fail('expected true or false');
    this.#literal(byte === 0x74 ? 'true' : 'false');
    return byte === 0x74;
  }

  /** A string's content, in `textBytes`, valid until the next call. Escapes cost a copy, nothing else does. */
  text(): void {
    if (this.peek() !== QUOTE) throw this.fail('expected a string');
    const start = ++this.pos;
    const end = this.#plainEnd(start);
    if (this.bytes[end] === QUOTE) {
      this.textBytes = this.bytes;
      this.textStart = start;
      this.textEnd = end;
      this.pos = end + 1;
      return;
    }
    this.#scratch ??= new ProtoWriter();
    this.#scratch.length = 0;
    this.#unescape(start, end, this.#scratch);
    this.textBytes = this.#scratch.bytes;
    this.textStart = 0;
    this.textEnd = this.#scratch.length;
  }

  /** Reads a string and copies its content to the end of `out`; returns where it starts there. */
  keepText(out: ProtoWriter): number {
    this.text();
    const start = out.length;
    out.raw(this.textBytes, this.textStart, this.textEnd);
    return start;
  }

  /** The last `text()` as a JavaScript string, one character a byte. */
  latin1(): string {
    const { buffer, byteOffset } = this.textBytes;
    return Buffer.from(buffer, byteOffset + this.textStart, this.textEnd - this.textStart).toString('latin1');
  }

  /** The same of a text that comes again and again. */
  word(): string {
    this.#words ??= new KnownTexts();
    return this.#words.latin1(this.textBytes, this.textStart, this.textEnd);
  }

  /** A number as it is written, found by `text…`. */
  number(): void {
    this.peek();
    this.textBytes = this.bytes;
    this.textStart = this.pos;
    this.#skipNumber();
    this.textEnd = this.pos;
  }

  /**
   * A 64-bit integer, exact, as a number or as decimal text, into `low` and `high`. Refuses fractions, exponents, signs
   * where there are none, and what is out of range.
   */
  integer(signed: boolean): void {
    const quoted = this.peek() === QUOTE;
    if (quoted) this.text();
    else this.number();
    const bytes = this.textBytes;
    const end = this.textEnd;
    const negative = signed && bytes[this.textStart] === MINUS && this.textStart < end;
    let at = this.textStart + (negative ? 1 : 0);
    if (at === end) throw this.fail('expected an integer');
    while (at < end - 1 && bytes[at] === 0x30) at++;
    if (end - at > 20) throw this.fail('integer out of range, before');
    // Fifteen digits are exact in a double; the few that may follow go through both words.
    let value = 0;
    let low = 0;
    let high = 0;
    const exactEnd = Math.min(end, at + 15);
    for (let i = at; i < end; i++) {
      const digit = bytes[i] - 0x30;
      if (!(digit >= 0 && digit <= 9)) throw this.fail('expected an integer, before');
      if (i < exactEnd) {
        value = value * 10 + digit;
        if (i < exactEnd - 1) continue;
        high = Math.floor(value / TWO_32);
        low = value >>> 0;
      } else {
        const product = low * 10 + digit;
        low = product >>> 0;
        high = high * 10 + Math.floor(product / TWO_32);
        if (high >= TWO_32) throw this.fail('integer out of range, before');
      }
    }
    if (signed && (high > 0x80000000 || (high === 0x80000000 && (low > 0 || !negative))))
      throw this.fail('integer out of range, before');
    if (negative) {
      low = (~low + 1) >>> 0;
      high = (~high + (low === 0 ? 1 : 0)) >>> 0;
    }
    this.low = low;
    this.high = high;
  }

  /** A double as a number, decimal text, or one of the names of those that JSON cannot write. */
  double(): number {
    if (this.peek() !== QUOTE) this.number();
    else {
      this.text();
      const name = this.latin1();
      if (name === 'NaN') return Number.NaN;
      if (name === 'Infinity') return Number.POSITIVE_INFINITY;
      if (name === '-Infinity') return Number.NEGATIVE_INFINITY;
      if (!/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(name)) throw this.fail('expected a number, before');
    }
    const value = Number(this.latin1());
    if (!Number.isFinite(value)) throw this.fail('number out of range, before');
    return value;
  }

  /** Steps over any value. */
  skip(): void {
    let depth = 0;
    for (;;) {
      const byte = this.peek();
      if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        this.pos++;
        const closer = byte + 2;
        if (this.peek() === closer) this.pos++;
        else {
          if (depth === SKIP_DEPTH_MAX) throw this.fail(`nested more than ${SKIP_DEPTH_MAX} levels`);
          this.#closers ??= new Uint8Array(SKIP_DEPTH_MAX);
          this.#closers[depth++] = closer;
          if (closer === CLOSE_BRACE) this.#skipKey();
          continue;
        }
      } else this.#skipScalar(byte);
      for (;;) {
        if (depth === 0) return;
        const closer = (this.#closers as Uint8Array)[depth - 1];
        if (this.#another(closer)) {
          if (closer === CLOSE_BRACE) this.#skipKey();
          break;
        }
        depth--;
      }
    }
  }

  #open(opener: number, closer: number, what: string): boolean {
    if (this.peek() !== opener) throw this.fail(`expected ${what}`);
    this.pos++;
    if (this.peek() !== closer) return true;
    this.pos++;
    return false;
  }

  #another(closer: number): boolean {
    const byte = this.peek();
    if (byte !== COMMA && byte !== closer) throw this.fail('expected "," or the end of an object or array');
    this.pos++;
    return byte === COMMA;
  }

  #literal(text: string): void {
    for (let i = 0; i < text.length; i++)
      if (this.bytes[this.pos + i] !== text.charCodeAt(i)) throw this.fail(`expected ${text}`);
    this.pos += text.length;
  }

  /** Where a run of plain characters ends: at a quote or a backslash. */
  #plainEnd(at: number): number {
    const bytes = this.bytes;
    const length = bytes.length;
    for (; at < length; at++) {
      const byte = bytes[at];
      if (byte === QUOTE || byte === BACKSLASH) return at;
      if (byte < 0x20) break;
    }
    this.pos = at;
    throw this.fail(at < length ? 'control character in a string' : 'string without end');
  }

  /** Writes a string's content from `start`; the first escape is at `at`. Moves behind the closing quote. */
  #unescape(start: number, at: number, out: ProtoWriter): void {
    const bytes = this.bytes;
    for (;;) {
      out.raw(bytes, start, at);
      if (bytes[at] === QUOTE) break;
      this.pos = at;
      out.reserve(4);
      const escaped = bytes[at + 1];
      if (escaped === 0x75) start = this.#unicode(at + 2, out);
      else {
        const plain = ESCAPES[escaped];
        if (escaped === undefined || plain === 0) throw this.fail('unknown escape');
        out.bytes[out.length++] = plain;
        start = at + 2;
      }
      at = this.#plainEnd(start);
    }
    this.pos = at + 1;
  }

  /** `\uXXXX`, with its second half if it is the first of a pair; a half without its other is U+FFFD. */
  #unicode(at: number, out: ProtoWriter): number {
    let code = this.#hex4(at);
    at += 4;
    if (code >= 0xd800 && code < 0xdc00 && this.bytes[at] === BACKSLASH && this.bytes[at + 1] === 0x75) {
      const low = this.#hex4(at + 2);
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at += 6;
      }
    }
    if (code >= 0xd800 && code < 0xe000) code = 0xfffd;
    const bytes = out.bytes;
    if (code < 0x80) bytes[out.length++] = code;
    else {
      if (code < 0x800) bytes[out.length++] = 0xc0 | (code >> 6);
      else {
        if (code < 0x10000) bytes[out.length++] = 0xe0 | (code >> 12);
        else {
          bytes[out.length++] = 0xf0 | (code >> 18);
          bytes[out.length++] = 0x80 | ((code >> 12) & 0x3f);
        }
        bytes[out.length++] = 0x80 | ((code >> 6) & 0x3f);
      }
      bytes[out.length++] = 0x80 | (code & 0x3f);
    }
    return at;
  }

  #hex4(at: number): number {
    let code = 0;
    for (let i = 0; i < 4; i++) {
      const digit = at + i < this.bytes.length ? HEX[this.bytes[at + i]] : 0xff;
      if (digit === 0xff) throw this.fail('bad \\u escape');
      code = (code << 4) | digit;
    }
    return code;
  }

  #skipKey(): void {
    this.#skipString();
    if (this.peek() !== COLON) throw this.fail('expected ":"');
    this.pos++;
  }

  #skipString(): void {
    if (this.peek() !== QUOTE) throw this.fail('expected a string');
    let at = this.#plainEnd(this.pos + 1);
    while (this.bytes[at] === BACKSLASH) {
      const escaped = this.bytes[at + 1];
      if (escaped === 0x75) this.#hex4(at + 2);
      else if (escaped === undefined || ESCAPES[escaped] === 0) throw this.fail('unknown escape');
      at = this.#plainEnd(at + 2);
    }
    this.pos = at + 1;
  }

  #skipScalar(first: number): void {
    if (first === QUOTE) this.#skipString();
    else if (first === 0x6e) this.#literal('null');
    else if (first === 0x74 || first === 0x66) this.boolean();
    else this.#skipNumber();
  }

  /** `-? (0 | 1-9 digits) (. digits)? ([eE] [+-]? digits)?` */
  #skipNumber(): void {
    const bytes = this.bytes;
    if (bytes[this.pos] === MINUS) this.pos++;
    if (bytes[this.pos] === 0x30) this.pos++;
    else this.#digits();
    if (bytes[this.pos] === 0x2e) {
      this.pos++;
      this.#digits();
    }
    if (bytes[this.pos] === 0x65 || bytes[this.pos] === 0x45) {
      this.pos++;
      if (bytes[this.pos] === 0x2b || bytes[this.pos] === MINUS) this.pos++;
      this.#digits();
    }
  }

  #digits(): void {
    const start = this.pos;
    while (this.bytes[this.pos] >= 0x30 && this.bytes[this.pos] <= 0x39) this.pos++;
    if (this.pos === start) throw this.fail('expected a value');
  }
}

/** Value of a hexadecimal digit of either case; 0xff for every other byte. */
export const HEX: Readonly<Uint8Array> = hexTable();

function hexTable(): Uint8Array {
  const table = new Uint8Array(256).fill(0xff);
  for (let i = 0; i < 16; i++) {
    table[i.toString(16).charCodeAt(0)] = i;
    table[i.toString(16).toUpperCase().charCodeAt(0)] = i;
  }
  return table;
}

/** What follows a backslash → the character meant; 0: none. */
const ESCAPES: Readonly<Uint8Array> = escapeTable();

function escapeTable(): Uint8Array {
  const table = new Uint8Array(256);
  const pairs: [string, string][] = [
    ['"', '"'],
    ['\\', '\\'],
    ['/', '/'],
    ['b', '\b'],
    ['f', '\f'],
    ['n', '\n'],
    ['r', '\r'],
    ['t', '\t'],
  ];
  for (const [letter, meant] of pairs) table[letter.charCodeAt(0)] = meant.charCodeAt(0);
  return table;
}
