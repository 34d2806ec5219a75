/**
 * A client of memcached's meta protocol, which takes any bytes: https://docs.memcached.org/protocols/meta/. One connection a
 * server carries all calls, one after the other without waiting in between; answers come in the same order.
 *
 * ```
 *  mg <key> v            →  VA <bytes> …\r\n<value>\r\n    or  EN\r\n
 *  ms <key> <bytes> T60  →  HD\r\n                         or  NS\r\n, SERVER_ERROR object too large for cache\r\n
 *  <value>
 *  md <key>              →  HD\r\n                         or  NF\r\n
 * ```
 * After anything else the connection is given up: what follows could be taken for the answer to another call.
 */
import dns from 'node:dns/promises';
import net from 'node:net';
import tls from 'node:tls';
import { crc32 } from 'node:zlib';
import { CACHE_TIMEOUT_MS, type CacheServer, type CacheServers, type MemcachedSettings } from './cache-server.ts';
import { tlsOptions } from './tls-options.ts';

export interface MemcachedOptions {
  onProblem: (text: string) => void;
}

const PORT = 11211;
const UPDATE_MS = 60_000;
/** Twice what memcached takes by itself. Longer than ours, but read to its end: it is refused and replaced, and others are answered. */
const VALUE_BYTES_MAX = 2 * 1024 * 1024;
const LINE_BYTES_MAX = 2048;
/** No blanks, no control characters, and the protocol's length. */
const KEY = /^[\x21-\x7e]{1,250}$/;

/** Each key has its place on one of the servers; one that comes or goes moves only its own share. */
export function openMemcached(settings: MemcachedSettings, options: MemcachedOptions): CacheServers {
  const servers = new Map<string, CacheServer>();
  let closed = false;
  const update = async (): Promise<void> => {
    try {
      const addresses = new Set(await addressesOf(settings));
      if (closed) return;
      for (const [address, server] of servers) {
        if (addresses.has(address)) continue;
        servers.delete(address);
        server.close();
      }
      for (const address of addresses)
        if (!servers.has(address)) servers.set(address, new MemcachedServer(address, settings));
    } catch (error) {
      options.onProblem(`cannot look up the servers of memcached: ${(error as Error).message}`);
    }
  };
  void update();
  const timer = setInterval(update, settings.updateIntervalMs || UPDATE_MS);
  timer.unref();
  return {
    serverOf(key) {
      let best: CacheServer | undefined;
      let most = -1;
      const hash = crc32(key);
      for (const [address, server] of servers) {
        const weight = mix(hash ^ mix(crc32(address)));
        if (weight > most) [most, best] = [weight, server];
      }
      return best;
    },
    all: () => [...servers.values()],
    close() {
      closed = true;
      clearInterval(timer);
      for (const server of servers.values()) server.close();
      servers.clear();
    },
  };
}

/** The last step of MurmurHash3: a flipped bit flips half of them. */
function mix(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** host:port of each server. */
async function addressesOf({ host, service, addresses }: MemcachedSettings): Promise<string[]> {
  const found: string[] = [];
  const service_ = async (name: string): Promise<void> => {
    for (const { name: target, port } of await dns.resolveSrv(name)) found.push(`${target}:${port}`);
  };
  for (const each of addresses.split(',').map((address) => address.trim())) {
    const [, kind, name] = /^(?:(dns|dnssrv|dnssrvnoa)\+)?(.*)$/.exec(each)!;
    if (name === '') continue;
    if (kind === undefined) found.push(name);
    else if (kind === 'dns') {
      const { hostname, port } = hostAndPort(name);
      for (const { address } of await dns.lookup(hostname, { all: true }))
        found.push(`${address.includes(':') ? `[${address}]` : address}:${port}`);
    } else await service_(name);
  }
  if (addresses.trim() === '' && host !== '') await service_(`_${service || 'memcached'}._tcp.${host}`);
  return found;
}

function hostAndPort(address: string): { hostname: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(address) ?? [];
  return { hostname: bracketed ?? plain ?? address, port: Number(port ?? PORT) };
}

interface Call {
  resolve(value: Uint8Array | undefined): void;
  reject(error: Error): void;
}

class MemcachedServer implements CacheServer {
  readonly #address: string;
  readonly #settings: MemcachedSettings;
  readonly #expires: string;
  #socket: net.Socket | undefined;
  #calls: Call[] = [];
  /** What came and is not an answer yet; `#want` bytes are needed for that. */
  #parts: Buffer[] = [];
  #bytes = 0;
  #want = 1;

  constructor(address: string, settings: MemcachedSettings) {
    this.#address = address;
    this.#settings = settings;
    this.#expires = settings.ttlMs > 0 ? ` T${Math.ceil(settings.ttlMs / 1000)}` : '';
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return KEY.test(key) ? this.#call([`mg ${key} v\r\n`]) : Promise.resolve(undefined);
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    if (KEY.test(key)) await this.#call([`ms ${key} ${value.length}${this.#expires}\r\n`, value, '\r\n']);
  }

  async delete(key: string): Promise<void> {
    if (KEY.test(key)) await this.#call([`md ${key}\r\n`]);
  }

  close(): void {
    this.#giveUp(this.#socket, new Error('the cache is closed'));
  }

  #call(parts: (string | Uint8Array)[]): Promise<Uint8Array | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
    const socket = (this.#socket ??= this.#connect());
    const timeoutMs = this.#settings.timeoutMs || CACHE_TIMEOUT_MS;
    const timer = setTimeout(
      () => this.#giveUp(socket, new Error(`memcached ${this.#address} took longer than ${timeoutMs} ms`)),
      timeoutMs,
    );
    this.#calls.push({ resolve, reject });
    socket.cork();
    for (const part of parts) socket.write(part);
    process.nextTick(() => socket.uncork());
    return promise.finally(() => clearTimeout(timer));
  }

  #connect(): net.Socket {
    const { hostname: host, port } = hostAndPort(this.#address);
    const settings = this.#settings;
    const socket = settings.tlsEnabled
      ? tls.connect({ host, port, servername: net.isIP(host) ? '' : host, ...tlsOptions(settings) })
      : net.connect({ host, port, noDelay: true });
    socket.unref();
    socket.on('error', (error) => this.#giveUp(socket, error));
    socket.on('close', () => this.#giveUp(socket, new Error(`memcached ${this.#address} has hung up`)));
    socket.on('data', (bytes) => {
      if (socket !== this.#socket) return;
      this.#parts.push(bytes);
      this.#bytes += bytes.length;
      try {
        this.#answer();
      } catch (error) {
        this.#giveUp(socket, error as Error);
      }
    });
    return socket;
  }

  #giveUp(socket: net.Socket | undefined, error: Error): void {
    if (socket === undefined || socket !== this.#socket) return;
    socket.destroy();
    this.#socket = undefined;
    this.#parts = [];
    this.#bytes = 0;
    this.#want = 1;
    for (const { reject } of this.#calls.splice(0)) reject(error);
  }

  /** Throws what makes the connection useless. */
  #answer(): void {
    while (this.#bytes >= this.#want) {
      const all = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts, this.#bytes);
      const lineEnd = all.indexOf('\r\n');
      if (lineEnd < 0 ? all.length > LINE_BYTES_MAX : lineEnd > LINE_BYTES_MAX) throw this.#nonsense(all);
      this.#parts = [all];
      this.#want = all.length + 1;
      if (lineEnd < 0) return;
      const line = all.toString('latin1', 0, lineEnd);
      let end = lineEnd + 2;
      let value: Uint8Array | undefined;
      const [, size] = /^VA (\d{1,10})(?: .*)?$/.exec(line) ?? [];
      if (size !== undefined) {
        if (Number(size) > VALUE_BYTES_MAX) throw new Error(`memcached ${this.#address} has a value of ${size} bytes`);
        value = all.subarray(end, end + Number(size));
        end += Number(size) + 2;
        if (all.length < end) {
          this.#want = end;
          return;
        }
        if (all[end - 2] !== 13 || all[end - 1] !== 10) throw this.#nonsense(all);
      } else if (!/^(?:EN|HD|NS|NF|SERVER_ERROR .*)$/.test(line)) throw this.#nonsense(all);
      const call = this.#calls.shift();
      if (call === undefined) throw this.#nonsense(all);
      if (line.startsWith('SERVER_ERROR')) call.reject(new Error(`memcached ${this.#address} says ${line}`));
      else call.resolve(value);
      this.#parts = end < all.length ? [all.subarray(end)] : [];
      this.#bytes = all.length - end;
      this.#want = 1;
    }
  }

  #nonsense(bytes: Buffer): Error {
    return new Error(`memcached ${this.#address} answers ${JSON.stringify(bytes.toString('latin1', 0, 40))}`);
  }
}
