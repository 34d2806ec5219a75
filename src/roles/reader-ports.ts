/** The writer thread's side of the reader threads: leases of what is there now, and word of what they are to forget. */
import type { MessagePort } from 'node:worker_threads';
import type { BlockCatalog } from '../block/catalog.ts';
import type { LogPlace } from '../block/meta.ts';
import type { LiveSnapshot } from '../cut/layout.ts';
import type { LiveStore } from '../cut/live-store.ts';
import type { PackSnapshot } from '../cut/packs.ts';
import type { HeldBytes } from './held-bytes.ts';
import type { LeaseAnswer, ReaderAsks, ToReaderPort } from './writer-messages.ts';

export class ReaderPorts {
  readonly #catalog: BlockCatalog;
  readonly #stores: () => readonly LiveStore[];
  readonly #ports = new Set<MessagePort>();
  readonly #leases = new Map<number, { store: LiveStore; lease: number }[]>();
  readonly #forgetting = new Map<number, () => void>();
  /** Numbers leases and what is to be forgotten. */
  #next = 1;

  readonly #held: HeldBytes;

  constructor(catalog: BlockCatalog, stores: () => readonly LiveStore[], held: HeldBytes) {
    this.#catalog = catalog;
    this.#stores = stores;
    this.#held = held;
  }

  serve(port: MessagePort): void {
    this.#ports.add(port);
    port.on('close', () => this.#ports.delete(port));
    port.on('message', (message: ReaderAsks) => {
      switch (message.type) {
        case 'forgot':
          this.#forgetting.get(message.id)?.();
          this.#forgetting.delete(message.id);
          break;
        case 'release':
          for (const { store, lease } of this.#leases.get(message.lease) ?? []) store.release(lease);
          this.#leases.delete(message.lease);
          this.#tellHeld();
          break;
        case 'lease':
          port.postMessage(this.#lease(message));
          this.#tellHeld();
      }
    });
  }

  /** Resolves when no reader thread keeps anything of the blocks, nor works on a query that began before. */
  async forget(blocks: string[]): Promise<void> {
    await Promise.all(
      [...this.#ports].map(
        (port) =>
          new Promise<void>((resolve) => {
            const id = this.#next++;
            this.#forgetting.set(id, resolve);
            port.postMessage({ type: 'forget', id, blocks } satisfies ToReaderPort);
          }),
      ),
    );
  }

  #tellHeld(): void {
    this.#held.tell(
      0,
      this.#stores().reduce((sum, { leftBytes }) => sum + leftBytes, 0),
    );
  }

  #lease({ id, tenant, knownVersion, liveOnly }: ReaderAsks & { type: 'lease' }): LeaseAnswer {
    const catalog = this.#catalog;
    const lease = this.#next++;
    const held: { store: LiveStore; lease: number }[] = [];
    const segments: LiveSnapshot[] = [];
    const packs: PackSnapshot[] = [];
    const from: LogPlace[] = [];
    for (const store of this.#stores()) {
      const taken = store.lease(tenant);
      held.push({ store, lease: taken.lease });
      segments.push(...taken.segments);
      packs.push(...taken.packs);
      if (taken.from !== undefined) from.push(taken.from);
    }
    this.#leases.set(lease, held);
    if (!liveOnly) catalog.refreshIfChanged(tenant);
    const current = knownVersion === catalog.version;
    return {
      type: 'lease',
      id,
      lease,
      takenMs: Date.now(),
      segments,
      packs,
      from,
      version: catalog.version,
      blocks: current ? undefined : catalog.blocks(tenant),
      deleted: current ? undefined : catalog.deleted(tenant).ids,
      damaged: current ? [] : catalog.damaged(tenant),
    };
  }
}
