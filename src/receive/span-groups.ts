/**
 * Spans of a request that names its resource and scope span by span, in the order of OTLP. Each span is written once, as
 * it comes, behind the others; in the end the pieces of every group are copied together.
 *
 *   spans      [span of a][span of b][span of a] …
 *   finished   resource a { scope { span, span } … }  resource b { scope { span } }
 */
import { VivaceError } from '../runtime/errors.ts';
import { ProtoWriter, varintBytes } from '../wire/protobuf.ts';
import {
  REQUEST_RESOURCE_SPANS,
  RESOURCE_SPANS_RESOURCE,
  RESOURCE_SPANS_SCOPE_SPANS,
  SCOPE_SPANS_SCOPE,
} from './otlp-span.ts';

interface Resource {
  content: Uint8Array;
  readonly scopes: Map<string, Scope>;
}

interface Scope {
  readonly number: number;
  readonly content: Uint8Array;
  first: number;
  last: number;
}

/** So much of a request's spans keeps its memory for the next request. */
const SPANS_KEPT_BYTES_MAX = 1 << 20;
const PIECES_KEPT_MAX = 4096;

/** Gathers one request after the other. */
export class SpanGroups {
  /** Spans go here, each as a field of ScopeSpans, and are then put into their group by `add`. */
  readonly spans = new ProtoWriter(0);
  count = 0;
  readonly #bytesMax: number;
  readonly #resources = new Map<string, Resource>();
  #scopes: Scope[] = [];
  #start = new Uint32Array(256);
  #end = new Uint32Array(256);
  #next = new Int32Array(256);
  /** The group found last. */
  #resourceKey = '';
  #scopeKey = '';
  #found = -1;

  /** `bytesMax`: bound of the result, because a small request may name a large resource many times. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Begins a request of about so many bytes. */
  begin(bytesExpected: number): void {
    this.spans.reset(SPANS_KEPT_BYTES_MAX);
    this.spans.reserve(Math.max(256, bytesExpected));
    this.count = 0;
    this.#resources.clear();
    this.#scopes = [];
    this.#found = -1;
    if (this.#start.length <= PIECES_KEPT_MAX) return;
    this.#start = new Uint32Array(256);
    this.#end = new Uint32Array(256);
    this.#next = new Int32Array(256);
  }

  /** The number of the group of these keys; -1 if it is new. */
  find(resourceKey: string, scopeKey: string): number {
    if (this.#found >= 0 && resourceKey === this.#resourceKey && scopeKey === this.#scopeKey) return this.#found;
    this.#resourceKey = resourceKey;
    this.#scopeKey = scopeKey;
    this.#found = this.#resources.get(resourceKey)?.scopes.get(scopeKey)?.number ?? -1;
    return this.#found;
  }

  hasResource(key: string): boolean {
    return this.#resources.has(key);
  }

  /** Makes a resource, or gives it other content. */
  setResource(key: string, content: Uint8Array): void {
    const resource = this.#resources.get(key);
    if (resource === undefined) this.#resources.set(key, { content, scopes: new Map() });
    else resource.content = content;
  }

  /** Makes a group in a resource, which is made empty if it is new; returns its number. */
  create(resourceKey: string, scopeKey: string, scope: Uint8Array): number {
    if (!this.#resources.has(resourceKey)) this.setResource(resourceKey, new Uint8Array(0));
    const number = this.#scopes.length;
    const made: Scope = { number, content: scope, first: -1, last: -1 };
    this.#scopes.push(made);
    this.#resources.get(resourceKey)?.scopes.set(scopeKey, made);
    return number;
  }

  /** Puts what was written to `spans` since `start` into a group. */
  add(group: number, start: number): void {
    if (this.count === this.#start.length) this.#grow();
    const scope = this.#scopes[group];
    const end = this.spans.length;
    const last = scope.last;
    if (last >= 0 && this.#end[last] === start) {
      this.#end[last] = end;
      return;
    }
    const piece = this.count++;
    this.#start[piece] = start;
    this.#end[piece] = end;
    this.#next[piece] = -1;
    if (last < 0) scope.first = piece;
    else this.#next[last] = piece;
    scope.last = piece;
  }

  /** The request, in a buffer of its own and of exactly its size. Throws VivaceError 'too-large'. */
  finish(): Uint8Array<ArrayBuffer> {
    const sizes = this.#scopes.map((scope) => this.#sizeOf(scope));
    const resources = [...this.#resources.values()].filter(({ scopes }) => scopes.size > 0);
    const resourceSizes = resources.map(({ content, scopes }) => {
      let size = fieldBytes(content.length);
      for (const { number } of scopes.values()) size += fieldBytes(sizes[number]);
      return size;
    });
    const bytes = resourceSizes.reduce((sum, size) => sum + fieldBytes(size), 0);
    if (bytes > this.#bytesMax)
      throw new VivaceError(
        'too-large',
        `cannot convert request: its resources, repeated for their spans, exceed ${this.#bytesMax} bytes`,
      );
    const out = new ProtoWriter(bytes);
    for (const [i, { content, scopes }] of resources.entries()) {
      out.varintField(REQUEST_RESOURCE_SPANS, resourceSizes[i]);
      out.bytesField(RESOURCE_SPANS_RESOURCE, content);
      for (const scope of scopes.values()) {
        out.varintField(RESOURCE_SPANS_SCOPE_SPANS, sizes[scope.number]);
        out.bytesField(SCOPE_SPANS_SCOPE, scope.content);
        for (let piece = scope.first; piece >= 0; piece = this.#next[piece])
          out.raw(this.spans.bytes, this.#start[piece], this.#end[piece]);
      }
    }
    return out.take();
  }

  /** Bytes of a ScopeSpans. */
  #sizeOf({ content, first }: Scope): number {
    let size = fieldBytes(content.length);
    for (let piece = first; piece >= 0; piece = this.#next[piece]) size += this.#end[piece] - this.#start[piece];
    return size;
  }

  #grow(): void {
    const size = this.#start.length * 2;
    const [start, end, next] = [new Uint32Array(size), new Uint32Array(size), new Int32Array(size)];
    start.set(this.#start);
    end.set(this.#end);
    next.set(this.#next);
    this.#start = start;
    this.#end = end;
    this.#next = next;
  }
}

/** Bytes of a field with so much in it; all fields here have a tag of one byte. */
function fieldBytes(size: number): number {
  return 1 + varintBytes(size) + size;
}
