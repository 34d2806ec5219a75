/**
 * Who may do what: the file of `vivace.auth_file`, and the check of an `Authorization` header against it.
 *
 *   Bearer <token>   SHA-256 of the token; enough for tokens of high entropy, and fast
 *   Basic <name:pw>  scrypt, slow on purpose: few at a time, and what was right once is remembered (under a key of this process)
 *
 * Nothing here keeps, prints or compares a secret itself, and comparing takes the same time wherever texts differ.
 */
import { createHash, createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { decodeSection, type Decoding, defaultsOf } from '../config/decode.ts';
import { list, type Resolved, secret, section, text, texts } from '../config/setting.ts';
import { parseYaml } from '../config/yaml.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import { reloader } from './reload.ts';

/** `admin` and `metrics` do not include the others, nor do they include one another's. */
export type Role = 'write' | 'read' | 'metrics' | 'admin';

export interface Caller {
  /** For logs. */
  name: string;
  roles: ReadonlySet<Role>;
  /** Whose data; `all` for `*`. */
  tenants: ReadonlySet<string> | 'all';
  /** TraceQL, ANDed into every query; undefined for none. */
  filter: string | undefined;
}

const ROLES: readonly Role[] = ['write', 'read', 'metrics', 'admin'];
const TRIES_MAX = 2;
const WAITING_MAX = 32;
const REMEMBERED_MAX = 4096;

const credential = section('auth.Credential', {
  name: text('', 'for logs'),
  token_sha256: secret('SHA-256 of a bearer token, 64 hex digits'),
  username: text('', 'of basic authentication'),
  password_scrypt: secret('scrypt$N$r$p$salt$hash'),
  tenants: texts([], 'whose data; * is all'),
  roles: texts([], 'write, read, metrics, admin'),
  filter: text('', 'TraceQL filter, ANDed into every query'),
});
const file = section('auth.File', { credentials: list(credential, 'who may do what') });

interface Scrypt {
  cost: number;
  blockSize: number;
  parallelization: number;
  salt: Buffer;
  hash: Buffer;
}

interface Entries {
  tokens: { hash: Buffer; caller: Caller }[];
  users: Map<string, { scrypt: Scrypt; caller: Caller }>;
}

export interface CredentialsOptions {
  readFile(): string;
  /** Throws with the reason when a TraceQL filter cannot be ANDed into queries. */
  checkFilter(filter: string): void;
  /** Told of every reading after the first that changed something or failed. */
  onReload?(error?: string): void;
}

export class Credentials {
  /** Reads the file again. Never throws; callers that are gone from it are unknown from then on. */
  readonly reload: () => void;
  readonly #options: CredentialsOptions;
  readonly #key = randomBytes(32);
  #text: string | undefined;
  #entries: Entries = { tokens: [], users: new Map() };
  #remembered = new Map<string, Caller>();
  #tries = 0;
  readonly #waiting: (() => void)[] = [];

  /** Reads the file. Throws `invalid`. */
  constructor(options: CredentialsOptions) {
    this.#options = options;
    this.reload = reloader(() => this.#read(), options);
    try {
      this.#read();
    } catch (error) {
      throw new VivaceError('invalid', `cannot read vivace.auth_file: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Whose header it is. Throws or rejects with `unauthenticated`, or with `exhausted` when too many passwords are being tried. */
  callerOf(header: string | undefined): Caller | Promise<Caller> {
    if (header === undefined || header === '')
      throw new VivaceError('unauthenticated', 'credentials are missing: send Authorization: Bearer or Basic');
    const [, scheme, value] = /^(\S+) +(\S+) *$/.exec(header) ?? [];
    if (scheme?.toLowerCase() === 'bearer') return this.#bearer(value);
    if (scheme?.toLowerCase() === 'basic') return this.#basic(value);
    throw new VivaceError('unauthenticated', 'unknown kind of credentials: send Authorization: Bearer or Basic');
  }

  #read(): boolean {
    const text = this.#options.readFile();
    if (text === this.#text) return false;
    // Whoever writes a file in place empties it first, and in that moment nobody would be let in.
    if (text.trim() === '' && this.#text !== undefined)
      throw new VivaceError('invalid', 'the file is empty; to let nobody in, write credentials: []');
    this.#entries = parseFile(text, this.#options.checkFilter);
    this.#text = text;
    this.#remembered.clear();
    return true;
  }

  #bearer(token: string): Caller {
    const hash = createHash('sha256').update(token).digest();
    let found: Caller | undefined;
    // All of them, wherever the right one stands.
    for (const entry of this.#entries.tokens) if (timingSafeEqual(entry.hash, hash)) found = entry.caller;
    if (found === undefined) throw new VivaceError('unauthenticated', 'the token is unknown');
    return found;
  }

  #basic(value: string): Caller | Promise<Caller> {
    const remembered = createHmac('sha256', this.#key).update(value).digest('base64');
    return this.#remembered.get(remembered) ?? this.#tryPassword(value, remembered);
  }

  async #tryPassword(value: string, remembered: string): Promise<Caller> {
    const pair = Buffer.from(value, 'base64').toString('utf8');
    const colon = pair.indexOf(':');
    const users = this.#entries.users;
    const user = users.get(pair.slice(0, Math.max(0, colon)));
    await this.#turn();
    try {
      // An unknown name takes as long as a known one.
      const right = await verify(pair.slice(colon + 1), user?.scrypt ?? NOBODY);
      if (!right || user === undefined) throw new VivaceError('unauthenticated', 'the name or the password is wrong');
      // The file may have changed meanwhile, and this user with it.
      if (users !== this.#entries.users) throw new VivaceError('unauthenticated', 'the credentials have just changed');
      if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
      this.#remembered.set(remembered, user.caller);
      return user.caller;
    } finally {
      this.#tries--;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX)
      throw new VivaceError('exhausted', 'too many passwords are being tried', { retryAfterMs: 1000 });
    while (this.#tries >= TRIES_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#tries++;
  }
}

/** `scrypt$N$r$p$salt$hash` of a password, for the file. */
export async function passwordHash(password: string): Promise<string> {
  const scrypted = { ...NOBODY, salt: randomBytes(16) };
  const hash = await derive(password, scrypted);
  const { cost, blockSize, parallelization, salt } = scrypted;
  return `scrypt$${cost}$${blockSize}$${parallelization}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

const HASH_BYTES = 32;
const NOBODY: Scrypt = {
  cost: 16_384,
  blockSize: 8,
  parallelization: 1,
  salt: Buffer.alloc(16),
  hash: Buffer.alloc(HASH_BYTES),
};

async function verify(password: string, scrypted: Scrypt): Promise<boolean> {
  return timingSafeEqual(await derive(password, scrypted), scrypted.hash);
}

function derive(password: string, { cost, blockSize, parallelization, salt }: Scrypt): Promise<Buffer> {
  const options = { cost, blockSize, parallelization, maxmem: 256 * cost * blockSize };
  return new Promise((resolve, reject) =>
    scrypt(password, salt, HASH_BYTES, options, (error, hash) => (error === null ? resolve(hash) : reject(error))),
  );
}

function parseFile(content: string, checkFilter: (filter: string) => void): Entries {
  const yaml = parseYaml(content);
  const decoding: Decoding = {
    yaml,
    problems: [],
    warnings: [],
    notices: [],
    given: () => {},
    moved: new Map(),
    movedValue: () => {},
    environment: undefined,
    readers: {},
    paths: [],
  };
  const into = defaultsOf(file) as Resolved<typeof file>;
  decodeSection(decoding, yaml.root, file, '', into);
  const entries: Entries = { tokens: [], users: new Map() };
  const { problems } = decoding;
  for (const [i, one] of into.credentials.entries()) {
    const where = `credentials[${i}]${one.name === '' ? '' : ` (${one.name})`}`;
    try {
      addCredential(entries, one, checkFilter);
    } catch (error) {
      problems.push(`${where}: ${messageOf(error)}`);
    }
  }
  if (problems.length > 0) throw new VivaceError('invalid', problems.join('\n  '));
  return entries;
}

function addCredential(
  entries: Entries,
  one: Resolved<typeof credential>,
  checkFilter: (filter: string) => void,
): void {
  const { tokenSha256, username, passwordScrypt, tenants, roles, filter } = one;
  const strange = roles.find((role) => !ROLES.includes(role as Role));
  if (strange !== undefined) throw new Error(`role ${strange} is none of ${ROLES.join(', ')}`);
  if (roles.length === 0) throw new Error(`roles are missing: some of ${ROLES.join(', ')}`);
  if (filter !== '') checkFilter(filter);
  const caller: Caller = {
    name: one.name || username || 'token',
    roles: new Set(roles as Role[]),
    tenants: tenants.includes('*') ? 'all' : new Set(tenants),
    filter: filter === '' ? undefined : filter,
  };
  if ((tokenSha256 === '') === (username === '')) throw new Error('either token_sha256 or username must be set');
  if (tokenSha256 !== '') {
    if (!/^[0-9a-fA-F]{64}$/.test(tokenSha256)) throw new Error('token_sha256 is no SHA-256: 64 hex digits');
    entries.tokens.push({ hash: Buffer.from(tokenSha256, 'hex'), caller });
    return;
  }
  if (username.includes(':')) throw new Error('username must have no colon');
  if (entries.users.has(username)) throw new Error(`username ${username} is there twice`);
  entries.users.set(username, { scrypt: parseScrypt(passwordScrypt), caller });
}

function parseScrypt(written: string): Scrypt {
  const [kind, cost, blockSize, parallelization, salt, hash, ...more] = written.split('$');
  const numbers = [cost, blockSize, parallelization].map(Number);
  const hashBytes = Buffer.from(hash ?? '', 'base64');
  const [n, r, p] = numbers;
  const bounded = n >= 1024 && n <= 1 << 17 && (n & (n - 1)) === 0 && r >= 1 && r <= 16 && p >= 1 && p <= 4;
  if (
    kind !== 'scrypt' ||
    more.length > 0 ||
    !numbers.every(Number.isInteger) ||
    !bounded ||
    hashBytes.length !== HASH_BYTES
  )
    throw new Error('password_scrypt is no scrypt$N$r$p$salt$hash: make one with `vivace hash-password`');
  return { cost: n, blockSize: r, parallelization: p, salt: Buffer.from(salt, 'base64'), hash: hashBytes };
}
