/** A client of `tempopb.StreamingQuerier` as others would write it: @grpc/grpc-js, and messages from proto/. */
import path from 'node:path';
import {
  type ClientReadableStream,
  credentials,
  Client as GrpcClient,
  Metadata,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import protobufjs from 'protobufjs';

const PROTO = path.resolve(import.meta.dirname, '../../proto');

const root = new protobufjs.Root();
root.resolvePath = (_origin, target) => path.resolve(PROTO, target);
root.loadSync('tempopb/tempo.proto', { keepCase: true });
const service = root.lookupService('tempopb.StreamingQuerier');
service.resolveAll();

/** A message with 64-bit integers as texts, and lists that are always there. */
// biome-ignore lint/suspicious/noExplicitAny: whatever proto/ says.
export type Message = Record<string, any>;

export interface StreamingCall {
  /** Messages so far. */
  messages: Message[];
  /** Their sizes. */
  bytes: number[];
  /** All messages, or the failure: `code` and `details`. */
  ended: Promise<Message[]>;
  /** Behind the last message. */
  trailers: Metadata;
  cancel(): void;
  pause(): void;
  resume(): void;
}

export interface StreamingClient {
  call(method: string, request: Message, tenant?: string): StreamingCall;
  close(): void;
}

export function streamingClient(address: string): StreamingClient {
  const client = new GrpcClient(address, credentials.createInsecure(), {
    'grpc.max_receive_message_length': 64 << 20,
  });
  return {
    call(name, request, tenant) {
      const method = service.methods[name];
      const [asked, answered] = [method.resolvedRequestType!, method.resolvedResponseType!];
      const metadata = new Metadata();
      if (tenant !== undefined) metadata.set('x-scope-orgid', tenant);
      const bytes: number[] = [];
      const stream: ClientReadableStream<Message> = client.makeServerStreamRequest(
        `/tempopb.StreamingQuerier/${name}`,
        (message: Message) => Buffer.from(asked.encode(asked.fromObject(message)).finish()),
        (body) => {
          bytes.push(body.length);
          return answered.toObject(answered.decode(body), { longs: String, arrays: true, enums: String });
        },
        request,
        metadata,
      );
      const call: StreamingCall = {
        messages: [],
        bytes,
        trailers: new Metadata(),
        cancel: () => stream.cancel(),
        pause: () => stream.pause(),
        resume: () => stream.resume(),
        ended: new Promise((resolve, reject) => {
          stream.on('data', (message: Message) => call.messages.push(message));
          stream.on('status', (status: StatusObject) => {
            call.trailers = status.metadata;
            if (status.code === 0) resolve(call.messages);
          });
          stream.on('error', (error: ServiceError) => reject(error));
        }),
      };
      call.ended.catch(() => {});
      return call;
    },
    close: () => client.close(),
  };
}
