/**
 * Listings of a bucket that lag behind puts and deletions, as object stores had them that were only eventually consistent: each
 * change is seen by listings after a time of its own, so one of two changes may be seen without the other, whichever came first.
 * Everything that changes the bucket must come by here. Reads of objects do not lag.
 */
import type http from 'node:http';

export interface LaggingLists {
  /** The server has answered a request that may have changed what there is. */
  note(request: http.IncomingMessage, status: number): void;
  /** The answer to a request, if that asks for a list of objects. */
  answer(request: http.IncomingMessage): string | undefined;
}

interface Change {
  seenMs: number;
  modifiedMs: number;
  /** undefined: it has been deleted. */
  bytes: number | undefined;
}

export function laggingLists(lagMs: number, random: () => number): LaggingLists {
  /** By key of the object, in the order in which they happened. */
  const changes = new Map<string, Change[]>();
  /** Bytes of the parts of uploads that are not complete. */
  const uploads = new Map<string, number>();

  const note = (key: string, bytes: number | undefined): void => {
    const all = changes.get(key) ?? [];
    const modifiedMs = Date.now();
    // Nobody sees the older one of two changes of an object after the newer one.
    const seenMs = Math.max(modifiedMs + random() * lagMs, all.at(-1)?.seenMs ?? 0);
    changes.set(key, [...all, { seenMs, modifiedMs, bytes }]);
  };

  return {
    note({ method, url = '', headers }, status) {
      if (status >= 300) return;
      const { pathname, searchParams } = new URL(url, 'http://bucket');
      const key = decodeURIComponent(pathname);
      const upload = searchParams.get('uploadId');
      const bytes = Number(headers['content-length'] ?? 0);
      if (upload === null) {
        if (method === 'PUT') note(key, bytes);
        if (method === 'DELETE') note(key, undefined);
      } else if (method === 'PUT') uploads.set(upload, (uploads.get(upload) ?? 0) + bytes);
      else if (method === 'POST') note(key, uploads.get(upload) ?? 0);
    },
    answer({ method, url = '' }) {
      const { pathname, searchParams } = new URL(url, 'http://bucket');
      if (method !== 'GET' || searchParams.get('list-type') !== '2') return undefined;
      const bucket = `${pathname.replace(/\/$/, '')}/`;
      const prefix = searchParams.get('prefix') ?? '';
      const after = searchParams.get('start-after') ?? '';
      const delimiter = searchParams.get('delimiter');
      const nowMs = Date.now();
      const contents: string[] = [];
      const folders = new Set<string>();
      for (const path of [...changes.keys()].sort()) {
        const key = path.slice(bucket.length);
        if (!path.startsWith(bucket) || !key.startsWith(prefix) || key <= after) continue;
        const seen = changes.get(path)?.findLast(({ seenMs }) => seenMs <= nowMs);
        if (seen?.bytes === undefined) continue;
        const end = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length);
        if (end >= 0) folders.add(key.slice(0, end + 1));
        else
          contents.push(
            `<Contents><Key>${key}</Key><LastModified>${new Date(seen.modifiedMs).toISOString()}</LastModified><Size>${seen.bytes}</Size></Contents>`,
          );
      }
      const common = [...folders].map((each) => `<CommonPrefixes><Prefix>${each}</Prefix></CommonPrefixes>`);
      return `<?xml version="1.0"?><ListBucketResult><Prefix>${prefix}</Prefix><IsTruncated>false</IsTruncated>${contents.join('')}${common.join('')}</ListBucketResult>`;
    },
  };
}
