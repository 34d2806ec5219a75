/** `/api/overrides`: a tenant reads and changes its own limits (api.md §8). The version of a document is its ETag. */
import { VivaceError } from '../runtime/errors.ts';
import { type Answer, type ApiRequest, JSON_TYPE, text } from './respond.ts';

/** Who keeps the documents; see limits/user-overrides.ts. */
export interface OverridesStore {
  get(tenant: string): Promise<{ document: string; version: string } | undefined>;
  effective(tenant: string): string;
  put(tenant: string, text: string, version: string, skipConflicts: boolean): Promise<{ version: string }>;
  patch(tenant: string, text: string, skipConflicts: boolean): Promise<{ document: string; version: string }>;
  delete(tenant: string, version: string): Promise<void>;
}

const BODY_BYTES_MAX = 1 << 18;

export async function overridesApi(
  store: OverridesStore,
  tenant: string,
  request: ApiRequest,
  url: URLSearchParams,
): Promise<Answer> {
  switch (request.method) {
    case 'GET':
      return read(store, tenant, url.get('scope') ?? '');
    case 'POST': {
      const version = ifMatch(request);
      if (version === undefined) return mustMatch();
      const put = await store.put(tenant, await bodyOf(request), version, skips(url));
      return { status: 200, headers: { ETag: put.version } };
    }
    case 'PATCH': {
      const { document, version } = await store.patch(tenant, await bodyOf(request), skips(url));
      return { status: 200, type: JSON_TYPE, body: document, headers: { ETag: version } };
    }
    case 'DELETE': {
      const version = ifMatch(request);
      if (version === undefined) return mustMatch();
      await store.delete(tenant, version);
      return { status: 200 };
    }
    default:
      return {
        ...text(405, 'method not allowed, supported: GET, POST, PATCH, DELETE\n'),
        headers: { Allow: 'GET, POST, PATCH, DELETE' },
      };
  }
}

async function read(store: OverridesStore, tenant: string, scope: string): Promise<Answer> {
  if (scope !== '' && scope !== 'api' && scope !== 'merged')
    throw new VivaceError('invalid', `unknown scope ${JSON.stringify(scope)}, valid options are api and merged`);
  const stored = await store.get(tenant);
  if (stored === undefined) return { status: 404 };
  const body = scope === 'merged' ? store.effective(tenant) : stored.document;
  return { status: 200, type: JSON_TYPE, body, headers: { ETag: stored.version } };
}

function mustMatch(): Answer {
  return text(428, 'must specify If-Match header\n');
}

function ifMatch(request: ApiRequest): string | undefined {
  const written = request.headers['if-match'];
  return written === undefined || written === '' ? undefined : written.replace(/^"(.*)"$/, '$1');
}

/** Go's idea of a bool. */
function skips(url: URLSearchParams): boolean {
  const written = url.get('skip-conflicting-overrides-check') ?? '';
  if (written === '' || /^(?:0|f|F|FALSE|false|False)$/.test(written)) return false;
  if (/^(?:1|t|T|TRUE|true|True)$/.test(written)) return true;
  throw new VivaceError('invalid', `skip-conflicting-overrides-check ${JSON.stringify(written)} is no bool`);
}

async function bodyOf(request: ApiRequest): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Both versions of HTTP give a stream.
  for await (const chunk of request as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new VivaceError('too-large', `limits must be at most ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
