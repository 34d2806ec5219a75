/**
 * One socket for everything: the first bytes of a connection decide between HTTP/2 with prior knowledge ("PRI * HTTP/2.0…")
 * and HTTP/1.1; an HTTP/2 request's content type decides between gRPC and the HTTP handler, which serves both versions.
 *
 *   accept ── "PRI"? ──▶ http2 ── application/grpc* or a gRPC path? ──▶ gRPC router
 *                │         ▲                           └── no ─────────▶ http handler
 *                ├─────▶ http1 ────────────────────────────────────────▶ http handler
 *                └ with TLS: handshake ── ALPN h2 or http/1.1 ──▶ http2 or http1
 *
 * Where TLS is configured a connection that does not begin with a handshake gets 400, and nothing else.
 *
 * Measured cost of the detour over listeners of their own: none (0.92 to 1.07 of the CPU, which is noise).
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import http2, { type ServerHttp2Session } from 'node:http2';
import net, { type Socket } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import { VivaceError } from '../runtime/errors.ts';
import type { BodyBudget } from './body.ts';
import type { Decompressor } from './decompress.ts';
import {
  type Authorize,
  type GrpcRouter,
  type GrpcSettings,
  grpcSettings,
  isGrpcContentType,
  serveGrpc,
} from './grpc.ts';
import { Http2Buffers } from './http2-buffers.ts';
import type { TlsMaterial } from './tls-material.ts';

export interface ListenOptions {
  /** Address to bind; '' is every address of the machine. */
  host: string;
  /** 0 lets the system choose; `Listener.port` tells. */
  port: number;
  /** Serves HTTP/1.1 and HTTP/2 requests alike. Without it only gRPC is served and HTTP/1 connections are closed. */
  http?: (req: IncomingMessage, res: ServerResponse) => void;
  grpc?: GrpcRouter;
  /** Asked before each gRPC call. */
  authorize?: Authorize;
  /** Serves TLS, and nothing but TLS. */
  tls?: TlsMaterial;
  /** Bytes of bodies in flight; give all listeners of a process the same. */
  budget?: BodyBudget;
  decompressor?: Decompressor;
  /** Time for a connection's first bytes, an HTTP/1 header block, the first HTTP/2 SETTINGS. Default 60 s. */
  headerMsMax?: number;
  /** Time that a kept-alive HTTP/1 connection may rest. Default 60 s. */
  idleMsMax?: number;
  /** Time that a gRPC message may take between two pieces. Default 60 s. */
  bodyIdleMsMax?: number;
  /** Connections at once; more are closed at accept. Default: no bound but the system's. */
  connectionsMax?: number;
  /** Streams at once on one HTTP/2 connection. */
  streamsMax?: number;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
  /** Open connections. */
  connections(): number;
  /**
   * Stops accepting, lets requests in flight finish, ends idle connections, and destroys what is left after `graceMs`
   * (default 10 s). Resolves when no connection is left.
   */
  close(graceMs?: number): Promise<void>;
}

const HEADER_MS_MAX = 60_000;
const IDLE_MS_MAX = 60_000;
const DRAIN_MS_MAX = 10_000;
const KEEP_ALIVE_MS = 60_000;
/** As in Go's net/http, which Tempo's users know: above it the answer is 431. */
const HEADER_BYTES_MAX = 1 << 20;
const H2_HEADER_LIST_BYTES_MAX = 64 << 10;
const STREAMS_MAX = 1000;
/** Windows: with the default of 64 KiB a sender moves one window per round trip (nodejs/node #38426). */
const STREAM_WINDOW_BYTES = 4 << 20;
const SESSION_WINDOW_BYTES = 16 << 20;
const SESSION_MEMORY_MIB_MAX = 64;
/** Streams that a client may open and reset in a burst, then per second: against rapid reset (CVE-2023-44487). */
const RESET_BURST = 1000;
const RESETS_PER_S = 33;
/** Pings without any answer of ours in between, closer together than this, of which a few are forgiven. */
const PING_MS_MIN = 10_000;
const PINGS_FORGIVEN = 10;

/** Opens the socket. Rejects with VivaceError 'unavailable' when it cannot be bound, saying why and what to do. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  const headerMsMax = options.headerMsMax ?? HEADER_MS_MAX;
  const http1 = options.http && http1Server(options.http, options);
  const h2 = http2Server(options, sessions);
  const secure = options.tls && tlsServer(options.tls, headerMsMax, http1, h2);
  const server = net.createServer({
    allowHalfOpen: true,
    noDelay: true,
    // Peers that vanish without a word are found out by the system.
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  });
  if (options.connectionsMax !== undefined) server.maxConnections = options.connectionsMax;
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', destroy);
    sniff(socket, headerMsMax, secure, http1, h2);
  });
  const { host, port } = await bind(server, options);
  // The HTTP/1 server never listens itself, and its header timeout is armed by this event.
  http1?.emit('listening');

  async function close(graceMs = DRAIN_MS_MAX): Promise<void> {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) if (isUndecided(socket)) socket.destroy();
    for (const session of sessions) session.close();
    const sweep = setInterval(() => http1?.closeIdleConnections(), 20);
    http1?.closeIdleConnections();
    const deadline = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    await closed;
    // The server is told of the last connection's end before the connection itself is.
    sockets.clear();
    clearInterval(sweep);
    clearTimeout(deadline);
    http1?.close(ignore);
  }

  return { host, port, connections: () => sockets.size, close };
}

function bind(server: net.Server, options: ListenOptions): Promise<{ host: string; port: number }> {
  const where = `${options.host === '' ? '*' : options.host}:${options.port}`;
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(where, error)));
    const host = options.host === '' ? undefined : options.host;
    server.listen({ host, port: options.port, backlog: 1024 }, () => {
      const address = server.address() as net.AddressInfo;
      server.on('error', ignore);
      resolve({ host: address.address, port: address.port });
    });
  });
}

function cannotListen(where: string, error: NodeJS.ErrnoException): VivaceError {
  const reasons: Record<string, string> = {
    EADDRINUSE: 'the address is in use; stop the other process or choose another port',
    EACCES: 'permission denied; choose a port above 1023 or give the process the right to bind it',
    EADDRNOTAVAIL: 'this machine does not have that address; choose one it has, or 0.0.0.0 for all',
    ENOTFOUND: 'the host name is unknown; use an address of this machine',
  };
  const reason = reasons[error.code ?? ''] ?? error.message;
  return new VivaceError('unavailable', `cannot listen on ${where}: ${reason}`, { cause: error });
}

const UNDECIDED = Symbol('undecided');

function isUndecided(socket: Socket & { [UNDECIDED]?: boolean }): boolean {
  return socket[UNDECIDED] === true;
}

/** Waits for three bytes, puts them back and hands the connection to the server that speaks their language. */
function sniff(
  socket: Socket & { [UNDECIDED]?: boolean },
  headerMsMax: number,
  secure: tls.Server | undefined,
  http1: http.Server | undefined,
  h2: http2.Http2Server,
): void {
  socket[UNDECIDED] = true;
  socket.setTimeout(headerMsMax, () => {
    if (socket[UNDECIDED]) socket.destroy();
  });
  socket.on('end', destroyUndecided);
  socket.on('readable', look);

  let first: Buffer | undefined;

  function look(): void {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    first = first === undefined ? chunk : Buffer.concat([first, chunk]);
    if (secure !== undefined) {
      handshake(first);
      return;
    }
    // "PRI" is enough: no method that HTTP/1 knows starts so.
    if (first.length < 3 && 'PRI'.startsWith(first.toString('latin1'))) return;
    decided(first);
    const isHttp2 = first.length >= 3 && first[0] === 0x50 && first[1] === 0x52 && first[2] === 0x49;
    if (isHttp2 || http1 === undefined) h2.emit('connection', socket);
    else {
      http1.emit('connection', socket);
      socket.resume();
    }
  }

  function handshake(bytes: Buffer): void {
    if (bytes[0] !== TLS_HANDSHAKE) {
      socket.removeListener('readable', look);
      if (http1 !== undefined) socket.write(PLAIN_REFUSED);
      socket.end();
      socket.resume();
      return;
    }
    decided(bytes);
    secure!.emit('connection', socket);
  }

  function decided(bytes: Buffer): void {
    socket.removeListener('readable', look);
    socket.removeListener('end', destroyUndecided);
    socket.setTimeout(0);
    socket.removeAllListeners('timeout');
    socket[UNDECIDED] = false;
    socket.unshift(bytes);
  }
}

const TLS_HANDSHAKE = 0x16;
const PLAIN_REFUSED =
  'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\nClient sent an HTTP request to an HTTPS server.\n';

/** Takes connections by `emit('connection')` and passes them on when the handshake is done. */
function tlsServer(
  material: TlsMaterial,
  handshakeTimeout: number,
  http1: http.Server | undefined,
  h2: http2.Http2Server,
): tls.Server {
  const { clientAuth } = material;
  const server = tls.createServer({
    ...material.context,
    ALPNProtocols: http1 === undefined ? ['h2'] : ['h2', 'http/1.1'],
    handshakeTimeout,
    requestCert: clientAuth !== 'none',
    rejectUnauthorized: clientAuth === 'require-and-verify',
  });
  material.onChange((context) => server.setSecureContext(context));
  server.on('tlsClientError', (_, socket) => socket.destroy());
  server.on('secureConnection', (socket) => {
    socket.on('error', destroy);
    if (!mayEnter(socket, clientAuth)) socket.destroy();
    else if (socket.alpnProtocol === 'h2') h2.emit('connection', socket);
    else if (http1 !== undefined) http1.emit('connection', socket);
    // As gRPC demands: without ALPN no HTTP/2.
    else socket.destroy();
  });
  return server;
}

function mayEnter(socket: TLSSocket, clientAuth: TlsMaterial['clientAuth']): boolean {
  if (clientAuth === 'none' || clientAuth === 'request' || clientAuth === 'require-and-verify') return true;
  const given = socket.getPeerX509Certificate() !== undefined;
  return clientAuth === 'require' ? given : !given || socket.authorized;
}

function destroyUndecided(this: Socket): void {
  this.destroy();
}

function http1Server(handler: NonNullable<ListenOptions['http']>, options: ListenOptions): http.Server {
  const server = http.createServer({
    maxHeaderSize: HEADER_BYTES_MAX,
    headersTimeout: options.headerMsMax ?? HEADER_MS_MAX,
    keepAliveTimeout: options.idleMsMax ?? IDLE_MS_MAX,
    // Bodies have an idle time of their own, which suits slow links and large bodies better than a total.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(5000, options.headerMsMax ?? HEADER_MS_MAX),
  });
  server.on('request', handler);
  return server;
}

function http2Server(options: ListenOptions, sessions: Set<ServerHttp2Session>): http2.Http2Server {
  const settings: GrpcSettings = grpcSettings({
    budget: options.budget,
    decompressor: options.decompressor,
    idleMsMax: options.bodyIdleMsMax,
    authorize: options.authorize,
  });
  const headerMsMax = options.headerMsMax ?? HEADER_MS_MAX;
  const router: GrpcRouter = options.grpc ?? new Map();
  const server = http2.createServer({
    settings: {
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxConcurrentStreams: options.streamsMax ?? STREAMS_MAX,
      maxHeaderListSize: H2_HEADER_LIST_BYTES_MAX,
      enablePush: false,
    },
    maxSessionMemory: SESSION_MEMORY_MIB_MAX,
    streamResetBurst: RESET_BURST,
    streamResetRate: RESETS_PER_S,
  } as http2.ServerOptions);
  server.on('sessionError', ignore);
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', ignore);
    session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    expectSettings(session, headerMsMax);
    limitPings(session);
    const buffers = new Http2Buffers();
    session.on('stream', (stream, headers, _flags, rawHeaders) => {
      const http = options.http;
      if (http === undefined || isGrpcContentType(headers['content-type']) || router.has(headers[':path'] as string))
        return serveGrpc(router, settings, buffers, stream, headers, rawHeaders);
      buffers.share();
      stream.on('error', ignore);
      const req = new http2.Http2ServerRequest(stream, headers, {}, rawHeaders);
      const res = new http2.Http2ServerResponse(stream);
      http(req as unknown as IncomingMessage, res as unknown as ServerResponse);
    });
  });
  return server;
}

/** Ends a session whose client never says anything after the preface. */
function expectSettings(session: ServerHttp2Session, headerMsMax: number): void {
  const timer = setTimeout(() => session.destroy(), headerMsMax);
  timer.unref();
  session.once('remoteSettings', () => clearTimeout(timer));
  session.once('close', () => clearTimeout(timer));
}

/** Ends a session that pings much and works little, with ENHANCE_YOUR_CALM. Streams opened in between excuse pings. */
function limitPings(session: ServerHttp2Session): void {
  let pings = 0;
  let recent: NodeJS.Timeout | undefined;
  session.on('stream', () => {
    pings = 0;
  });
  session.on('ping', () => {
    if (recent !== undefined && ++pings > PINGS_FORGIVEN && !session.destroyed) {
      session.goaway(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from('too_many_pings'));
      session.destroy(undefined, http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
    }
    recent?.refresh();
    recent ??= setTimeout(() => {
      recent = undefined;
    }, PING_MS_MIN);
    recent.unref();
  });
}

function destroy(this: Socket): void {
  this.destroy();
}

function ignore(): void {}
