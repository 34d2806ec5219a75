/** Request number `n` of a series in which every structure grows. */
import { type Request, requestOf } from '../../src/cut/otlp.fixture.ts';
import { int, str } from './segments.fixture.ts';

export const TRACE = '0af7651916cd43dd8448eb211c80319c';

export function requestNumber(n: number): Request {
  const spans = Array.from({ length: 5 }, (_, i) => {
    const attributes = [
      { key: 'number', value: int(n) },
      { key: 'text', value: str(`text ${n % 50}`) },
      { key: 'text', value: str('again') },
      { key: `key.${n % 300}`, value: int(i) },
    ];
    return {
      traceId: i === 0 ? TRACE : (BigInt(n) * 8n + BigInt(i) + 1n).toString(16).padStart(32, '0'),
      spanId: (n * 8 + i + 1).toString(16).padStart(16, '0'),
      name: `request ${n}`,
      statusMessage: i === 0 ? `message ${n}` : '',
      attributes,
      events: [{ time: BigInt(n), name: 'e', attributes, dropped: 0 }],
    };
  });
  const request = requestOf(...spans);
  request[0].resource.attributes.push({ key: 'host', value: str(`host ${n % 100}`) });
  return request;
}
