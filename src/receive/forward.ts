/**
 * Copies of what tenants sent, to other backends over OTLP/gRPC, after it is safe here. Each tenant has a bounded queue a
 * forwarder and so many sends at once; what finds no room is dropped and counted, and no sender ever hears of it.
 * Source: spec/ingestion.md §8.11.
 */
import http2 from 'node:http2';
import { messageOf } from '../runtime/errors.ts';
import type { ForwardFilter } from './forward-filter.ts';
import { OTLP_EXPORT } from './otlp-grpc.ts';
import { TENANT_HEADER } from './tenant.ts';

export interface ForwarderSettings {
  name: string;
  /** `host:port`; every request goes to all of them. */
  endpoints: readonly string[];
  /** Without TLS. */
  insecure: boolean;
  /** PEM of the authority that signed the servers' certificates. */
  ca?: Buffer;
  /** What of a request is copied; undefined copies it whole. */
  filter?: ForwardFilter;
}

export interface ForwarderHooks {
  onSent(forwarder: string, tenant: string): void;
  /** The queue was full, or the other side did not take it. */
  onLost(forwarder: string, tenant: string, why: string): void;
}

export interface Forwarders {
  /** Queues the request for the forwarders named; the bytes must not change any more. */
  forward(names: readonly string[], tenant: string, request: Uint8Array): void;
  /** Lets what is being sent end, within the time of a send; what waits is dropped. */
  close(): Promise<void>;
}

const QUEUE_REQUESTS = 100;
const QUEUE_BYTES = 32 << 20;
const SENDS = 2;
const SEND_MS = 10_000;

interface Queue {
  waiting: Uint8Array[];
  bytes: number;
  sending: number;
}

export function forwarders(settings: readonly ForwarderSettings[], hooks: ForwarderHooks): Forwarders {
  const known = new Map(settings.map((each) => [each.name, each]));
  const queues = new Map<string, Queue>();
  const sessions = new Map<string, http2.ClientHttp2Session>();
  const under = new Set<Promise<void>>();
  let closing = false;

  return {
    forward(names, tenant, request) {
      for (const name of names) {
        const forwarder = known.get(name);
        if (forwarder === undefined || closing) continue;
        const key = `${name}\n${tenant}`;
        const queue = queues.get(key) ?? { waiting: [], bytes: 0, sending: 0 };
        queues.set(key, queue);
        if (queue.waiting.length >= QUEUE_REQUESTS || queue.bytes + request.length > QUEUE_BYTES) {
          hooks.onLost(name, tenant, 'the queue is full');
          continue;
        }
        queue.waiting.push(request);
        queue.bytes += request.length;
        if (queue.sending < SENDS) {
          const work = drain(forwarder, tenant, key, queue).finally(() => under.delete(work));
          under.add(work);
        }
      }
    },
    async close() {
      closing = true;
      for (const queue of queues.values()) queue.waiting.length = 0;
      await Promise.all(under);
      for (const session of sessions.values()) session.destroy();
    },
  };

  async function drain(forwarder: ForwarderSettings, tenant: string, key: string, queue: Queue): Promise<void> {
    queue.sending++;
    for (let whole = queue.waiting.shift(); whole !== undefined; whole = queue.waiting.shift()) {
      queue.bytes -= whole.length;
      // The sender gets its answer first.
      if (forwarder.filter !== undefined) await new Promise(setImmediate);
      const request = forwarder.filter === undefined ? whole : forwarder.filter(whole);
      if (request.length === 0) continue;
      for (const endpoint of forwarder.endpoints) {
        try {
          await send(sessionOf(forwarder, endpoint), tenant, request);
          hooks.onSent(forwarder.name, tenant);
        } catch (error) {
          hooks.onLost(forwarder.name, tenant, `${endpoint}: ${messageOf(error)}`);
        }
      }
    }
    // Nothing is kept of a tenant who is silent.
    if (--queue.sending === 0) queues.delete(key);
  }

  function sessionOf({ insecure, ca }: ForwarderSettings, endpoint: string): http2.ClientHttp2Session {
    const key = `${insecure ? 'http' : 'https'}://${endpoint}`;
    const open = sessions.get(key);
    if (open !== undefined && !open.closed && !open.destroyed) return open;
    const session = http2.connect(key, insecure ? {} : { ca });
    session.on('error', () => session.destroy());
    session.on('close', () => {
      if (sessions.get(key) === session) sessions.delete(key);
    });
    session.unref();
    sessions.set(key, session);
    return session;
  }
}

/** One unary call. Rejects unless the answer is OK. */
function send(session: http2.ClientHttp2Session, tenant: string, request: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': OTLP_EXPORT,
      'content-type': 'application/grpc',
      te: 'trailers',
      [TENANT_HEADER]: tenant,
    });
    let status: unknown;
    let message: unknown;
    const note = (headers: http2.IncomingHttpHeaders): void => {
      status = headers['grpc-status'] ?? status;
      message = headers['grpc-message'] ?? message;
    };
    const timer = setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), SEND_MS);
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('error', reject);
    stream.on('close', () => {
      clearTimeout(timer);
      if (status === '0') resolve();
      else reject(new Error(status === undefined ? 'no answer' : `gRPC status ${status}: ${message ?? ''}`));
    });
    stream.resume();
    const head = Buffer.alloc(5);
    head.writeUInt32BE(request.length, 1);
    stream.write(head);
    stream.end(request);
  });
}
