/** Real memcached and Redis before a bucket: whatever they do, what is read is what the bucket holds. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { defaultConfiguration } from '../../src/config/load.ts';
import type { CacheServers } from '../../src/store/cache-server.ts';
import { openMemcached } from '../../src/store/memcached.ts';
import { CHUNK_BYTES } from '../../src/store/range-cache.ts';
import { openRedis } from '../../src/store/redis.ts';
import { openRemoteCaches, type RemoteCache } from '../../src/store/remote-cache.ts';
import { type Cleanup, later, until } from '../process/server.fixture.ts';
import {
  type CacheProcess,
  memcachedProgram,
  redisProgram,
  startMemcached,
  startRedis,
} from './cache-servers.fixture.ts';

const { memcached: memcachedDefaults, redis: redisDefaults } = defaultConfiguration().storage.trace;
/** A machine that has other work can take its time. */
const PATIENT_MS = 10_000;
const SIZE = 5 * CHUNK_BYTES + 777;
const DATA = 'tenant/1b7c2c0e-9f0e-4a52-8c43-1d9dbb3a5f10/data.parquet';
const TRACES = 'tenant/1b7c2c0e-9f0e-4a52-8c43-1d9dbb3a5f10/traces';
const ROLES = ['bloom', 'parquet-footer', 'parquet-page'];

const bytesOf = (key: string): Uint8Array => {
  const bytes = new Uint8Array(SIZE);
  for (let i = 0; i < SIZE; i++) bytes[i] = (i * 31 + (i >> 7) + key.length) & 0xff;
  return bytes;
};
const objects = new Map([DATA, TRACES].map((key) => [key, bytesOf(key)]));

const memcached = memcachedProgram();
const redis = redisProgram();

interface Kind {
  name: 'memcached' | 'redis';
  file: string;
  skip: string | undefined;
  start(t: Cleanup, file: string, address?: string): Promise<CacheProcess>;
  client(address: string): CacheServers;
}

const kinds: Kind[] = [
  {
    name: 'memcached',
    file: 'file' in memcached ? memcached.file : '',
    skip: 'missing' in memcached ? memcached.missing : undefined,
    start: startMemcached,
    client: (addresses) =>
      openMemcached({ ...memcachedDefaults, timeoutMs: PATIENT_MS, addresses }, { onProblem: assert.fail }),
  },
  {
    name: 'redis',
    file: 'file' in redis ? redis.file : '',
    skip: 'missing' in redis ? redis.missing : undefined,
    start: startRedis,
    client: (endpoint) =>
      openRedis({ ...redisDefaults, timeoutMs: PATIENT_MS, endpoint }, { valueBytesMax: 2 * CHUNK_BYTES }),
  },
];

for (const kind of kinds)
  describe(kind.name, { skip: kind.skip }, () => {
    test('what one process has read, another has from the cache', async (t) => {
      const { address } = await kind.start(t, kind.file);
      const one = await opened(t, kind.name, address);
      await one.reads(DATA, 1000, 3 * CHUNK_BYTES);
      assert.equal(one.asked.length, 1);
      await until('all is written', () => one.count('put', 200) === 4);
      const other = await opened(t, kind.name, address);
      await until('it is asked', async () => {
        await other.reads(DATA, 1000, 3 * CHUNK_BYTES);
        return other.count('get', 200) === 1;
      });
      const before = other.asked.length;
      await other.reads(DATA, 1000, 3 * CHUNK_BYTES);
      assert.equal(other.asked.length, before);
      // One request for all that is missing.
      await other.reads(DATA, 1000, SIZE - 1000);
      assert.deepEqual(other.asked.slice(before), [[4 * CHUNK_BYTES, SIZE - 4 * CHUNK_BYTES]]);
      // Of the same name and place, but another file.
      await other.reads(TRACES, 1000, 3 * CHUNK_BYTES);
      assert.equal(other.asked.length, before + 2);
      assert.equal(other.refused, 0);
    });

    test('a cache has only what its roles say', async (t) => {
      const { address } = await kind.start(t, kind.file);
      const one = await opened(t, kind.name, address, ['bloom', 'parquet-footer']);
      await one.reads(DATA, 0, 2 * CHUNK_BYTES);
      await one.reads(DATA, SIZE - 20_000, 20_000);
      await one.reads(TRACES, 0, CHUNK_BYTES);
      await until('two parts of the file’s end and one of the traces are written', () => one.count('put', 200) === 3);
      await one.reads(DATA, 0, 2 * CHUNK_BYTES);
      const before = one.asked.length;
      await one.reads(DATA, SIZE - 20_000, 20_000);
      await one.reads(TRACES, 0, CHUNK_BYTES);
      assert.equal(one.asked.length, before);
    });

    test('garbage, too little, too much and what belongs elsewhere are refused, and replaced', async (t) => {
      const { address } = await kind.start(t, kind.file);
      const one = await opened(t, kind.name, address);
      await one.reads(DATA, 0, SIZE);
      await until('all is written', () => one.count('put', 200) === 6);
      const servers = kind.client(address);
      later(t, () => servers.close());
      const key = (chunk: number): string =>
        `${DATA.replaceAll('/', ':')}:${chunk * CHUNK_BYTES}:${Math.min(CHUNK_BYTES, SIZE - chunk * CHUNK_BYTES)}`;
      await until('servers are known', () => servers.serverOf(key(0)) !== undefined);
      const server = servers.serverOf(key(0))!;
      const good = Buffer.from((await server.get(key(0)))!);
      const flipped = Buffer.from(good);
      flipped[70_000] ^= 4;
      const lies: Uint8Array[] = [
        Buffer.from('garbage\r\nEN\r\n'),
        good.subarray(0, good.length - 1),
        Buffer.concat([good, Buffer.from([0])]),
        flipped,
        good.subarray(0, 11),
        Buffer.from((await server.get(key(1)))!),
        Buffer.alloc(good.length),
      ];
      for (const [i, lie] of lies.entries()) {
        await server.put(key(0), lie);
        const before = one.refused;
        await one.reads(DATA, 0, SIZE);
        assert.equal(one.refused, before + 1, `lie ${i}`);
        await until(`lie ${i} is replaced`, async () => good.equals((await server.get(key(0)))!));
      }
    });

    test('killed while it is asked, it is missed by nobody, and used again when it is back', async (t) => {
      const server = await kind.start(t, kind.file);
      const one = await opened(t, kind.name, server.address);
      await one.reads(DATA, 0, SIZE);
      await until('all is written', () => one.count('put', 200) === 6);
      const reads = Array.from({ length: 40 }, (_, i) => one.reads(DATA, i * 100, SIZE - i * 200));
      await server.kill();
      await Promise.all(reads);
      for (let i = 0; i < 20; i++) await one.reads(DATA, i, SIZE - i);
      await until('that is told', async () => {
        await one.reads(DATA, 0, SIZE);
        return one.problems.length > 0;
      });
      await kind.start(t, kind.file, server.address);
      const hits = one.count('get', 200);
      await until('it is used again', async () => {
        await one.reads(DATA, 0, SIZE);
        return one.count('get', 200) > hits;
      });
    });

    test('what is deleted is nowhere any more, also on servers that nobody asks for it now', async (t) => {
      const first = await kind.start(t, kind.file);
      const one = await opened(t, kind.name, first.address);
      await one.reads(DATA, 0, SIZE);
      await one.reads(TRACES, 0, SIZE);
      await until('all is written', () => one.count('put', 200) === 12);
      const isMemcached = kind.name === 'memcached';
      const addresses = isMemcached ? [first.address, (await kind.start(t, kind.file)).address] : [first.address];
      const more = await opened(t, kind.name, addresses.join());
      await more.forget([{ key: DATA, size: SIZE }]);
      assert.equal(more.count('delete', 200), 1);
      const before = one.asked.length;
      await one.reads(TRACES, 0, SIZE);
      assert.equal(one.asked.length, before, 'another object stays');
      await one.reads(DATA, 0, SIZE);
      assert.deepEqual(one.asked.slice(before), [[0, SIZE]], 'nothing of it is there');
      await more.forget([{ key: 'tenant/never/data.parquet', size: SIZE }]);
    });

    test('what cannot be deleted is said, until it can be', async (t) => {
      const server = await kind.start(t, kind.file);
      const one = await opened(t, kind.name, server.address, ROLES, 300);
      await until('all is written', async () => {
        await one.reads(DATA, 0, SIZE);
        return one.count('put', 200) >= 6;
      });
      server.pause();
      const forget = () => one.forget([{ key: DATA, size: SIZE }]);
      for (let i = 0; i < 6; i++) await assert.rejects(forget, /cannot delete from (memcached|redis) \(bloom/);
      server.goOn();
      await until('it is deleted', () =>
        forget().then(
          () => true,
          () => false,
        ),
      );
      const other = await opened(t, kind.name, server.address);
      await other.reads(DATA, 0, SIZE);
      assert.deepEqual(other.asked, [[0, SIZE]]);
    });

    test('a server that speaks no sense, or says nothing, is read around', async (t) => {
      for (const answer of [
        'VA 99999999999\r\n',
        'VA 131084\r\nshort',
        '$5\r\nab\r\n',
        '\0\xff'.repeat(5000),
        'EN\r\n'.repeat(99),
        '',
      ]) {
        const sockets = new Set<net.Socket>();
        const liar = net.createServer((socket) => {
          sockets.add(socket);
          socket.on('error', () => {});
          socket.on('data', () => socket.write(answer, 'latin1'));
        });
        await new Promise<void>((resolve) => liar.listen(0, '127.0.0.1', resolve));
        later(t, () => {
          for (const socket of sockets) socket.destroy();
          liar.close();
        });
        const one = await opened(t, kind.name, `127.0.0.1:${(liar.address() as net.AddressInfo).port}`, ROLES, 100);
        for (let i = 0; i < 8; i++) await one.reads(DATA, i * 1000, 2 * CHUNK_BYTES);
        await one.reads(DATA, 0, SIZE);
        one.close();
      }
    });
  });

async function opened(t: Cleanup, kind: 'memcached' | 'redis', address: string, roles = ROLES, timeoutMs = PATIENT_MS) {
  const asked: [offset: number, length: number][] = [];
  const calls: [method: string, status: number][] = [];
  const problems: string[] = [];
  const told = { refused: 0 };
  const cache: RemoteCache = await openRemoteCaches(
    [
      {
        roles,
        memcached: kind === 'memcached' ? { ...memcachedDefaults, timeoutMs, addresses: address } : undefined,
        redis: kind === 'redis' ? { ...redisDefaults, timeoutMs, endpoint: address } : undefined,
        writersMax: 2,
        waitingMax: 100,
      },
    ],
    async (key, offset, length) => {
      asked.push([offset, length]);
      return new Uint8Array(objects.get(key)!.subarray(offset, offset + length));
    },
    {
      onCall: (_kind, _name, method, status) => calls.push([method, status]),
      onDropped: () => {},
      onRefused: () => told.refused++,
      onProblem: (text) => problems.push(text),
    },
  );
  later(t, () => cache.close());
  // Addresses are known a moment later.
  await setImmediate();
  return {
    asked,
    problems,
    get refused() {
      return told.refused;
    },
    count: (method: string, status: number) => calls.filter((call) => call[0] === method && call[1] === status).length,
    async reads(key: string, offset: number, length: number): Promise<void> {
      const bytes = await cache.read(key, offset, length, SIZE);
      assert.ok(Buffer.from(objects.get(key)!.subarray(offset, offset + length)).equals(bytes), 'other bytes');
    },
    forget: (objects: { key: string; size: number }[]) => cache.forget(objects),
    close: () => cache.close(),
  };
}
