/** A bucket in memory, for tests of what stands on buckets. */
import { type Bucket, bucketError, checkKey, type ListedObject } from './bucket.ts';

export function memoryBucket(nowMs: () => number = Date.now): Bucket {
  const name = 'bucket in memory';
  const objects = new Map<string, { bytes: Uint8Array; version: string; modifiedMs: number }>();
  let versions = 0;
  const of = (key: string, signal: AbortSignal | undefined) => {
    if (signal?.aborted) throw bucketError('cancelled', `read ${key}`, name, 'nobody waits for it');
    const object = objects.get(key);
    if (object === undefined) throw bucketError('not-found', `read ${key}`, name, 'there is no such object');
    return object;
  };
  const below = (prefix: string): ListedObject[] =>
    [...objects]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, object]) => ({ key, bytes: object.bytes.length, modifiedMs: object.modifiedMs }))
      .sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
  const store = (key: string, bytes: Uint8Array): string => {
    const version = `${++versions}`;
    objects.set(key, { bytes, version, modifiedMs: nowMs() });
    return version;
  };
  return {
    name,
    partBytes: 1 << 20,
    async get(key, { bytesMax, signal }) {
      const { bytes, version } = of(key, signal);
      if (bytes.length > bytesMax)
        throw bucketError('too-large', `read ${key}`, name, `it has more than ${bytesMax} bytes`);
      return { bytes: new Uint8Array(bytes), version };
    },
    async range(key, offset, length, options) {
      const { bytes } = of(key, options?.signal);
      if (offset + length > bytes.length)
        throw bucketError('unavailable', `read ${key}`, name, `it ends at byte ${bytes.length}`);
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
    async put(key, bytes, options) {
      checkKey(key);
      if (options?.signal?.aborted) throw bucketError('cancelled', `write ${key}`, name, 'nobody waits for it');
      const there = objects.get(key)?.version;
      const { only } = options ?? {};
      if (only !== undefined && there !== (only === 'absent' ? undefined : only.version))
        throw bucketError('precondition', `write ${key}`, name, 'somebody else was first');
      return store(key, new Uint8Array(bytes));
    },
    async multipart(key, parts, options) {
      checkKey(key);
      const all: Uint8Array[] = [];
      for await (const part of parts) {
        if (options?.signal?.aborted) throw bucketError('cancelled', `write ${key}`, name, 'nobody waits for it');
        all.push(new Uint8Array(part));
      }
      store(key, Buffer.concat(all));
    },
    async *list(prefix, options) {
      for (const object of below(prefix)) {
        if (options?.from !== undefined && object.key < options.from) continue;
        if (options?.to !== undefined && object.key >= options.to) return;
        if (options?.signal?.aborted) throw bucketError('cancelled', `list ${prefix}`, name, 'nobody waits for it');
        yield object;
      }
    },
    async folders(prefix) {
      const names = below(prefix)
        .map(({ key }) => key.slice(prefix.length).split('/'))
        .filter((parts) => parts.length > 1);
      return [...new Set(names.map((parts) => parts[0]))];
    },
    async delete(key) {
      objects.delete(key);
    },
    close() {},
  };
}
