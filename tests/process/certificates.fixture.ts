/** Certificates made by openssl for one test: an authority, and what it signs. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

export interface Pair {
  cert: string;
  key: string;
}

export interface Authority extends Pair {
  /** Signs a certificate of that name for 127.0.0.1 and localhost; `files` names its two files. */
  sign(name: string, files?: string): Pair;
}

export function makeAuthority(directory: string, name = 'authority'): Authority {
  const pair = filesOf(directory, name);
  openssl(['req', '-x509', '-subj', `/CN=${name}`, '-days', '2', '-out', pair.cert, ...newKey(pair.key)]);
  return {
    ...pair,
    sign(subject, files = subject) {
      const signed = filesOf(directory, files);
      const request = path.join(directory, `${files}.csr`);
      const extensions = path.join(directory, `${files}.ext`);
      fs.writeFileSync(
        extensions,
        'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n',
      );
      openssl(['req', '-subj', `/CN=${subject}`, '-out', request, ...newKey(signed.key)]);
      const by = ['-CA', pair.cert, '-CAkey', pair.key, '-CAcreateserial'];
      openssl(['x509', '-req', '-in', request, ...by, '-days', '2', '-extfile', extensions, '-out', signed.cert]);
      return signed;
    },
  };
}

function filesOf(directory: string, name: string): Pair {
  return { cert: path.join(directory, `${name}.crt`), key: path.join(directory, `${name}.key`) };
}

function newKey(file: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file];
}

function openssl(args: string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' });
}
