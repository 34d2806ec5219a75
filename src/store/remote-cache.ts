/**
 * Parts of objects in memcached or Redis, shared by processes: asked before the bucket, filled behind it. Objects must not
 * change. What a cache says is never believed, only recognised:
 *
 * ```
 *  key    <tenant>:<block>:<file>:<offset>:<length>          as Tempo's, of whole chunks
 *  value  ├ "vvc1" ┼ length, 4 bytes ┼ CRC-32 of key and bytes, 4 bytes ┼ bytes ┤
 * ```
 * A value that is anything else counts as none. A server that fails is left alone for a while. Values are written in the
 * background, out of a queue of bounded size; what finds no room there is not written. Since parts are whole chunks, the keys
 * of an object follow from its name and size: so what is kept of one that is deleted can be deleted, too.
 */
import { crc32 } from 'node:zlib';
import { eachOf } from '../runtime/each-of.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import type { CacheServer, CacheServers, MemcachedSettings, RedisSettings } from './cache-server.ts';
import { CHUNK_BYTES } from './range-cache.ts';

/** What a cache keeps, by Tempo's names; Vivace has no use for the others. */
type Role = 'bloom' | 'trace-id-index' | 'parquet-footer' | 'parquet-page';

/** As an element of `cache.caches`, with what is written at a time and waits for that. */
export interface CacheSettings {
  roles: string[];
  memcached: MemcachedSettings | undefined;
  redis: RedisSettings | undefined;
  writersMax: number;
  waitingMax: number;
}

export type CacheMethod = 'get' | 'put' | 'delete';

/** What a cache did: calls as Tempo names them, results as HTTP statuses (404: nothing of it was there). */
export interface CacheEvents {
  onCall(kind: 'memcached' | 'redis', name: string, method: CacheMethod, status: number, seconds: number): void;
  /** A value was not written: the queue is full, the server fails, or the value is too large. */
  onDropped(name: string): void;
  /** A value that nobody of us can have written. */
  onRefused(name: string): void;
  onProblem(text: string): void;
}

type Read = (key: string, offset: number, length: number, size: number) => Promise<Uint8Array<ArrayBuffer>>;

const MAGIC = 0x76766331;
const HEAD_BYTES = 12;
const VALUE_BYTES_MAX = HEAD_BYTES + CHUNK_BYTES;
/** Of all that waits for being written. */
const QUEUE_BYTES_MAX = 16 * 1024 * 1024;
/** Keys of one server that are deleted at a time. */
const DELETED_AT_ONCE = 16;
const FAILURES_MAX = 4;
const PAUSE_MS = 2000;

/** Reads through the caches. Each client is loaded only when it is used. */
export async function openRemoteCaches(
  settings: CacheSettings[],
  read: Read,
  events: CacheEvents,
): Promise<RemoteCache> {
  const caches: Cache[] = [];
  for (const { roles, memcached, redis, ...own } of settings) {
    const servers =
      memcached !== undefined
        ? (await import('./memcached.ts')).openMemcached(memcached, events)
        : (await import('./redis.ts')).openRedis(redis!, { valueBytesMax: VALUE_BYTES_MAX });
    caches.push(
      new Cache(servers, events, {
        ...own,
        kind: memcached !== undefined ? 'memcached' : 'redis',
        roles: new Set(roles),
        name: roles.join('|'),
        itemBytesMax: memcached?.maxItemSize || VALUE_BYTES_MAX,
        failuresMax: memcached?.circuitBreakerConsecutiveFailures || FAILURES_MAX,
        pauseMs: memcached?.circuitBreakerTimeoutMs || PAUSE_MS,
      }),
    );
  }
  return new RemoteCache(caches, read);
}

interface Part {
  name: string;
  offset: number;
  length: number;
  cache: Cache | undefined;
}

export class RemoteCache {
  readonly #caches: Cache[];
  readonly #read: Read;

  constructor(caches: Cache[], read: Read) {
    this.#caches = caches;
    this.#read = read;
  }

  /** Bytes of an object of `size` bytes, the caller's own. Fails only as the bucket does. */
  async read(key: string, offset: number, length: number, size: number): Promise<Uint8Array<ArrayBuffer>> {
    const first = Math.floor(offset / CHUNK_BYTES) * CHUNK_BYTES;
    const end = Math.min(size, Math.ceil((offset + length) / CHUNK_BYTES) * CHUNK_BYTES);
    const bytes = await this.#readChunks(key, first, end - first, size);
    return bytes.length === length ? bytes : bytes.slice(offset - first, offset - first + length);
  }

  /** Deletes what there is of objects that nobody reads any more; rejects when there may be some left. */
  async forget(objects: { key: string; size: number }[]): Promise<void> {
    const names = objects.flatMap(({ key, size }) => this.#partsOf(key, 0, size, size).map(({ name }) => name));
    for (const cache of this.#caches) await cache.delete(names);
  }

  async #readChunks(key: string, offset: number, length: number, size: number): Promise<Uint8Array<ArrayBuffer>> {
    const parts = this.#partsOf(key, offset, length, size);
    const found = new Map<Part, Uint8Array>();
    await Promise.all(
      this.#caches.map(async (cache) => {
        const asked = parts.filter((part) => part.cache === cache);
        if (asked.length > 0) for (const [part, bytes] of await cache.get(asked)) found.set(part, bytes);
      }),
    );
    const missing = parts.filter((part) => !found.has(part));
    const out = new Uint8Array(missing.length === parts.length ? 0 : length);
    if (missing.length > 0) {
      // One request, even when some of what is in between was there: never more of them than without a cache.
      const from = missing[0].offset;
      const to = missing[missing.length - 1].offset + missing[missing.length - 1].length;
      const bytes = await this.#read(key, from, to - from, size);
      for (const part of missing) {
        const at = part.offset - from;
        part.cache?.put(part.name, bytes.subarray(at, at + part.length));
      }
      if (bytes.length === length) return bytes;
      out.set(bytes, from - offset);
    }
    for (const [part, bytes] of found) out.set(bytes, part.offset - offset);
    return out;
  }

  close(): void {
    for (const cache of this.#caches) cache.close();
  }

  /** Cut where chunks end, so that other processes ask for the same parts. */
  #partsOf(key: string, offset: number, length: number, size: number): Part[] {
    const parts: Part[] = [];
    const name = key.replaceAll('/', ':');
    for (let at = offset; at < offset + length; ) {
      const end = Math.min(offset + length, (Math.floor(at / CHUNK_BYTES) + 1) * CHUNK_BYTES);
      const roles = rolesOf(key, end, size);
      const cache = this.#caches.find((each) => roles.some((role) => each.has(role)));
      parts.push({ name: `${name}:${at}:${end - at}`, offset: at, length: end - at, cache });
      at = end;
    }
    return parts;
  }
}

/** Our blocks have no bloom filters: what says which traces are in one is its file `traces`. */
function rolesOf(key: string, end: number, size: number): Role[] {
  if (!key.endsWith('.parquet')) return ['bloom', 'trace-id-index'];
  return [end > size - CHUNK_BYTES ? 'parquet-footer' : 'parquet-page'];
}

interface CacheOptions {
  kind: 'memcached' | 'redis';
  name: string;
  roles: ReadonlySet<string>;
  itemBytesMax: number;
  failuresMax: number;
  pauseMs: number;
  writersMax: number;
  waitingMax: number;
}

class Cache {
  readonly #servers: CacheServers;
  readonly #events: CacheEvents;
  readonly #options: CacheOptions;
  readonly #failing = new WeakMap<CacheServer, { failures: number; untilMs: number }>();
  readonly #waiting: { key: string; value: Uint8Array }[] = [];
  #waitingBytes = 0;
  #writers = 0;
  #closed = false;

  constructor(servers: CacheServers, events: CacheEvents, options: CacheOptions) {
    this.#servers = servers;
    this.#events = events;
    this.#options = options;
  }

  has(role: Role): boolean {
    return this.#options.roles.has(role);
  }

  /** What is there of these parts. Never rejects. */
  async get(parts: Part[]): Promise<Map<Part, Uint8Array>> {
    const { kind, name } = this.#options;
    const found = new Map<Part, Uint8Array>();
    const began = performance.now();
    let asked = 0;
    let failed = 0;
    await Promise.all(
      parts.map(async (part) => {
        const server = this.#serverOf(part.name);
        if (server === undefined) return;
        asked++;
        try {
          const value = await server.get(part.name);
          this.#succeeded(server);
          if (value === undefined) return;
          const bytes = unsealed(part.name, value, part.length);
          if (bytes !== undefined) found.set(part, bytes);
          else this.#events.onRefused(name);
        } catch (error) {
          failed++;
          this.#failed(server, error);
        }
      }),
    );
    const status = found.size > 0 ? 200 : failed > 0 ? 500 : 404;
    if (asked > 0) this.#events.onCall(kind, name, 'get', status, (performance.now() - began) / 1000);
    return found;
  }

  /** Writes the value some time, or not. */
  put(key: string, bytes: Uint8Array): void {
    const { itemBytesMax, waitingMax, name } = this.#options;
    const length = HEAD_BYTES + bytes.length;
    if (
      length > itemBytesMax ||
      this.#waiting.length >= waitingMax ||
      this.#waitingBytes + length > QUEUE_BYTES_MAX ||
      this.#serverOf(key) === undefined
    ) {
      this.#events.onDropped(name);
      return;
    }
    this.#waiting.push({ key, value: sealed(key, bytes) });
    this.#waitingBytes += length;
    if (this.#writers < this.#options.writersMax) void this.#write();
  }

  /** Of all servers of the cache, whichever is asked for these keys now. */
  async delete(keys: string[]): Promise<void> {
    const { kind, name } = this.#options;
    const gone = new Set(keys);
    for (let i = this.#waiting.length - 1; i >= 0; i--)
      if (gone.has(this.#waiting[i].key)) this.#waitingBytes -= this.#waiting.splice(i, 1)[0].value.length;
    const began = performance.now();
    let failure: unknown;
    const servers = this.#closed ? [] : this.#servers.all();
    if (servers.length === 0) failure = new Error('none of its servers is known');
    for (const server of servers) {
      if (this.#isLeftAlone(server)) {
        failure ??= new Error('a server has failed before, and is left alone for a while');
        continue;
      }
      try {
        await eachOf(keys, DELETED_AT_ONCE, (key) => server.delete(key));
        this.#succeeded(server);
      } catch (error) {
        failure ??= error;
        this.#failed(server, error);
      }
    }
    const status = failure === undefined ? 200 : 500;
    this.#events.onCall(kind, name, 'delete', status, (performance.now() - began) / 1000);
    if (failure === undefined) return;
    const reason = messageOf(failure);
    throw new VivaceError('unavailable', `cannot delete from ${kind} (${name}): ${reason}`, { cause: failure });
  }

  close(): void {
    this.#closed = true;
    this.#waiting.length = 0;
    this.#servers.close();
  }

  async #write(): Promise<void> {
    const { kind, name } = this.#options;
    this.#writers++;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const server = this.#serverOf(next.key);
      const began = performance.now();
      try {
        if (server === undefined) this.#events.onDropped(name);
        else {
          await server.put(next.key, next.value);
          this.#succeeded(server);
          this.#events.onCall(kind, name, 'put', 200, (performance.now() - began) / 1000);
        }
      } catch (error) {
        this.#failed(server!, error);
        this.#events.onDropped(name);
        this.#events.onCall(kind, name, 'put', 500, (performance.now() - began) / 1000);
      }
      this.#waitingBytes -= next.value.length;
    }
    this.#writers--;
  }

  /** undefined also while it is left alone. */
  #serverOf(key: string): CacheServer | undefined {
    const server = this.#closed ? undefined : this.#servers.serverOf(key);
    return server !== undefined && this.#isLeftAlone(server) ? undefined : server;
  }

  #isLeftAlone(server: CacheServer): boolean {
    const failing = this.#failing.get(server);
    return failing !== undefined && performance.now() < failing.untilMs;
  }

  #succeeded(server: CacheServer): void {
    this.#failing.delete(server);
  }

  #failed(server: CacheServer, error: unknown): void {
    if (this.#closed) return;
    const { kind, failuresMax, pauseMs } = this.#options;
    const failing = this.#failing.get(server) ?? { failures: 0, untilMs: 0 };
    this.#failing.set(server, failing);
    if (++failing.failures < failuresMax) return;
    failing.untilMs = performance.now() + pauseMs;
    this.#events.onProblem(`cannot ask ${kind}, so the bucket is read instead: ${messageOf(error)}`);
  }
}

function sealed(key: string, bytes: Uint8Array): Uint8Array {
  const value = Buffer.allocUnsafeSlow(HEAD_BYTES + bytes.length);
  value.writeUInt32BE(MAGIC, 0);
  value.writeUInt32BE(bytes.length, 4);
  value.writeUInt32BE(crc32(bytes, crc32(key)), 8);
  value.set(bytes, HEAD_BYTES);
  return value;
}

/** undefined: it is not the value of this key and this length. */
function unsealed(key: string, value: Uint8Array, length: number): Uint8Array | undefined {
  if (value.length !== HEAD_BYTES + length) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  const bytes = value.subarray(HEAD_BYTES);
  if (view.getUint32(0) !== MAGIC || view.getUint32(4) !== length) return undefined;
  return view.getUint32(8) === crc32(bytes, crc32(key)) ? bytes : undefined;
}
