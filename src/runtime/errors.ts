/**
 * What went wrong, in words that every protocol can translate: one place per protocol turns a code into a status.
 *
 * | code            | HTTP (query) | HTTP (OTLP) | gRPC |
 * | --------------- | ------------ | ----------- | ---- |
 * | undecodable     | 400          | 400         | 13   |
 * | invalid         | 400          | 400         | 3    |
 * | too-large       | 413          | 400         | 8    |
 * | exhausted       | 429          | 429         | 8    |
 * | unavailable     | 503          | 503         | 14   |
 * | no-tenant       | 401          | 503         | 14   |
 * | unauthenticated | 401          | 401         | 16   |
 * | denied          | 403          | 403         | 7    |
 * | not-found       | 404          | 404         | 5    |
 * | unsupported     | 500          | 404         | 12   |
 * | precondition    | 412          | 503         | 9    |
 * | cancelled       | 499          | 503         | 1    |
 * | deadline        | 504          | 503         | 4    |
 * | internal        | 500          | 500         | 13   |
 */
export type ErrorCode =
  | 'undecodable'
  | 'invalid'
  | 'too-large'
  | 'exhausted'
  | 'unavailable'
  | 'no-tenant'
  | 'unauthenticated'
  | 'denied'
  | 'not-found'
  | 'unsupported'
  | 'precondition'
  | 'cancelled'
  | 'deadline'
  | 'internal';

/** An answer to somebody, never a broken invariant. `retryAfterMs` asks the client to come back after that time. */
export class VivaceError extends Error {
  readonly code: ErrorCode;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'VivaceError';
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Whether the system has refused a write because there is no room. */
export function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
