/** Redis as a cache: one server, a cluster, or what sentinels say is the master. */
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { CACHE_TIMEOUT_MS, type CacheServers, type RedisSettings } from './cache-server.ts';

export interface RedisCacheOptions {
  /** Of longer values only so much is read, and one byte more. */
  valueBytesMax: number;
}

const PORT = 6379;
const RECONNECT_MS_MAX = 2000;

export function openRedis(settings: RedisSettings, { valueBytesMax }: RedisCacheOptions): CacheServers {
  const client = connect(settings);
  // Each call fails by itself; without a listener this would end the process.
  client.on('error', () => {});
  const lifeMs = settings.ttlMs || settings.expirationMs;
  const server = {
    async get(key: string): Promise<Uint8Array | undefined> {
      const value = await client.getrangeBuffer(key, 0, valueBytesMax);
      return value.length === 0 ? undefined : value;
    },
    async put(key: string, value: Uint8Array): Promise<void> {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      await (lifeMs > 0 ? client.set(key, bytes, 'PX', Math.ceil(lifeMs)) : client.set(key, bytes));
    },
    async delete(key: string): Promise<void> {
      await client.del(key);
    },
    close: () => client.disconnect(),
  };
  return { serverOf: () => server, all: () => [server], close: server.close };
}

function connect(settings: RedisSettings): Redis | Cluster {
  const { masterName, db, username, password, sentinelUsername, sentinelPassword } = settings;
  const timeoutMs = settings.timeoutMs || CACHE_TIMEOUT_MS;
  const tls = settings.tlsEnabled ? { rejectUnauthorized: !settings.tlsInsecureSkipVerify } : undefined;
  const nodes = settings.endpoint.split(',').map((each) => {
    const [, host, port] = /^\s*\[?(.*?)\]?(?::(\d+))?\s*$/.exec(each)!;
    return { host, port: Number(port ?? PORT) };
  });
  const options: RedisOptions = {
    ...(username !== '' && { username }),
    ...(password !== '' && { password }),
    ...(tls !== undefined && { tls }),
    db,
    commandTimeout: timeoutMs,
    connectTimeout: Math.max(timeoutMs, 1000),
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(50 * 2 ** times, RECONNECT_MS_MAX),
    enableAutoPipelining: true,
  };
  if (masterName !== '')
    return new Redis({
      ...options,
      sentinels: nodes,
      name: masterName,
      ...(sentinelUsername !== '' && { sentinelUsername }),
      ...(sentinelPassword !== '' && { sentinelPassword }),
      ...(tls !== undefined && { sentinelTLS: tls, enableTLSForSentinelMode: true }),
    });
  if (nodes.length > 1)
    return new Cluster(nodes, { redisOptions: { ...options, db: 0 }, enableAutoPipelining: true, lazyConnect: false });
  return new Redis({ ...options, ...nodes[0] });
}
