/** Traces of an online shop, by chance but always the same: the volume of the golden data set. */
import {
  CLIENT,
  double,
  ERROR,
  library,
  OK,
  type Resource,
  resourceOf,
  SERVER,
  Trace,
  UNSET,
  type Values,
} from './trace-builder.ts';

const SHOP = ['frontend', 'checkout', 'cart', 'payment', 'catalog', 'currency', 'shipping', 'email', 'ads', 'auth'];
const ROUTES = ['/', '/cart', '/cart/:id', '/checkout', '/product/:id', '/api/v1/orders', '/login', '/healthz'];
const METHODS = ['GET', 'GET', 'GET', 'POST', 'PUT', 'DELETE'];
const REGIONS = ['eu-west-1', 'us-east-1', 'ap-south-1'];
const SYSTEMS = ['postgresql', 'redis', 'mysql'];
const AGENTS = library('@shop/http', '2.1.0', { 'lib.lang': 'js', 'lib.major': 2 });
const DRIVER = library('@shop/db', '0.9.3');

export function shop(base: bigint): Trace[] {
  const r = random(20240229);
  const pick = (list: string[]): string => list[Math.floor(r() * list.length)];
  const hex = (n: number): string =>
    Array.from({ length: n }, () =>
      Math.floor(r() * 256)
        .toString(16)
        .padStart(2, '0'),
    ).join('');
  const pods = SHOP.flatMap((name, i) =>
    [0, 1].map((pod) =>
      resourceOf({
        'service.name': name,
        'service.namespace': 'shop',
        'service.version': `1.${i % 4}.0`,
        'service.instance.id': `${name}-${pod}`,
        'k8s.cluster.name': 'prod-eu',
        'k8s.namespace.name': 'shop',
        'k8s.pod.name': `${name}-7d9f-${pod}`,
        'k8s.container.name': name,
        cluster: pod ? 'blue' : 'green',
        namespace: 'shop',
        'cloud.region': REGIONS[(i + pod) % 3],
        'telemetry.sdk.language': i % 3 ? 'nodejs' : 'go',
        'host.cpus': 4 * (pod + 1),
        'host.load': 0.25 * (i + 1),
        'host.spot': pod === 1,
      }),
    ),
  );

  const traces: Trace[] = [];
  for (let n = 0; n < 97; n++) {
    const t = new Trace(base, hex(16), 12 + n * 30.7 + Math.floor(r() * 8000) / 1000);
    const pod = (s: number): Resource => pods[s * 2 + Math.floor(r() * 2)];
    const grow = (parent: string | undefined, depth: number, at: number, budget: number, s: number): void => {
      if (t.spans.length >= 30) return;
      const ms = Math.max(0.05, Math.round(budget * (0.5 + r() * 0.5) * 1000) / 1000);
      const route = ROUTES[Math.floor(r() * r() * ROUTES.length)];
      const method = pick(METHODS);
      const server = depth % 2 === 0;
      const failed = r() < 0.05;
      const status = failed ? 500 : r() < 0.08 ? 404 : 200;
      const attrs: Values = server
        ? {
            'http.method': method,
            'http.route': route,
            'http.url': `http://shop.example${route.replace(':id', String(Math.floor(r() * 500)))}`,
            'http.status_code': status,
            'http.request.method': method,
            'http.response.status_code': status,
            'user.id': `user-${Math.floor(r() * 40)}`,
            'user.vip': r() < 0.2,
            'response.bytes': Math.floor(r() * 60000),
          }
        : {
            'db.system': pick(SYSTEMS),
            'db.operation': method === 'GET' ? 'SELECT' : 'UPDATE',
            'db.statement': `SELECT * FROM ${pick(['orders', 'items', 'users'])} WHERE id = ${Math.floor(r() * 30)}`,
            'db.rows': Math.floor(r() * 200),
            'server.address': `${SHOP[s]}.shop.svc`,
            'server.port': 5432,
            'cache.hit': r() < 0.6,
            'db.cost': double(Math.round(r() * 10000) / 100),
          };
      if (r() < 0.1) attrs.tags = r() < 0.5 ? ['slow', 'batch'] : ['batch'];
      const id = t.span(server ? `${method} ${route}` : `${SHOP[s]}.query`, {
        parent,
        at,
        ms,
        kind: server ? SERVER : CLIENT,
        resource: pod(s),
        scope: server ? AGENTS : DRIVER,
        id: hex(8),
        status: failed ? ERROR : r() < 0.05 ? OK : UNSET,
        message: failed ? pick(['upstream timeout', 'connection refused']) : undefined,
        attrs,
        events: failed
          ? [
              {
                at: ms / 2,
                name: 'exception',
                attrs: { 'exception.type': pick(['TimeoutError', 'IOError']), 'exception.escaped': r() < 0.5 },
              },
            ]
          : undefined,
      });
      const kids = depth > 5 ? 0 : Math.floor(r() * (depth === 0 ? 6 : 3));
      for (let k = 0; k < kids; k++)
        grow(
          id,
          depth + 1,
          at + ms * (k / (kids + 1)) * 0.9,
          ms / (kids + 1),
          r() < 0.6 ? Math.floor(r() * SHOP.length) : s,
        );
    };
    grow(undefined, 0, 0, 20 + r() * r() * r() * 6000, Math.floor(r() * 3));
    traces.push(t);
  }
  return traces;
}

function random(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
