/**
 * Whose log in the bucket is whose: a process writes its `owner` object anew every 15 seconds; after a minute of silence
 * another one may take the log over. Only the bucket's own clock is compared (its times of writing, those of our `owner` with
 * those of others), so machines whose clocks differ do not take logs from the living.
 */
import os from 'node:os';
import type { ListedObject } from '../store/bucket.ts';
import { isNotFound, isPrecondition } from '../store/bucket.ts';
import { VivaceError } from '../runtime/errors.ts';
import type { LogObjects } from './object-log.ts';

export const OWNER_MS = 15_000;
const DEAD_MS = 60_000;

/**
 * Says that this process lives; `version` is what the last call returned. Throws VivaceError 'precondition' when another
 * process has taken its log over meanwhile.
 */
export async function sayAlive(objects: LogObjects, instance: string, version: string | undefined): Promise<string> {
  const name = `${instance}/owner`;
  const body = bytesOf({ host: os.hostname(), pid: process.pid });
  let now: string;
  try {
    now = await objects.put(name, body, version === undefined ? 'absent' : { version });
  } catch (error) {
    // A version that is wanted of an object that is gone is one error with some servers, and the other one with others.
    if (!isPrecondition(error) && !isNotFound(error)) throw error;
    // Nobody else writes it: either it was written and the answer was lost, or it has been removed.
    now = await objects.get(name).then(
      (owner) => owner.version,
      (missing: unknown) => {
        throw isNotFound(missing) ? takenOver(instance) : missing;
      },
    );
  }
  if ((await objects.list(`${instance}/`)).some(({ key }) => key === `${instance}/taken`)) throw takenOver(instance);
  return now;
}

function takenOver(instance: string): VivaceError {
  return new VivaceError(
    'precondition',
    `the log ${instance} in the bucket was taken over by another process, because this one had not been able to write to the bucket for a minute; start it again`,
  );
}

export interface TakenLog {
  instance: string;
  /** Its objects in the order in which they were written. */
  names: string[];
}

/** Takes over the logs of the dead but those in `held`. Of several processes that try, the bucket lets one succeed. */
export async function takeOverObjectLogs(
  objects: LogObjects,
  own: string,
  held: ReadonlySet<string>,
): Promise<TakenLog[]> {
  const logs = Map.groupBy(await objects.list(''), ({ key }) => key.slice(0, key.indexOf('/')));
  const nowMs = modifiedMs(logs.get(own), 'owner');
  if (nowMs === undefined) return [];
  const isDead = (instance: string): boolean => {
    const listed = logs.get(instance) ?? [];
    const lastMs = modifiedMs(listed, 'owner') ?? Math.max(0, ...listed.map((object) => object.modifiedMs));
    return nowMs - lastMs > DEAD_MS;
  };
  const taken: TakenLog[] = [];
  for (const instance of logs.keys()) {
    if (instance === own || held.has(instance) || !isDead(instance)) continue;
    if (!(await claim(objects, instance, own, isDead))) continue;
    const names = (await objects.list(`${instance}/`)).map(({ key }) => key).filter((key) => key.endsWith('.log'));
    taken.push({ instance, names: names.sort() });
  }
  return taken;
}

/** Removes a log whose objects are all gone. */
export async function removeObjectLog(objects: LogObjects, { instance, names }: TakenLog): Promise<void> {
  for (const name of names) await objects.delete(name);
  const left = (await objects.list(`${instance}/`)).filter(({ key }) => key.endsWith('.log'));
  await objects.delete(`${instance}/taken`);
  // What its process has written after all is taken over like any other log.
  if (left.length === 0) await objects.delete(`${instance}/owner`);
}

async function claim(
  objects: LogObjects,
  instance: string,
  own: string,
  isDead: (instance: string) => boolean,
): Promise<boolean> {
  const name = `${instance}/taken`;
  try {
    await objects.put(name, bytesOf({ by: own }), 'absent');
    return true;
  } catch (error) {
    if (!isPrecondition(error)) throw error;
  }
  try {
    const { bytes, version } = await objects.get(name);
    const { by } = JSON.parse(new TextDecoder().decode(bytes)) as { by: string };
    if (by === own) return true;
    if (!isDead(by)) return false;
    await objects.put(name, bytesOf({ by: own }), { version });
    return true;
  } catch (error) {
    if (isPrecondition(error) || isNotFound(error)) return false;
    throw error;
  }
}

function modifiedMs(listed: readonly ListedObject[] | undefined, name: string): number | undefined {
  return listed?.find(({ key }) => key.endsWith(`/${name}`))?.modifiedMs;
}

function bytesOf(value: unknown): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(JSON.stringify(value)));
}
