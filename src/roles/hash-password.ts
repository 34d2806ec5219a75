/** `vivace hash-password`: what to write as password_scrypt into the file of credentials, for the password on stdin. */
import fs from 'node:fs';
import { passwordHash } from '../limits/credentials.ts';

export async function hashPassword(): Promise<string> {
  const password = fs.readFileSync(0, 'utf8').replace(/\r?\n$/, '');
  return `${await passwordHash(password)}\n`;
}
