/**
 * A bucket: objects by key, as S3, Google, Azure, a folder and memory all have them. One suite of tests
 * (tests/contract/bucket.ts) is run over every implementation, and everything else is a wrapper of this interface.
 *
 * Keys are relative paths with `/` between their parts, without empty parts, `.` or `..`. What is stored is seen by every
 * later `get`, `range` and `list` of anybody; an object is there whole or not at all. Every function may throw VivaceError
 * - `not-found`: there is no object with this key (the bucket itself missing is `unavailable`),
 * - `precondition`: somebody else was first,
 * - `too-large`: more bytes than the caller allows; no more than those were read,
 * - `cancelled`: the signal was aborted,
 * - `unavailable`: anything else that may be over later: no answer, slowness, refused credentials.
 */
import { messageOf, VivaceError } from '../runtime/errors.ts';

export interface Bucket {
  /** For logs and errors: `S3 bucket traces`. */
  readonly name: string;
  /** Objects above this size go by `multipart`, in parts of this size. */
  readonly partBytes: number;
  /** The whole object. The bytes are the caller's. */
  get(key: string, options: GetOptions): Promise<StoredObject>;
  /** Exactly `length` bytes from `offset`; an object that ends before is `unavailable`, since ours do not change. */
  range(key: string, offset: number, length: number, options?: CallOptions): Promise<Uint8Array<ArrayBuffer>>;
  /** Returns the version. The bytes may be used again afterwards. */
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<string>;
  /** Stores a large object from its parts in order, all but the last of `partBytes`. They are read until it is done. */
  multipart(key: string, parts: AsyncIterable<Uint8Array>, options?: MultipartOptions): Promise<void>;
  /** Objects whose key begins with `prefix`, in ascending order of their keys' bytes. */
  list(prefix: string, options?: ListOptions): AsyncIterable<ListedObject>;
  /** Names of the folders directly below `prefix`, which ends with `/` or is empty. */
  folders(prefix: string, options?: CallOptions): Promise<string[]>;
  /**
   * Large objects below `prefix` whose upload was begun and not ended: they take space, and no list has them. A store that cannot
   * say so, or ends them itself, lacks this.
   */
  uploads?(prefix: string, options?: CallOptions): AsyncIterable<UnfinishedUpload>;
  /** Ends one, and frees its space; whoever is at it fails. What is not there counts as ended. */
  abortUpload?(upload: UnfinishedUpload, options?: CallOptions): Promise<void>;
  /** What is not there counts as deleted. */
  delete(key: string, options?: CallOptions): Promise<void>;
  close(): void;
}

export interface CallOptions {
  signal?: AbortSignal;
}
export interface GetOptions extends CallOptions {
  bytesMax: number;
}
export interface PutOptions extends CallOptions {
  /** `absent`: there must be no such object. Otherwise the version that must be there. */
  only?: 'absent' | { version: string };
}
export interface MultipartOptions extends CallOptions {
  /** An earlier attempt may have been killed: what it left is removed. */
  again?: boolean;
  /** Told of each part that is stored: its memory may be used again. Not every store tells. */
  sent?: (part: Uint8Array) => void;
}
export interface ListOptions extends CallOptions {
  /** First key wanted. */
  from?: string;
  /** First key not wanted any more. */
  to?: string;
}
export interface StoredObject {
  bytes: Uint8Array<ArrayBuffer>;
  /** Changes with the object's bytes; only good for `put`. */
  version: string;
}
export interface UnfinishedUpload {
  key: string;
  /** Of several uploads of one key. */
  id: string;
  startedMs: number;
}
export interface ListedObject {
  key: string;
  bytes: number;
  modifiedMs: number;
}

export type BucketFailure = 'not-found' | 'precondition' | 'unavailable' | 'cancelled' | 'too-large';

/** `cannot read a/b of S3 bucket traces: reason`. */
export function bucketError(code: BucketFailure, action: string, bucket: string, cause: unknown): VivaceError {
  const reason = typeof cause === 'string' ? cause : messageOf(cause);
  const what = action === 'list ' ? 'list the objects' : action;
  return new VivaceError(code, `cannot ${what} of ${bucket}: ${reason}`, { cause });
}

/** Whether an error says that the object is not there. */
export function isNotFound(error: unknown): boolean {
  return error instanceof VivaceError && error.code === 'not-found';
}

/** Whether an error says that the bucket did not do it, and may later. */
export function isUnavailable(error: unknown): error is VivaceError {
  return error instanceof VivaceError && error.code === 'unavailable';
}

/** Whether an error says that somebody else was first. */
export function isPrecondition(error: unknown): boolean {
  return error instanceof VivaceError && error.code === 'precondition';
}

/** Refuses keys that would leave their folder. */
export function checkKey(key: string): void {
  if (!/^[^/]+(?:\/[^/]+)*$/.test(key) || /(?:^|\/)\.{1,2}(?:\/|$)/.test(key) || key.includes('\0'))
    throw new VivaceError('invalid', `cannot use ${JSON.stringify(key)} as the key of an object`);
}
