/**
 * Certificate, key and authority of a TLS server, read again while it runs: what a file holds now is used for the next
 * connection. A pair that does not fit together (a rotation writes one file after the other) leaves the last good one.
 */
import tls from 'node:tls';
import { messageOf, VivaceError } from '../runtime/errors.ts';

export interface TlsMaterialOptions {
  /** For messages: which server. */
  where: string;
  cert: PemSource;
  key: PemSource;
  clientCa: PemSource | undefined;
  clientAuth: 'none' | 'request' | 'require' | 'verify-if-given' | 'require-and-verify';
  minVersion: tls.SecureVersion;
  maxVersion: tls.SecureVersion;
  /** OpenSSL's names with colons; empty for the defaults. */
  ciphers: string;
  curves: string;
  /** Throws what reading throws. */
  readFile(path: string): string;
}

export type PemSource = { file: string } | { pem: string };

export class TlsMaterial {
  readonly #options: TlsMaterialOptions;
  #pems = '';
  #context: tls.SecureContextOptions = {};
  #failing = '';
  readonly #listeners: ((context: tls.SecureContextOptions) => void)[] = [];

  /** Throws `invalid` with the file and the reason when it cannot be used. */
  constructor(options: TlsMaterialOptions) {
    this.#options = options;
    try {
      this.#read();
    } catch (error) {
      throw new VivaceError('invalid', `cannot serve TLS (${options.where}): ${messageOf(error)}`, { cause: error });
    }
  }

  get context(): tls.SecureContextOptions {
    return this.#context;
  }

  get clientAuth(): TlsMaterialOptions['clientAuth'] {
    return this.#options.clientAuth;
  }

  onChange(listener: (context: tls.SecureContextOptions) => void): void {
    this.#listeners.push(listener);
  }

  /** Reads the files again. Never throws; answers what to tell the operator, undefined when there is nothing new. */
  reload(): { ok: boolean; message: string } | undefined {
    const { where } = this.#options;
    try {
      if (!this.#read()) return undefined;
      this.#failing = '';
      return { ok: true, message: `certificates of ${where} were read again` };
    } catch (error) {
      const reason = messageOf(error);
      if (reason === this.#failing) return undefined;
      this.#failing = reason;
      return { ok: false, message: `cannot use the new certificates of ${where}, the last good ones stay: ${reason}` };
    }
  }

  /** Whether anything has changed. */
  #read(): boolean {
    const { cert, key, clientCa, minVersion, maxVersion, ciphers, curves } = this.#options;
    const pems = { cert: this.#pem(cert), key: this.#pem(key), ca: clientCa && this.#pem(clientCa) };
    const all = JSON.stringify(pems);
    if (all === this.#pems) return false;
    // OpenSSL offers versions below 1.2 at its lowest level of security only.
    const old = minVersion === 'TLSv1' || minVersion === 'TLSv1.1';
    const suites = old ? `${ciphers === '' ? tls.DEFAULT_CIPHERS : ciphers}:@SECLEVEL=0` : ciphers;
    const context: tls.SecureContextOptions = {
      ...pems,
      minVersion,
      maxVersion,
      ...(suites !== '' && { ciphers: suites }),
      ...(curves !== '' && { ecdhCurve: curves }),
    };
    // Fails when the key is not the certificate's, and for whatever is no PEM.
    tls.createSecureContext(context);
    this.#pems = all;
    this.#context = context;
    for (const listener of this.#listeners) listener(context);
    return true;
  }

  #pem(source: PemSource): string {
    return 'pem' in source ? source.pem : this.#options.readFile(source.file);
  }
}
