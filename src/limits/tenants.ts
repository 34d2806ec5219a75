/**
 * What each tenant may do. Four layers, and whatever one of them leaves out is taken from the next:
 *
 *   set through the API  >  entry of the tenant in the file  >  entry "*" of the file  >  overrides.defaults
 *
 * (Tempo takes the first layer that exists whole, so that a forgotten key becomes zero.) The file is read again while the
 * process runs; one that cannot be read or is wrong leaves everything as it was.
 */
import { parseOverridesFile, type SaidLimits, type TenantLimits, withSaid } from '../config/overrides-file.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { reloader } from './reload.ts';

export interface TenantsOptions {
  defaults: TenantLimits;
  /** The text of the file, placeholders filled in; undefined when none is configured. Throws what reading throws. */
  readFile?: () => string;
  /** Told of every reading after the first that changed something or failed; `error` says why. */
  onReload?(error?: string): void;
}

const NOTHING: SaidLimits = new Map();

export class Tenants {
  /** Reads the file again. Never throws: what is wrong is told to `onReload`, once for each different reason. */
  readonly reload: () => void;
  readonly #options: TenantsOptions;
  #text: string | undefined;
  #said: ReadonlyMap<string, SaidLimits> = new Map();
  readonly #byApi = new Map<string, SaidLimits>();
  #base: TenantLimits;
  #limits = new Map<string, TenantLimits>();
  readonly #listeners: (() => void)[] = [];

  /** Reads the file. Throws `invalid` when that fails: a process must not start with other limits than it was told. */
  constructor(options: TenantsOptions) {
    this.#options = options;
    this.reload = reloader(() => this.#read(), options);
    this.#base = options.defaults;
    try {
      this.#read();
    } catch (error) {
      throw new VivaceError('invalid', `cannot read the limits of tenants: ${messageOf(error)}`, { cause: error });
    }
  }

  /** The same object as long as the tenant's limits are the same. */
  of(tenant: string): TenantLimits {
    const known = this.#limits.get(tenant);
    if (known !== undefined) return known;
    const said = this.#said.get(tenant);
    const byApi = this.#byApi.get(tenant);
    if (said === undefined && byApi === undefined) return this.#base;
    const limits = withSaid(withSaid(this.#base, said ?? NOTHING), byApi ?? NOTHING);
    this.#limits.set(tenant, limits);
    return limits;
  }

  /** Of tenants that nothing was said about. */
  get base(): TenantLimits {
    return this.#base;
  }

  /** What the file says, by tenant. */
  get said(): ReadonlyMap<string, SaidLimits> {
    return this.#said;
  }

  /** What tenants have set through the API now; undefined for those that have nothing set any more. */
  setByApi(changes: Iterable<readonly [tenant: string, said: SaidLimits | undefined]>): void {
    let changed = false;
    for (const [tenant, said] of changes) {
      if (said === undefined) changed = this.#byApi.delete(tenant) || changed;
      else {
        this.#byApi.set(tenant, said);
        changed = true;
      }
      this.#limits.delete(tenant);
    }
    if (changed) for (const listener of this.#listeners) listener();
  }

  tenantsByApi(): string[] {
    return [...this.#byApi.keys()];
  }

  /** Called after the limits of any tenant have changed. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Whether anything has changed. */
  #read(): boolean {
    const text = this.#options.readFile?.();
    if (text === undefined || text === this.#text) return false;
    const said = parseOverridesFile(text);
    this.#text = text;
    this.#said = said;
    this.#base = withSaid(this.#options.defaults, said.get('*') ?? NOTHING);
    this.#limits = new Map();
    for (const listener of this.#listeners) listener();
    return true;
  }
}
