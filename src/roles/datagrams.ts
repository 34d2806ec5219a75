/** The main thread's side of UDP: hands over what the thread collected, and tells what was lost. */
import { Worker } from 'node:worker_threads';
import type { DatagramListener } from '../config/listeners.ts';
import type { Receiver } from '../receive/accept.ts';
import { type HandOverOptions, handOver } from '../receive/hand-over.ts';
import { messageOf, VivaceError } from '../runtime/errors.ts';
import type { FromDatagrams, ToDatagrams } from './datagram-thread.ts';

export interface Datagrams {
  /** As bound, in the order of the listeners. */
  readonly ports: readonly number[];
  close(): Promise<void>;
}

export interface DatagramOptions extends HandOverOptions {
  /** `result`: taken, undecodable, queue_full (no room here) or lost (no room in the system's buffer). */
  onDatagrams(protocol: string, result: 'taken' | 'undecodable' | 'queue_full' | 'lost', count: number): void;
  /** A batch was refused, for which nobody can be answered. */
  onDropped(from: Receiver, spans: number, error: Error): void;
  onGone(error: Error): void;
}

/** Opens the sockets; resolves when all are bound. Rejects with VivaceError 'unavailable'. */
export async function listenDatagrams(
  listeners: readonly DatagramListener[],
  options: DatagramOptions,
): Promise<Datagrams> {
  if (listeners.length === 0) return { ports: [], close: async () => {} };
  const worker = new Worker(new URL('./datagram-thread.ts', import.meta.url), { workerData: listeners });
  const ports: number[] = [];
  const under = new Set<Promise<void>>();
  let closing = false;
  const from = listeners.map(
    ({ id, protocol }): Receiver => ({ receiver: `${id}/jaeger_receiver`, transport: `udp_thrift_${protocol}` }),
  );
  const post = (message: ToDatagrams): void => worker.postMessage(message);

  async function take(socket: number, body: Uint8Array<ArrayBuffer>, spans: number): Promise<void> {
    try {
      await handOver(options, from[socket], body, []);
    } catch (error) {
      options.onDropped(from[socket], spans, error instanceof Error ? error : new Error(messageOf(error)));
    }
    if (!closing) post({ type: 'done', socket });
  }

  await new Promise<void>((resolve, reject) => {
    worker.on('message', (message: FromDatagrams) => {
      switch (message.type) {
        case 'bound':
          ports[message.socket] = message.port;
          if (Object.keys(ports).length === listeners.length) resolve();
          break;
        case 'failed': {
          const { host, port } = listeners[message.socket];
          const why = message.code === 'EADDRINUSE' ? 'the address is in use' : message.message;
          reject(new VivaceError('unavailable', `cannot listen on UDP ${host || '*'}:${port}: ${why}`));
          break;
        }
        case 'request': {
          const work = take(message.socket, message.body, message.spans).finally(() => under.delete(work));
          under.add(work);
          break;
        }
        case 'counts': {
          const { protocol } = listeners[message.socket];
          const { datagrams, undecodable, invalidSpans } = message.counts;
          options.onDatagrams(protocol, 'taken', datagrams - undecodable);
          options.onDatagrams(protocol, 'undecodable', undecodable);
          options.onDatagrams(protocol, 'queue_full', message.dropped);
          options.onDatagrams(protocol, 'lost', message.lost);
          if (invalidSpans > 0) options.onRefused?.(from[message.socket], invalidSpans);
        }
      }
    });
    worker.on('error', (error) => {
      reject(error);
      options.onGone(error as Error);
    });
    worker.on('exit', () => {
      if (!closing) options.onGone(new Error('the thread for datagrams has ended'));
    });
  }).catch(async (error) => {
    closing = true;
    await worker.terminate();
    throw error;
  });

  return {
    ports,
    async close() {
      const ended = new Promise((resolve) => worker.once('exit', resolve));
      closing = true;
      post({ type: 'close' });
      // The last counts and requests come before the end.
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, CLOSE_MS_MAX))]);
      await worker.terminate();
      await Promise.all(under);
    },
  };
}

const CLOSE_MS_MAX = 2000;
