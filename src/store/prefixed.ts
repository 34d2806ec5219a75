/** A part of a bucket as a bucket: everything below `prefix`, whose slashes at the ends do not matter. */
import type { Bucket } from './bucket.ts';

export function prefixed(bucket: Bucket, prefix: string): Bucket {
  const before = prefix.replace(/^\/+|\/+$/g, '');
  if (before === '') return bucket;
  const root = `${before}/`;
  return {
    name: `${bucket.name}, prefix ${before}`,
    partBytes: bucket.partBytes,
    get: (key, options) => bucket.get(root + key, options),
    range: (key, offset, length, options) => bucket.range(root + key, offset, length, options),
    put: (key, bytes, options) => bucket.put(root + key, bytes, options),
    multipart: (key, parts, options) => bucket.multipart(root + key, parts, options),
    async *list(keys, options) {
      const { from, to } = options ?? {};
      for await (const object of bucket.list(root + keys, {
        ...options,
        ...(from !== undefined && { from: root + from }),
        ...(to !== undefined && { to: root + to }),
      }))
        yield { ...object, key: object.key.slice(root.length) };
    },
    folders: (below, options) => bucket.folders(root + below, options),
    ...(bucket.uploads !== undefined && {
      async *uploads(keys, options) {
        for await (const upload of bucket.uploads!(root + keys, options))
          yield { ...upload, key: upload.key.slice(root.length) };
      },
      abortUpload: (upload, options) => bucket.abortUpload!({ ...upload, key: root + upload.key }, options),
    }),
    delete: (key, options) => bucket.delete(root + key, options),
    close: () => bucket.close(),
  };
}
