/** One request to a server, over connections of its own; mostly one without a body. */
import http from 'node:http';
import https from 'node:https';
import { gunzipSync } from 'node:zlib';
import { VivaceError } from '../runtime/errors.ts';

export interface HttpAnswer {
  status: number;
  type: string;
  /** What our server says about what its answer rests on; empty from others. */
  receipt: string;
  /** When to come again, as the header says it; empty without. */
  retryAfter: string;
  body: Buffer;
}

/** Larger answers are refused while they come: nobody reads them on a terminal. */
const BODY_BYTES_MAX = 1024 * 1024 * 1024;

/** Rejects with what Node says when no whole answer came. */
export function httpGet(
  url: string,
  headers: Record<string, string>,
  verifyTls: boolean,
  method = 'GET',
  content?: Uint8Array,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const options = { method, headers: { 'Accept-Encoding': 'gzip', ...headers }, rejectUnauthorized: verifyTls };
    const request = (url.startsWith('https:') ? https : http).request(url, options, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > BODY_BYTES_MAX)
          request.destroy(new VivaceError('too-large', `the answer is larger than ${BODY_BYTES_MAX} bytes`));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('aborted', () => reject(new Error('the answer was cut off')));
      response.on('end', () => {
        const body = Buffer.concat(chunks);
        try {
          resolve({
            status: response.statusCode ?? 0,
            type: response.headers['content-type'] ?? '',
            receipt: String(response.headers['x-vivace-receipt'] ?? ''),
            retryAfter: response.headers['retry-after'] ?? '',
            body:
              response.headers['content-encoding'] === 'gzip'
                ? gunzipSync(body, { maxOutputLength: BODY_BYTES_MAX })
                : body,
          });
        } catch (error) {
          reject(error);
        }
      });
    });
    request.on('error', reject);
    request.end(content);
  });
}
