/**
 * A thread for UDP: it does nothing but take datagrams off their sockets, because what is not taken in time is lost, and
 * turn them into OTLP requests for the main thread. So many requests are on their way at once; meanwhile datagrams
 * gather in the next one, up to a bound in number and bytes, and beyond it are dropped and counted.
 */
import dgram from 'node:dgram';
import fs from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { DatagramListener } from '../config/listeners.ts';
import { DatagramBatch, type DatagramCounts } from '../receive/jaeger-udp.ts';
import { messageOf } from '../runtime/errors.ts';

export type FromDatagrams =
  | { type: 'bound'; socket: number; port: number }
  | { type: 'failed'; socket: number; message: string; code: string | undefined }
  | { type: 'request'; socket: number; body: Uint8Array<ArrayBuffer>; spans: number }
  | { type: 'counts'; socket: number; counts: DatagramCounts; dropped: number; lost: number };

export type ToDatagrams = { type: 'done'; socket: number } | { type: 'close' };

/** Asked of the system for each socket; it gives what net.core.rmem_max allows. */
const SOCKET_BUFFER_BYTES = 8 << 20;
/** A request is sent when it is so large, and otherwise when the socket is empty. */
const REQUEST_BYTES = 512 << 10;
/** Bytes of spans that may wait while as many requests as allowed are on their way. */
const WAITING_BYTES_MAX = 16 << 20;
const COUNTS_MS = 1000;

const main = parentPort!;
const sockets = (workerData as DatagramListener[]).map(open);

main.on('message', (message: ToDatagrams) => {
  if (message.type === 'done') sockets[message.socket].done();
  else for (const socket of sockets) socket.close();
});

function open({ host, port, protocol, endpoint }: DatagramListener, number: number) {
  const batch = new DatagramBatch(protocol, endpoint.maxPacketBytes);
  const socket = dgram.createSocket({ type: host.includes(':') ? 'udp6' : 'udp4' });
  let onTheWay = 0;
  let scheduled = false;
  let dropped = 0;
  let lost = 0;
  let tellTimer: NodeJS.Timeout | undefined;
  const sendLater = (): void => {
    scheduled = false;
    send();
  };

  socket.on('message', (datagram) => {
    if (batch.datagrams >= endpoint.queueSize || batch.bytes > WAITING_BYTES_MAX) {
      dropped++;
      return;
    }
    batch.add(datagram);
    if (batch.bytes >= REQUEST_BYTES) send();
    if (batch.datagrams === 0 || scheduled) return;
    scheduled = true;
    // After all that is there to be read has been read.
    setImmediate(sendLater);
  });
  socket.on('error', (error: NodeJS.ErrnoException) =>
    post({ type: 'failed', socket: number, message: messageOf(error), code: error.code }),
  );
  socket.bind(port, host === '' ? undefined : host, () => {
    // Kernel limits apply silently; a refusal would only mean the default.
    try {
      socket.setRecvBufferSize(endpoint.socketBufferBytes || SOCKET_BUFFER_BYTES);
    } catch {}
    post({ type: 'bound', socket: number, port: socket.address().port });
    tellTimer = setInterval(tell, COUNTS_MS);
  });

  return { done, close };

  function send(): void {
    if (onTheWay >= endpoint.workers || batch.datagrams === 0) return;
    onTheWay++;
    const { spans } = batch;
    const body = batch.take();
    post({ type: 'request', socket: number, body, spans }, [body.buffer]);
  }

  function done(): void {
    onTheWay--;
    send();
  }

  function tell(): void {
    const { counts } = batch;
    const lostNow = lostBySystem(socket.address().port);
    if (counts.datagrams === 0 && dropped === 0 && lostNow === lost) return;
    post({ type: 'counts', socket: number, counts: { ...counts }, dropped, lost: Math.max(0, lostNow - lost) });
    counts.datagrams = counts.undecodable = counts.invalidSpans = 0;
    dropped = 0;
    lost = lostNow;
  }

  function close(): void {
    if (tellTimer !== undefined) {
      clearInterval(tellTimer);
      tell();
    }
    socket.close();
  }
}

/** Datagrams for a port that found no room in the system's buffers since its socket was opened, where Linux tells. */
function lostBySystem(port: number): number {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let lost = 0;
  for (const table of ['/proc/net/udp', '/proc/net/udp6']) {
    let text: string;
    try {
      text = fs.readFileSync(table, 'utf8');
    } catch {
      continue;
    }
    for (const line of text.split('\n')) {
      const columns = line.trim().split(/\s+/);
      if (columns[1]?.endsWith(wanted)) lost += Number(columns.at(-1)) || 0;
    }
  }
  return lost;
}

function post(message: FromDatagrams, transfer: ArrayBuffer[] = []): void {
  main.postMessage(message, transfer);
}
