/** Where a batch came in: the labels of the receivers' metrics, e.g. `otlp/otlp_receiver` and `http`. */
export interface Receiver {
  readonly receiver: string;
  readonly transport: string;
}

/**
 * Hands over one ExportTraceServiceRequest as protobuf bytes; their ArrayBuffer holds nothing else and its ownership
 * passes (it may be transferred to another thread). Resolves with the number of spans when they are durable and
 * searchable. Rejects with VivaceError: 'undecodable', 'invalid' (ids), 'exhausted' (with retryAfterMs when the client
 * should come back), 'unavailable', … . The request is taken as a whole or refused as a whole.
 */
export type Accept = (tenant: string, body: Uint8Array<ArrayBuffer>, from: Receiver) => Promise<number>;

/** What the receivers report; the role turns it into metrics. */
export interface ReceiveHooks {
  onAccepted?(from: Receiver, spans: number): void;
  /** Spans of a request that was decodable in outline and then refused: whose, if that was known, and why. */
  onRefused?(from: Receiver, spans: number, tenant?: string, error?: unknown): void;
}
