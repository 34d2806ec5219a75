/**
 * Traces of a shop that does not exist, as its OpenTelemetry SDKs would send them: people browse, fill carts and check out.
 * A visit runs on a clock of its own: every span takes the time of what it does and of its children, and the visit ends now.
 *
 *   frontend ─▶ catalog ─▶ redis, postgres        checkout ─▶ cart, catalog, shipping, payment ─▶ card provider
 *            ─▶ cart    ─▶ redis                           ─▶ postgres, email, queue ~~link~~▶ fulfilment ─▶ postgres
 *
 * Things go wrong as they do: slow queries, cache misses, card providers that time out and are asked again, declined cards,
 * a mail server that is busy. Attribute names are those of the OpenTelemetry semantic conventions.
 */

type Value = string | number | boolean | string[];
type Attributes = Record<string, Value>;
type Service = keyof typeof SERVICES;

interface SpanEvent {
  name: string;
  atMs: number;
  attributes: Attributes;
}

interface Span {
  traceId: string;
  spanId: string;
  parentId: string;
  service: Service;
  name: string;
  kind: number;
  startMs: number;
  endMs: number;
  attributes: Attributes;
  events: SpanEvent[];
  links: { traceId: string; spanId: string; attributes: Attributes }[];
  error: string | undefined;
}

/** One visit: the traces that it leaves (an order has a second one, of the queue's consumer). */
export interface Visit {
  /** Of the first trace, in hex. */
  traceId: string;
  /** Name of the first trace's root. */
  name: string;
  traces: number;
  spans: number;
  errors: number;
  /** OTLP/JSON: ResourceSpans. */
  resourceSpans: object[];
}

const [INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER] = [1, 2, 3, 4, 5];

const SERVICES = {
  frontend: { language: 'nodejs', version: '4.11.0', scope: '@opentelemetry/instrumentation-http', pods: 3 },
  checkout: { language: 'go', version: '2.7.1', scope: 'go.opentelemetry.io/contrib/otelgrpc', pods: 2 },
  cart: { language: 'dotnet', version: '1.19.4', scope: 'Microsoft.AspNetCore', pods: 2 },
  catalog: { language: 'go', version: '3.2.0', scope: 'go.opentelemetry.io/contrib/otelgrpc', pods: 3 },
  payment: { language: 'java', version: '5.0.2', scope: 'io.opentelemetry.grpc-1.6', pods: 2 },
  shipping: { language: 'rust', version: '0.9.3', scope: 'opentelemetry-tonic', pods: 1 },
  email: { language: 'ruby', version: '1.4.0', scope: 'OpenTelemetry::Instrumentation::Rack', pods: 1 },
  fulfilment: { language: 'python', version: '2.1.5', scope: 'opentelemetry.instrumentation.kafka', pods: 2 },
} as const;

const PRODUCTS = ['kettle-01', 'lamp-17', 'mug-04', 'rug-22', 'chair-08', 'teapot-03', 'clock-11', 'vase-05'];
const CURRENCIES = ['EUR', 'USD', 'GBP', 'JPY'];
const REGIONS = ['eu-central-1', 'eu-west-1', 'us-east-1'];
const BROWSERS = [
  'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148',
];

/** A visit that ends at `endMs` (since 1970). `random` gives numbers in [0, 1) and decides everything. */
export function shopVisit(random: () => number, endMs: number): Visit {
  const visit = new Recorder(random);
  const kind = random();
  if (kind < 0.55) visitProduct(visit);
  else if (kind < 0.8) fillCart(visit);
  else checkOut(visit);
  return visit.finish(endMs);
}

function visitProduct(visit: Recorder): void {
  const product = visit.oneOf(PRODUCTS);
  page(visit, 'GET', '/product/{id}', `/product/${product}`, (root) => {
    visit.work(2);
    rpc(visit, root, 'frontend', 'catalog', 'shop.Catalog/GetProduct', (server) => productOf(visit, server, product));
    visit.span({ service: 'frontend', name: 'render product', kind: INTERNAL, parent: root }, (span) => {
      span.attributes['template.name'] = 'product.html';
      visit.work(4);
    });
  });
}

function fillCart(visit: Recorder): void {
  const product = visit.oneOf(PRODUCTS);
  const quantity = 1 + Math.floor(visit.random() * 3);
  page(visit, 'POST', '/cart', '/cart', (root) => {
    root.attributes['shop.product.id'] = product;
    rpc(visit, root, 'frontend', 'catalog', 'shop.Catalog/GetProduct', (server) => productOf(visit, server, product));
    rpc(visit, root, 'frontend', 'cart', 'shop.Cart/AddItem', (server) => {
      server.attributes['shop.cart.items'] = quantity;
      redis(visit, server, 'cart', 'HSET', `HSET cart:? ${product} ?`);
    });
  });
}

function checkOut(visit: Recorder): void {
  let order = '';
  let announced: Span | undefined;
  page(visit, 'POST', '/checkout', '/checkout', (root) => {
    order = `order-${visit.hex(4)}`;
    root.attributes['shop.order.id'] = order;
    rpc(visit, root, 'frontend', 'checkout', 'shop.Checkout/PlaceOrder', (server) => {
      const items = Array.from({ length: 1 + Math.floor(visit.random() * 3) }, () => visit.oneOf(PRODUCTS));
      server.attributes['shop.order.id'] = order;
      server.attributes['shop.order.items'] = items;
      visit.span({ service: 'checkout', name: 'prepare order', kind: INTERNAL, parent: server }, (prepare) => {
        rpc(visit, prepare, 'checkout', 'cart', 'shop.Cart/GetCart', (cart) =>
          redis(visit, cart, 'cart', 'HGETALL', 'HGETALL cart:?'),
        );
        visit.together(
          ...items.map((item) => () => {
            rpc(visit, prepare, 'checkout', 'catalog', 'shop.Catalog/GetProduct', (catalog) =>
              productOf(visit, catalog, item),
            );
          }),
          () => {
            rpc(visit, prepare, 'checkout', 'shipping', 'shop.Shipping/GetQuote', () => visit.work(6));
          },
        );
      });
      if (!pay(visit, server)) return;
      postgres(
        visit,
        server,
        'checkout',
        'INSERT',
        'orders',
        'INSERT INTO orders (id, customer, total) VALUES ($1, $2, $3)',
      );
      announced = announce(visit, server, order);
      sendMail(visit, server);
    });
  });
  if (announced !== undefined) fulfil(visit, announced, order);
}

/** The card is charged, again when the provider does not answer. Whether it was. */
function pay(visit: Recorder, checkout: Span): boolean {
  const amount = Math.round(500 + visit.random() * 20_000) / 100;
  return rpc(visit, checkout, 'checkout', 'payment', 'shop.Payment/Charge', (payment) => {
    payment.attributes['shop.payment.amount'] = amount;
    payment.attributes['shop.payment.currency'] = visit.oneOf(CURRENCIES);
    if (visit.random() < 0.04) {
      payment.attributes['shop.payment.declined'] = true;
      const reason = visit.oneOf(['insufficient funds', 'card expired', 'suspected fraud']);
      visit.fail(payment, 'CardDeclinedException', `card declined: ${reason}`, 9);
      return false;
    }
    for (let resend = 0; resend < 3; resend++) {
      if (chargeCard(visit, payment, resend)) return true;
      visit.event(payment, 'retry', { 'retry.attempt': resend + 1, 'retry.delay_ms': 50 << resend });
      visit.clockMs += 50 << resend;
    }
    visit.fail(payment, 'PaymentUnavailableException', 'the card provider did not answer three times', 14);
    return false;
  });
}

function chargeCard(visit: Recorder, payment: Span, resend: number): boolean {
  const timesOut = visit.random() < (resend === 0 ? 0.06 : 0.3);
  const attributes: Attributes = {
    'http.request.method': 'POST',
    'url.full': 'https://api.cards.example/v2/charges',
    'server.address': 'api.cards.example',
    'server.port': 443,
  };
  if (resend > 0) attributes['http.request.resend_count'] = resend;
  visit.span({ service: 'payment', name: 'POST', kind: CLIENT, parent: payment, attributes }, (span) => {
    if (timesOut) {
      visit.clockMs += 1000;
      visit.fail(span, 'java.net.SocketTimeoutException', 'Read timed out');
    } else {
      visit.work(90);
      span.attributes['http.response.status_code'] = 200;
    }
  });
  return !timesOut;
}

function announce(visit: Recorder, checkout: Span, order: string): Span {
  const attributes: Attributes = {
    ...queue('send'),
    'messaging.destination.partition.id': String(Math.floor(visit.random() * 6)),
    'messaging.kafka.message.key': order,
    'messaging.message.body.size': 300 + Math.floor(visit.random() * 700),
  };
  return visit.span({ service: 'checkout', name: 'send orders', kind: PRODUCER, parent: checkout, attributes }, () =>
    visit.work(2),
  );
}

/** The consumer's trace is its own; a link says which message began it. */
function fulfil(visit: Recorder, message: Span, order: string): void {
  visit.clockMs += 20 + visit.random() * 400;
  const attributes: Attributes = {
    ...queue('process'),
    'messaging.consumer.group.name': 'fulfilment',
    'messaging.kafka.offset': 100_000 + Math.floor(visit.random() * 900_000),
    'shop.order.id': order,
  };
  const links = [{ traceId: message.traceId, spanId: message.spanId, attributes: { 'link.reason': 'message' } }];
  visit.span({ service: 'fulfilment', name: 'process orders', kind: CONSUMER, attributes, links }, (consumer) => {
    rpc(visit, consumer, 'fulfilment', 'shipping', 'shop.Shipping/Ship', (server) => {
      server.attributes['shop.shipping.carrier'] = visit.oneOf(['swift', 'parcel', 'pigeon']);
      visit.work(15);
    });
    postgres(visit, consumer, 'fulfilment', 'UPDATE', 'orders', 'UPDATE orders SET state = $1 WHERE id = $2');
  });
}

function sendMail(visit: Recorder, checkout: Span): void {
  const busy = visit.random() < 0.03;
  const attributes: Attributes = {
    'http.request.method': 'POST',
    'url.full': 'http://email.shop.svc.cluster.local:8080/confirmations',
    'server.address': 'email.shop.svc.cluster.local',
    'server.port': 8080,
    'http.response.status_code': busy ? 503 : 202,
  };
  visit.span({ service: 'checkout', name: 'POST', kind: CLIENT, parent: checkout, attributes }, (client) => {
    visit.work(1);
    const own: Attributes = {
      'http.request.method': 'POST',
      'http.route': '/confirmations',
      'url.path': '/confirmations',
      'http.response.status_code': busy ? 503 : 202,
    };
    visit.span(
      { service: 'email', name: 'POST /confirmations', kind: SERVER, parent: client, attributes: own },
      (server) => {
        visit.work(12);
        if (busy) visit.fail(server, 'Net::SMTPServerBusy', '451 4.3.2 try again later');
      },
    );
    // The order stands without its mail: the caller notes it and goes on.
    if (busy) visit.fail(client, '503', 'Service Unavailable');
  });
}

function productOf(visit: Recorder, server: Span, product: string): void {
  server.attributes['shop.product.id'] = product;
  const hit = visit.random() < 0.8;
  redis(visit, server, 'catalog', 'GET', `GET product:${product}`);
  server.attributes['cache.hit'] = hit;
  if (!hit)
    postgres(visit, server, 'catalog', 'SELECT', 'products', 'SELECT id, name, price FROM products WHERE id = $1');
}

/** A page that a browser asks the frontend for: the root of a trace. */
function page(visit: Recorder, method: string, route: string, urlPath: string, work: (root: Span) => void): void {
  const attributes: Attributes = {
    'http.request.method': method,
    'http.route': route,
    'url.path': urlPath,
    'url.scheme': 'https',
    'server.address': 'shop.example',
    'client.address': `198.51.100.${1 + Math.floor(visit.random() * 254)}`,
    'user_agent.original': visit.oneOf(BROWSERS),
    'network.protocol.version': '2',
    'enduser.id': `customer-${Math.floor(visit.random() * visit.random() * 2000)}`,
  };
  visit.span({ service: 'frontend', name: `${method} ${route}`, kind: SERVER, attributes }, (root) => {
    visit.work(2);
    work(root);
    visit.work(1);
    const failed = visit.spans.some((span) => span.parentId === root.spanId && span.error !== undefined);
    root.attributes['http.response.status_code'] = failed ? 502 : 200;
    if (failed) {
      root.error = 'Bad Gateway';
      root.attributes['error.type'] = '502';
    }
  });
}

/** A gRPC call as both sides see it; an error of the server is one of the client. Returns what `work` returns. */
function rpc<T>(
  visit: Recorder,
  parent: Span,
  from: Service,
  to: Service,
  method: string,
  work: (server: Span) => T,
): T {
  const [service, name] = method.split('/');
  const attributes = { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': name, 'rpc.grpc.status_code': 0 };
  const address = { 'server.address': `${to}.shop.svc.cluster.local`, 'server.port': 8081 };
  let result: T | undefined;
  visit.span(
    { service: from, name: method, kind: CLIENT, parent, attributes: { ...attributes, ...address } },
    (client) => {
      visit.work(0.5);
      const server = visit.span({ service: to, name: method, kind: SERVER, parent: client, attributes }, (span) => {
        visit.work(1);
        result = work(span);
        visit.work(0.5);
      });
      visit.work(0.5);
      if (server.error !== undefined) {
        client.error = server.error;
        client.attributes['rpc.grpc.status_code'] = server.attributes['rpc.grpc.status_code'];
        client.attributes['error.type'] = String(server.attributes['rpc.grpc.status_code']);
      }
    },
  );
  return result as T;
}

function redis(visit: Recorder, parent: Span, service: Service, operation: string, text: string): void {
  const attributes: Attributes = {
    'db.system.name': 'redis',
    'db.operation.name': operation,
    'db.query.text': text,
    'server.address': 'redis.shop.svc.cluster.local',
    'server.port': 6379,
  };
  visit.span({ service, name: operation, kind: CLIENT, parent, attributes }, () => visit.work(0.6));
}

function postgres(
  visit: Recorder,
  parent: Span,
  service: Service,
  operation: string,
  table: string,
  text: string,
): void {
  const attributes: Attributes = {
    'db.system.name': 'postgresql',
    'db.namespace': 'shop',
    'db.collection.name': table,
    'db.operation.name': operation,
    'db.query.text': text,
    'db.response.returned_rows': operation === 'SELECT' ? 1 : 0,
    'server.address': 'postgres.shop.svc.cluster.local',
    'server.port': 5432,
  };
  visit.span({ service, name: `${operation} ${table}`, kind: CLIENT, parent, attributes }, (span) => {
    visit.work(4);
    if (visit.random() >= 0.02) return;
    visit.event(span, 'lock wait', { 'db.lock.table': table });
    visit.clockMs += 300 + visit.random() * 1500;
  });
}

function queue(operation: string): Attributes {
  return {
    'messaging.system': 'kafka',
    'messaging.destination.name': 'orders',
    'messaging.operation.type': operation,
    'messaging.operation.name': operation,
  };
}

interface SpanOptions {
  service: Service;
  name: string;
  kind: number;
  /** undefined: the root of a new trace. */
  parent?: Span;
  attributes?: Attributes;
  links?: Span['links'];
}

/** The spans of one visit, on one clock. */
class Recorder {
  readonly random: () => number;
  readonly spans: Span[] = [];
  /** Milliseconds since the visit began. */
  clockMs = 0;

  constructor(random: () => number) {
    this.random = random;
  }

  oneOf<T>(things: readonly T[]): T {
    return things[Math.floor(this.random() * things.length)];
  }

  hex(bytes: number): string {
    let text = '';
    for (let i = 0; i < bytes; i++)
      text += Math.floor(this.random() * 256)
        .toString(16)
        .padStart(2, '0');
    return text;
  }

  /** Time goes by: usually about `typicalMs`, sometimes twice, rarely very much more. */
  work(typicalMs: number): void {
    const normal = Math.sqrt(-2 * Math.log(1 - this.random())) * Math.cos(2 * Math.PI * this.random());
    this.clockMs += typicalMs * Math.exp(0.4 * normal) * (this.random() < 0.005 ? 20 : 1);
  }

  span(options: SpanOptions, work: (span: Span) => void): Span {
    const span: Span = {
      traceId: options.parent?.traceId ?? this.hex(16),
      spanId: this.hex(8),
      parentId: options.parent?.spanId ?? '',
      service: options.service,
      name: options.name,
      kind: options.kind,
      startMs: this.clockMs,
      endMs: this.clockMs,
      attributes: { ...options.attributes },
      events: [],
      links: options.links ?? [],
      error: undefined,
    };
    this.spans.push(span);
    work(span);
    span.endMs = this.clockMs;
    return span;
  }

  /** Works that begin at the same time; the clock goes on when the last has ended. */
  together(...works: (() => void)[]): void {
    const from = this.clockMs;
    let last = from;
    for (const work of works) {
      this.clockMs = from;
      work();
      last = Math.max(last, this.clockMs);
    }
    this.clockMs = last;
  }

  event(span: Span, name: string, attributes: Attributes): void {
    span.events.push({ name, atMs: this.clockMs, attributes });
  }

  /** The span ends in an exception; `grpcCode` where it answers a call. */
  fail(span: Span, type: string, message: string, grpcCode?: number): void {
    this.event(span, 'exception', {
      'exception.type': type,
      'exception.message': message,
      'exception.stacktrace': `${type}: ${message}\n    at ${span.service}.${span.name.replace(/\W+/g, '.')}(${span.service}:${40 + span.name.length})`,
    });
    span.error = message;
    span.attributes['error.type'] = type;
    if (grpcCode !== undefined) span.attributes['rpc.grpc.status_code'] = grpcCode;
  }

  finish(endMs: number): Visit {
    const beginMs = endMs - this.clockMs;
    const region = this.oneOf(REGIONS);
    const byService = new Map<Service, Span[]>();
    for (const span of this.spans) {
      const spans = byService.get(span.service);
      if (spans === undefined) byService.set(span.service, [span]);
      else spans.push(span);
    }
    return {
      traceId: this.spans[0].traceId,
      name: this.spans[0].name,
      traces: new Set(this.spans.map((span) => span.traceId)).size,
      spans: this.spans.length,
      errors: this.spans.filter((span) => span.error !== undefined).length,
      resourceSpans: [...byService].map(([service, spans]) => ({
        resource: { attributes: keyValues(resourceOf(service, region, this.random())) },
        scopeSpans: [
          {
            scope: { name: SERVICES[service].scope, version: '1.0.0' },
            spans: spans.map((span) => spanJson(span, beginMs)),
          },
        ],
        schemaUrl: 'https://opentelemetry.io/schemas/1.34.0',
      })),
    };
  }
}

function resourceOf(service: Service, region: string, chance: number): Attributes {
  const { language, version, pods } = SERVICES[service];
  const pod = `${service}-7d9f6c-${'abc'[Math.floor(chance * pods)]}${region.length}x`;
  return {
    'service.name': service,
    'service.namespace': 'shop',
    'service.version': version,
    'service.instance.id': pod,
    'deployment.environment.name': 'production',
    'cloud.region': region,
    'k8s.cluster.name': `shop-${region}`,
    'k8s.namespace.name': 'shop',
    'k8s.deployment.name': service,
    'k8s.pod.name': pod,
    'host.name': `node-${Math.floor(chance * 5)}.${region}.example`,
    'telemetry.sdk.name': 'opentelemetry',
    'telemetry.sdk.language': language,
    'telemetry.sdk.version': '1.34.1',
  };
}

function spanJson(span: Span, beginMs: number): object {
  const nanoseconds = (ms: number): string => String(BigInt(Math.round((beginMs + ms) * 1000)) * 1000n);
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentId !== '' && { parentSpanId: span.parentId }),
    name: span.name,
    kind: span.kind,
    startTimeUnixNano: nanoseconds(span.startMs),
    endTimeUnixNano: nanoseconds(span.endMs),
    attributes: keyValues(span.attributes),
    events: span.events.map((event) => ({
      timeUnixNano: nanoseconds(event.atMs),
      name: event.name,
      attributes: keyValues(event.attributes),
    })),
    links: span.links.map((link) => ({ ...link, attributes: keyValues(link.attributes) })),
    status: span.error === undefined ? {} : { code: 2, message: span.error },
  };
}

function keyValues(attributes: Attributes): object[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }));
}

function anyValue(value: Value): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map((each) => ({ stringValue: each })) } };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
