/** Certificates of the listeners: one reading of the files for each, repeated as often as the configuration says. */
import fs from 'node:fs';
import type { TlsSettings } from '../config/tls.ts';
import type { Log } from '../runtime/log.ts';
import { TlsMaterial } from '../wire/tls-material.ts';

export function openCertificates(log: Log): { of(settings: TlsSettings): TlsMaterial; close(): void } {
  const known = new Map<TlsSettings, TlsMaterial>();
  const timers: NodeJS.Timeout[] = [];
  return {
    /** Throws `invalid` when they cannot be used. */
    of(settings) {
      let material = known.get(settings);
      if (material === undefined) {
        const made = new TlsMaterial({ ...settings, readFile: (file) => fs.readFileSync(file, 'utf8') });
        const reload = (): void => {
          const news = made.reload();
          if (news !== undefined) log.log(news.ok ? 'info' : 'error', news.message, {});
        };
        const timer = setInterval(reload, Math.max(settings.reloadMs, 100));
        timer.unref();
        timers.push(timer);
        known.set(settings, made);
        material = made;
      }
      return material;
    },
    close() {
      for (const timer of timers) clearInterval(timer);
    },
  };
}
