/**
 * Documents of tenants in a bucket, `overrides/<tenant>/overrides.json`, read now and again, and changed one version after the
 * other: who changes a version that is not the newest is told so (`precondition`).
 */
import type { SaidLimits } from '../config/overrides-file.ts';
import { type Bucket, isNotFound } from '../store/bucket.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { mergePatch, parseDocument, renderDocument, renderEffective } from './user-document.ts';
import type { Tenants } from './tenants.ts';

export interface UserOverridesOptions {
  bucket: Bucket;
  tenants: Tenants;
  forwarders: readonly string[];
  /** Refuse what the file of tenants says, too. */
  checkConflicts: boolean;
  /** Told of every list of the tenants, and of every document that was read. */
  onList?(failed: boolean): void;
  onFetch?(tenant: string, error?: string): void;
}

export interface Versioned {
  document: string;
  version: string;
}

/** No document there yet, as a version. */
export const NONE = '0';
const DOCUMENT_BYTES_MAX = 1 << 18;
const PATCH_TRIES = 5;

export class UserOverrides {
  readonly #options: UserOverridesOptions;
  /** As they were read last. */
  readonly #versions = new Map<string, string>();
  #reading: Promise<void> | undefined;

  constructor(options: UserOverridesOptions) {
    this.#options = options;
  }

  /** What is stored; undefined when nothing is. */
  async get(tenant: string): Promise<Versioned | undefined> {
    try {
      const { bytes, version } = await this.#options.bucket.get(keyOf(tenant), { bytesMax: DOCUMENT_BYTES_MAX });
      return { document: Buffer.from(bytes).toString('utf8'), version };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Everything that holds for the tenant, as a document. */
  effective(tenant: string): string {
    return renderEffective(this.#options.tenants.of(tenant));
  }

  /** Replaces the version `NONE` or another; resolves with the new one. */
  async put(tenant: string, text: string, version: string, skipConflicts: boolean): Promise<Versioned> {
    const said = parseDocument(text, this.#options.forwarders);
    if (!skipConflicts) this.#refuseConflicts(tenant, said);
    const document = renderDocument(said);
    const only = version === NONE ? 'absent' : { version };
    const stored = await this.#options.bucket.put(keyOf(tenant), Buffer.from(document), { only });
    this.#know(tenant, stored, said);
    return { document, version: stored };
  }

  /** Merges a patch (RFC 7396) into the newest version, or into nothing. */
  async patch(tenant: string, text: string, skipConflicts: boolean): Promise<Versioned> {
    let patch: unknown;
    try {
      patch = JSON.parse(text);
    } catch (error) {
      throw new VivaceError('invalid', `the patch is no JSON: ${messageOf(error)}`);
    }
    for (let tries = 1; ; tries++) {
      const now = await this.get(tenant);
      const merged = JSON.stringify(mergePatch(now === undefined ? {} : JSON.parse(now.document), patch));
      try {
        return await this.put(tenant, merged, now?.version ?? NONE, skipConflicts);
      } catch (error) {
        const raced = error instanceof VivaceError && error.code === 'precondition';
        if (!raced || tries === PATCH_TRIES) throw error;
      }
    }
  }

  /** Between the look at the version and the deletion another may change it: buckets delete without conditions. */
  async delete(tenant: string, version: string): Promise<void> {
    const now = await this.get(tenant);
    if ((now?.version ?? NONE) !== version)
      throw new VivaceError('precondition', 'the limits have another version: read them again');
    await this.#options.bucket.delete(keyOf(tenant));
    this.#know(tenant, undefined, undefined);
  }

  /** Reads the documents of all tenants. Never rejects; one that cannot be read leaves what that tenant had. */
  refresh(): Promise<void> {
    this.#reading ??= this.#refresh().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #refresh(): Promise<void> {
    const { bucket, tenants, forwarders, onList, onFetch } = this.#options;
    let names: string[];
    try {
      names = await bucket.folders(FOLDER);
      onList?.(false);
    } catch {
      onList?.(true);
      return;
    }
    const there = new Set(names);
    const changes = new Map<string, SaidLimits | undefined>();
    for (const tenant of names) {
      try {
        const stored = await this.get(tenant);
        if (stored?.version !== this.#versions.get(tenant))
          changes.set(tenant, stored && parseDocument(stored.document, forwarders));
        if (stored !== undefined) this.#versions.set(tenant, stored.version);
        onFetch?.(tenant);
      } catch (error) {
        onFetch?.(tenant, messageOf(error));
      }
    }
    for (const tenant of tenants.tenantsByApi())
      if (!there.has(tenant)) {
        changes.set(tenant, undefined);
        this.#versions.delete(tenant);
      }
    tenants.setByApi(changes);
  }

  #know(tenant: string, version: string | undefined, said: SaidLimits | undefined): void {
    if (version === undefined) this.#versions.delete(tenant);
    else this.#versions.set(tenant, version);
    this.#options.tenants.setByApi([[tenant, said]]);
  }

  #refuseConflicts(tenant: string, said: ReadonlyMap<string, unknown>): void {
    if (!this.#options.checkConflicts) return;
    const file = this.#options.tenants.said.get(tenant);
    const both = [...said.keys()].filter((path) => file?.has(path));
    if (both.length > 0)
      throw new VivaceError(
        'invalid',
        `the operator's limits set ${both.join(', ')}, too: leave them out, or add skip-conflicting-overrides-check=true`,
      );
  }
}

const FOLDER = 'overrides/';

function keyOf(tenant: string): string {
  return `${FOLDER}${tenant}/overrides.json`;
}
