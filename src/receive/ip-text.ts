/** Addresses of the Internet as Go writes them, from text and from bytes. */
import net from 'node:net';

/** The usual form of an address; undefined for what is none. */
export function ipText(text: string): string | undefined {
  const kind = text.includes('%') ? 0 : net.isIP(text);
  if (kind === 4) return text;
  if (kind === 0) return undefined;
  const short = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short);
  if (mapped === null) return short;
  const [high, low] = [Number.parseInt(mapped[1], 16), Number.parseInt(mapped[2], 16)];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

/** Of 4 or 16 bytes; undefined for other sizes. */
export function ipOfBytes(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (end - start === 4) return `${bytes[start]}.${bytes[start + 1]}.${bytes[start + 2]}.${bytes[start + 3]}`;
  if (end - start !== 16) return undefined;
  const groups: string[] = [];
  for (let at = start; at < end; at += 2) groups.push(((bytes[at] << 8) | bytes[at + 1]).toString(16));
  return ipText(groups.join(':'));
}
