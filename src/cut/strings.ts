/**
 * The strings of a live segment (layout.ts), and the table that finds those that come again (append-tables.ts). The kernel
 * looks up and adds the strings of the straight path by itself, in the same table and with the same hash.
 */
import {
  type AppendTables,
  AT_FOUND,
  AT_INTERNED,
  AT_SEED,
  AT_STRING_ENTRY,
  AT_STRING_MASK,
  AT_STRING_TABLE,
  AT_STRINGS,
} from './append-tables.ts';
import { ChunkList, type SegmentMemory } from './chunk-list.ts';
import { equalBytes, hashBytes, tailWord } from './hash.ts';
import { ROOT_STRINGS, STRING_CHUNK } from './layout.ts';

export class SegmentStrings {
  readonly #segment: SegmentMemory & { u8: Uint8Array };
  readonly #tables: AppendTables;
  readonly #list: ChunkList;

  constructor(segment: SegmentMemory & { u8: Uint8Array }, tables: AppendTables) {
    this.#segment = segment;
    this.#tables = tables;
    this.#list = new ChunkList(segment, ROOT_STRINGS, STRING_CHUNK, 1);
  }

  get count(): number {
    return this.#tables.words[AT_STRINGS / 4];
  }

  /** Where string `code` begins, in words. */
  address(code: number): number {
    return this.#segment.u32[this.#list.address(code)];
  }

  /** The code of the string at [offset, offset + length) of `bytes` (with its DataView), adding it when it is new. */
  intern(view: DataView, bytes: Uint8Array, offset: number, length: number): number {
    const { words } = this.#tables;
    const table = words[AT_STRING_TABLE / 4] >>> 2;
    const mask = words[AT_STRING_MASK / 4];
    const hash = hashBytes(view, offset, length, words[AT_SEED / 4]);
    let slot = hash & mask;
    for (;;) {
      const at = words[table + 2 * slot + 1];
      if (at === 0) break;
      if (words[table + 2 * slot] === hash) {
        const { u32 } = this.#segment;
        if (u32[at + 1] === length && equalBytes(u32, at + 2, view, offset, length)) {
          words[AT_FOUND / 4] = at;
          return u32[at];
        }
      }
      slot = (slot + 1) & mask;
    }
    const code = this.add(view, bytes, offset, length);
    words[table + 2 * slot] = hash;
    words[table + 2 * slot + 1] = words[AT_FOUND / 4];
    if (2 * ++words[AT_INTERNED / 4] > mask) this.grow();
    return code;
  }

  /** Adds a string without asking whether it is there already. */
  add(view: DataView, bytes: Uint8Array, offset: number, length: number): number {
    const list = this.#list;
    const code = this.count;
    list.count = code;
    const entry = list.push();
    const at = this.#segment.allocate(2 + ((length + 3) >>> 2));
    const { u32, u8 } = this.#segment;
    u32[entry] = at;
    u32[at] = code;
    u32[at + 1] = length;
    if (length < 128) {
      const words = offset + (length & ~3);
      let to = at + 2;
      for (let from = offset; from < words; from += 4) u32[to++] = view.getUint32(from, true);
      if ((length & 3) !== 0) u32[to] = tailWord(view, offset, length);
    } else u8.set(bytes.subarray(offset, offset + length), 4 * (at + 2));
    const { words } = this.#tables;
    words[AT_STRINGS / 4] = code + 1;
    words[AT_STRING_ENTRY / 4] = entry + 1;
    words[AT_FOUND / 4] = at;
    return code;
  }

  /** Forgets the strings from `count` on, which stand at `used` words and beyond. */
  truncate(count: number, used: number): void {
    this.#list.count = this.count;
    this.#list.truncate(count);
    const { words } = this.#tables;
    words[AT_STRINGS / 4] = count;
    words[AT_STRING_ENTRY / 4] = count === 0 ? 0 : this.#list.address(count - 1) + 1;
    this.#tables.forgetRecent();
    this.#rebuild(words[AT_STRING_MASK / 4] + 1, used);
  }

  clear(): void {
    this.#list.truncate(0);
    const { words } = this.#tables;
    words[AT_STRINGS / 4] = 0;
    this.#tables.forgetRecent();
    this.#tables.emptyStrings(words[AT_STRING_MASK / 4] + 1);
  }

  /** Doubles the table. */
  grow(): void {
    this.#rebuild(2 * (this.#tables.words[AT_STRING_MASK / 4] + 1), Number.POSITIVE_INFINITY);
  }

  #rebuild(slots: number, used: number): void {
    const tables = this.#tables;
    const from = tables.words[AT_STRING_TABLE / 4] >>> 2;
    const old = tables.words.slice(from, from + 2 * (tables.words[AT_STRING_MASK / 4] + 1));
    tables.emptyStrings(slots);
    const { words } = tables;
    let interned = 0;
    for (let entry = 0; entry < old.length; entry += 2) {
      const at = old[entry + 1];
      // Taken back ones are beyond the end.
      if (at === 0 || at >= used) continue;
      interned++;
      let slot = old[entry] & (slots - 1);
      while (words[from + 2 * slot + 1] !== 0) slot = (slot + 1) & (slots - 1);
      words[from + 2 * slot] = old[entry];
      words[from + 2 * slot + 1] = at;
    }
    words[AT_INTERNED / 4] = interned;
  }
}
