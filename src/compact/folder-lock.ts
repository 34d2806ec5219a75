/**
 * Lets one process at a time work in a folder: a file with the name of its owner, who touches it as long as he works. A file
 * that nobody has touched for a while is taken away; its owner finds out when he checks, before what he does becomes visible.
 */
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';

/** In a folder of blocks: one process at a time merges there. */
export const LOCK_FILE = '.compacting';

export class FolderLock {
  readonly #file: string;
  readonly #owner: string;
  readonly #timer: NodeJS.Timeout;

  /** undefined: somebody else has it. */
  static async take(file: string, leaseMs: number): Promise<FolderLock | undefined> {
    const owner = randomUUID();
    const own = `${file}.${owner}`;
    try {
      await fs.promises.writeFile(own, owner);
      for (let attempt = 0; attempt < 2; attempt++) {
        try {
          // With its content at once, and only if there is none.
          await fs.promises.link(own, file);
          return new FolderLock(file, owner, leaseMs);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
        const touchedMs = (await fs.promises.stat(file).catch(() => undefined))?.mtimeMs;
        if (touchedMs !== undefined && Math.abs(Date.now() - touchedMs) < leaseMs) return undefined;
        await fs.promises.rm(file, { force: true });
      }
      return undefined;
    } finally {
      await fs.promises.rm(own, { force: true });
    }
  }

  private constructor(file: string, owner: string, leaseMs: number) {
    this.#file = file;
    this.#owner = owner;
    this.#timer = setInterval(() => void this.#touch(), leaseMs / 4);
    this.#timer.unref();
  }

  /** Throws when somebody else has taken the lock. */
  async check(): Promise<void> {
    if (!(await this.#isOurs())) throw new Error(`another process has taken ${this.#file}`);
    await this.#touch();
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    if (await this.#isOurs()) await fs.promises.rm(this.#file, { force: true });
  }

  async #isOurs(): Promise<boolean> {
    return (await fs.promises.readFile(this.#file, 'utf8').catch(() => '')) === this.#owner;
  }

  async #touch(): Promise<void> {
    if (!(await this.#isOurs())) return;
    const now = new Date();
    await fs.promises.utimes(this.#file, now, now).catch(() => {});
  }
}
