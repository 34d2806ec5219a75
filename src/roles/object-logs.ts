/**
 * The writer thread's logs in the bucket (`ingester.ack: storage`): its own, and those of dead processes, which it takes over,
 * replays into live columns and puts away when what they held is in blocks of the bucket.
 */
import type { LiveStore } from '../cut/live-store.ts';
import { ObjectLog, UploadsAwaited } from '../log/object-log.ts';
import { removeObjectLog, sayAlive, type TakenLog, takeOverObjectLogs } from '../log/object-ownership.ts';
import { replayCommit } from '../log/replay.ts';
import { messageOf } from '../runtime/errors.ts';
import { isPrecondition } from '../store/bucket.ts';
import type { AskedLogObjects } from './log-objects.ts';

export interface ObjectLogsOptions {
  objects: AskedLogObjects;
  instance: string;
  /** Makes a store for the spans of a dead process; `cut` hears of its blocks. */
  openStore: (instance: string, cut: (block: string) => void) => LiveStore;
  /** All of it is in blocks. */
  dropStore: (store: LiveStore) => void;
  /** Up to which number of that log the tenant's records are in blocks that this process knows. */
  cutTo: (tenant: string, instance: string) => number;
  log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, string | number>) => void;
}

/** Requests wait at most so long for others to be stored with. */
const GROUP_MS = 500;
const START_RETRY_MS = 1000;
/** The same trouble is told again after this. */
const TELL_MS = 60_000;

export class ObjectLogs {
  /** Of this process. */
  readonly log: ObjectLog;
  readonly #options: ObjectLogsOptions;
  #version: string;
  /** Blocks that the bucket must have before something goes from a log. */
  readonly #awaited = new Set<{ uploaded(block: string): void }>();
  /** Logs that are being replayed. */
  readonly #held = new Set<string>();

  private constructor(options: ObjectLogsOptions, version: string) {
    this.#options = options;
    this.#version = version;
    const { objects, instance } = options;
    const onProblem = (message: string): void => options.log('warn', message, {});
    this.log = new ObjectLog({ objects, instance, groupMs: GROUP_MS, nowMs: Date.now, onProblem });
    this.#awaited.add(this.log);
  }

  /** Resolves when the bucket can be written to: before, nothing can be taken. */
  static async open(options: ObjectLogsOptions): Promise<ObjectLogs> {
    let told = '';
    let toldMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      try {
        const version = await sayAlive(options.objects, options.instance, undefined);
        return new ObjectLogs(options, version);
      } catch (error) {
        const message = messageOf(error);
        if (message !== told || performance.now() - toldMs >= TELL_MS) {
          options.log('error', `cannot take spans yet, trying again: ${message}`, {});
          told = message;
          toldMs = performance.now();
        }
        await new Promise((resolve) => setTimeout(resolve, START_RETRY_MS));
      }
    }
  }

  /** The bucket has this block. */
  uploaded(block: string): void {
    for (const log of this.#awaited) log.uploaded(block);
  }

  /** To be called every OWNER_MS. Rejects when the process must end, because its log is another one's now. */
  async tick(): Promise<void> {
    try {
      this.#version = await sayAlive(this.#options.objects, this.#options.instance, this.#version);
    } catch (error) {
      if (isPrecondition(error)) throw error;
      this.#options.log('warn', messageOf(error), {});
      return;
    }
    await this.takeOver();
  }

  /** Takes over the logs of the dead; their spans can be found when this resolves, and go to blocks in the background. */
  async takeOver(): Promise<void> {
    const { objects, instance: own, log } = this.#options;
    try {
      for (const taken of await takeOverObjectLogs(objects, own, this.#held)) await this.#replay(taken);
    } catch (error) {
      log('warn', `cannot take over what dead processes left in the bucket, trying again: ${messageOf(error)}`, {});
    }
  }

  async #replay(taken: TakenLog): Promise<void> {
    const { instance, names } = taken;
    const { openStore, log } = this.#options;
    const uploads = new UploadsAwaited();
    this.#awaited.add(uploads);
    this.#held.add(instance);
    const store = openStore(instance, (block) => uploads.cut(block));
    let whole = false;
    try {
      const spans = await this.#read(taken, store);
      whole = true;
      log('info', 'a dead process left spans in the bucket', { instance, objects: names.length, spans });
    } finally {
      // What was read before a failure is cut, too, so that it is not read twice.
      void this.#putAway(taken, store, uploads, whole);
    }
  }

  async #read({ instance, names }: TakenLog, store: LiveStore): Promise<number> {
    const { objects, cutTo, log } = this.#options;
    const known = new Map<string, number>();
    let spans = 0;
    for (const name of names) {
      const { bytes } = await objects.get(name);
      const damage = await replayCommit(bytes, async ({ tenant, sequence, body }) => {
        let to = known.get(tenant);
        if (to === undefined) {
          // Another process may have taken this log before, and have come so far.
          await objects.refresh(tenant);
          to = cutTo(tenant, instance);
          known.set(tenant, to);
        }
        if (sequence <= to) return;
        try {
          spans += (await store.replay(tenant, body, sequence)).spans;
        } catch (error) {
          log('warn', `a record of ${name} holds no valid request and was skipped: ${messageOf(error)}`, {});
        }
      });
      for (const line of damage) log('warn', `${name}: ${line}`, {});
    }
    return spans;
  }

  async #putAway(taken: TakenLog, store: LiveStore, uploads: UploadsAwaited, whole: boolean): Promise<void> {
    const { objects, dropStore, log } = this.#options;
    try {
      if (!(await store.close())) throw new Error('its spans cannot be cut and stay in memory');
      dropStore(store);
      await uploads.allOfNow();
      if (whole) await removeObjectLog(objects, taken);
    } catch (error) {
      log('error', `cannot put away the log ${taken.instance} of a dead process: ${messageOf(error)}`, {});
    } finally {
      this.#awaited.delete(uploads);
      this.#held.delete(taken.instance);
    }
  }
}
