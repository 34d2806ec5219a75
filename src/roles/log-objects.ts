/** The log's objects in the bucket (log/object-log.ts) as the writer thread has them: the bucket thread speaks to the bucket. */
import type { MessagePort } from 'node:worker_threads';
import { LOG_FOLDER, type LogObjects } from '../log/object-log.ts';
import { type ErrorCode, messageOf, VivaceError } from '../runtime/errors.ts';
import type { Bucket, ListedObject, PutOptions, StoredObject } from '../store/bucket.ts';

export type LogQuestion =
  | { type: 'put'; id: number; name: string; bytes: Uint8Array<ArrayBuffer>; only: PutOptions['only'] }
  | { type: 'get' | 'list' | 'delete'; id: number; name: string }
  /** Which blocks of the tenant are there is asked of the bucket now. */
  | { type: 'refresh'; id: number; tenant: string };

export type LogAnswer =
  | { type: 'answer'; id: number; value: string | StoredObject | ListedObject[] | undefined }
  | { type: 'answer'; id: number; code: ErrorCode; message: string };

/** A write that takes longer is refused: senders try again, and what waits for them must not pile up. */
const CALL_MS_MAX = 15_000;
const OBJECT_BYTES_MAX = 512 * 1024 * 1024;

/** Answers one question of the writer thread. */
export async function answerLogQuestion(
  bucket: Bucket,
  refresh: (tenant: string) => Promise<void>,
  question: LogQuestion,
): Promise<LogAnswer> {
  try {
    return { type: 'answer', id: question.id, value: await answerOf(bucket, refresh, question) };
  } catch (error) {
    const code = error instanceof VivaceError ? error.code : 'internal';
    return { type: 'answer', id: question.id, code, message: messageOf(error) };
  }
}

async function answerOf(
  bucket: Bucket,
  refresh: (tenant: string) => Promise<void>,
  question: LogQuestion,
): Promise<string | StoredObject | ListedObject[] | undefined> {
  const signal = AbortSignal.timeout(CALL_MS_MAX);
  if (question.type === 'refresh') {
    await refresh(question.tenant);
    return undefined;
  }
  const key = `${LOG_FOLDER}/${question.name}`;
  switch (question.type) {
    case 'put':
      return await bucket.put(key, question.bytes, { signal, only: question.only });
    case 'get':
      return await bucket.get(key, { signal, bytesMax: OBJECT_BYTES_MAX });
    case 'delete':
      await bucket.delete(key, { signal });
      return undefined;
    case 'list': {
      const all: ListedObject[] = [];
      for await (const object of bucket.list(key, { signal }))
        all.push({ ...object, key: object.key.slice(LOG_FOLDER.length + 1) });
      return all;
    }
  }
}

export interface AskedLogObjects extends LogObjects {
  /** Resolves when the writer thread has been told which blocks of the tenant the bucket has now. */
  refresh(tenant: string): Promise<void>;
  /** Takes in an answer that came over the port. */
  onAnswer(answer: LogAnswer): void;
}

/** Asks over the port to the bucket thread. */
export function askLogObjects(port: MessagePort): AskedLogObjects {
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let next = 1;
  const ask = (question: (id: number) => LogQuestion, transfer: ArrayBuffer[] = []): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = next++;
      waiting.set(id, { resolve, reject });
      port.postMessage(question(id), transfer);
    });
  return {
    put: async (name, bytes, only) =>
      (await ask((id) => ({ type: 'put', id, name, bytes, only }), [bytes.buffer])) as string,
    get: async (name) => (await ask((id) => ({ type: 'get', id, name }))) as StoredObject,
    list: async (name) => (await ask((id) => ({ type: 'list', id, name }))) as ListedObject[],
    async delete(name) {
      await ask((id) => ({ type: 'delete', id, name }));
    },
    async refresh(tenant) {
      await ask((id) => ({ type: 'refresh', id, tenant }));
    },
    onAnswer(answer) {
      const asked = waiting.get(answer.id);
      waiting.delete(answer.id);
      if ('code' in answer) asked?.reject(new VivaceError(answer.code, answer.message));
      else asked?.resolve(answer.value);
    },
  };
}
