/** An HTTP proxy before a real server, that does to requests and answers what networks and object stores do on bad days. */
import { createHash } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cleanup, later } from '../process/server.fixture.ts';
import type { LaggingLists } from './lagging-lists.fixture.ts';

export type Fault =
  | 'none'
  /** 503 with S3's SlowDown. */
  | 'slow-down'
  /** 500 with S3's InternalError. */
  | 'error'
  /** The connection is reset before the server hears of the request. */
  | 'reset'
  /** The server does it, and the connection is reset instead of the answer. */
  | 'lost-answer'
  /** Nothing comes, ever. */
  | 'stall'
  /** Nothing happens for `pauseMs`; then the server does it, whether or not anybody still waits. */
  | 'pause'
  /** The answer ends in the middle of its body. */
  | 'truncate'
  /** The answer stops in the middle of its body. */
  | 'stall-body'
  /** A byte of the answer's body is another one. */
  | 'flip'
  /** The answer names another ETag than the server. */
  | 'wrong-etag';

export interface FaultProxy {
  /** host:port */
  endpoint: string;
  /** Decides about each request; starts as `none`. */
  decide: (request: http.IncomingMessage, number: number) => Fault;
  requests: number;
  pauseMs: number;
  /** Requests that are held up now. */
  paused: number;
  /** Answers listings in place of the server. */
  lists: LaggingLists | undefined;
}

export async function faultProxy(t: Cleanup, target: string): Promise<FaultProxy> {
  const [host, port] = target.split(':');
  const agent = new http.Agent({ keepAlive: true });
  const server = http.createServer((request, response) => {
    const fault = proxy.decide(request, proxy.requests++);
    const fail = (status: number, code: string): void => {
      request.resume();
      request.on('end', () => {
        response.writeHead(status, { 'Content-Type': 'application/xml' });
        response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>on a bad day</Message></Error>`);
      });
    };
    if (fault === 'reset') return void request.socket.resetAndDestroy();
    if (fault === 'stall') return void request.resume();
    if (fault === 'slow-down') return fail(503, 'SlowDown');
    if (fault === 'error') return fail(500, 'InternalError');
    const list = proxy.lists?.answer(request);
    if (list !== undefined) {
      request.resume();
      response.writeHead(200, { 'Content-Type': 'application/xml' });
      return void response.end(list);
    }
    const upstream = http.request(
      { host, port, agent, method: request.method, path: request.url, headers: request.headers },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => {
          proxy.lists?.note(request, answer.statusCode ?? 502);
          if (fault === 'lost-answer') return void request.socket.resetAndDestroy();
          const body = Buffer.concat(chunks);
          if (fault === 'wrong-etag' && answer.headers.etag !== undefined)
            answer.headers.etag = `"${createHash('md5').update(answer.headers.etag).digest('hex')}"`;
          if (fault === 'flip' && body.length > 0) body[body.length >> 1] ^= 0xff;
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          if (fault === 'truncate') {
            response.write(body.subarray(0, body.length >> 1), () => request.socket.destroy());
          } else if (fault === 'stall-body') response.write(body.subarray(0, body.length >> 1));
          else response.end(body);
        });
        answer.on('error', () => response.destroy());
      },
    );
    upstream.on('error', () => request.socket.destroy());
    if (fault === 'pause') void pause(request, upstream);
    else request.pipe(upstream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  later(t, () => {
    server.close();
    server.closeAllConnections();
    agent.destroy();
  });
  const proxy: FaultProxy = {
    endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    decide: () => 'none',
    requests: 0,
    pauseMs: 0,
    paused: 0,
    lists: undefined,
  };
  return proxy;

  /** The body is taken at once: who sent it may have gone when it is wanted. */
  async function pause(request: http.IncomingMessage, upstream: http.ClientRequest): Promise<void> {
    proxy.paused++;
    upstream.on('close', () => proxy.paused--);
    const [body] = await Promise.all([buffer(request), sleep(proxy.pauseMs, undefined, { ref: false })]);
    upstream.end(body);
  }
}
