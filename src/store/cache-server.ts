/** What Vivace asks of memcached and Redis. */
import type { TlsSettings } from './tls-options.ts';

/** Of the configuration, as Tempo's keys have it; durations in milliseconds. */
export interface MemcachedSettings extends TlsSettings {
  host: string;
  service: string;
  addresses: string;
  timeoutMs: number;
  updateIntervalMs: number;
  maxItemSize: number;
  ttlMs: number;
  circuitBreakerConsecutiveFailures: number;
  circuitBreakerTimeoutMs: number;
  tlsEnabled: boolean;
}

export interface RedisSettings {
  endpoint: string;
  masterName: string;
  db: number;
  timeoutMs: number;
  expirationMs: number;
  ttlMs: number;
  username: string;
  password: string;
  sentinelUsername: string;
  sentinelPassword: string;
  tlsEnabled: boolean;
  tlsInsecureSkipVerify: boolean;
}

/** One server, or a Redis cluster. All calls reject when it cannot be asked in time. */
export interface CacheServer {
  /** undefined: it is not there. What is too long need not be read to its end. */
  get(key: string): Promise<Uint8Array | undefined>;
  put(key: string, value: Uint8Array): Promise<void>;
  /** What is not there counts as deleted. */
  delete(key: string): Promise<void>;
  close(): void;
}

/** The servers of one cache. */
export interface CacheServers {
  /** The one that has this key; undefined while none is known. */
  serverOf(key: string): CacheServer | undefined;
  /** All of them: servers that come and go move keys. None while none is known. */
  all(): CacheServer[];
  close(): void;
}

/** Of a call where the configuration says 0; as Tempo's for memcached. */
export const CACHE_TIMEOUT_MS = 100;
