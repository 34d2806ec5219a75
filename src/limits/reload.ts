/** Files that are read again while the process runs. */
import { messageOf } from '../runtime/errors.ts';

/**
 * A function that reads a file again and never throws. `read` returns whether anything has changed; that, and each
 * different reason for which it throws, is told once.
 */
export function reloader(read: () => boolean, told: { onReload?(error?: string): void }): () => void {
  let failing = '';
  return () => {
    try {
      if (!read() && failing === '') return;
      failing = '';
      told.onReload?.();
    } catch (error) {
      const reason = messageOf(error);
      if (reason === failing) return;
      failing = reason;
      told.onReload?.(reason);
    }
  };
}
