/** Encodes client operations and server frames of the vectors, by `@arqon/proto`. */
import {
  type Ack,
  encodeAck,
  encodeBatch,
  encodeErr,
  encodeMsg,
  encodePing,
  encodePong,
  encodePub,
  encodeRefresh,
  encodeSub,
  encodeUnsub,
  encodeWelcome,
  findData,
  type History,
  type Refresh,
  type Subscribe,
  type Unsubscribe,
  type Welcome,
  withData,
  writeEnvelope,
  writeHistory,
} from "@arqon/proto";
import type { Delta } from "@arqon/proto";
import { fromHex, messageOf, type Plain } from "./plain.ts";

/** One message; with a `delta` its data is whole or a diff accordingly. */
function envelope(plain: unknown): Uint8Array<ArrayBuffer> {
  const { delta, ...rest } = plain as Plain & { readonly delta?: Partial<Delta> };
  const written = writeEnvelope(messageOf(rest));
  const span = delta === undefined ? undefined : findData(written);
  if (span === undefined) return written;
  const data = written.slice(span.start, span.end);
  const header = { slot: 0, number: 0, base: 0, ...delta };
  return withData(encodeMsg(written), span, data, header).slice(1);
}

/** A page of history, with messages as in a MSG. */
export function encodeHistory({ messages, ...rest }: Plain): Uint8Array {
  const page: History = { messages: [], offset: 0, epoch: "", more: false, ...rest };
  return writeHistory({ ...page, messages: (messages as Plain[]).map(envelope) });
}

/** The frame of a client operation, `{"kind", "message" | "body"}`. */
export function encodeClient(operation: Plain): Uint8Array {
  const message = operation.message as Plain;
  switch (operation.kind) {
    case "pub":
      return encodePub(envelope(message));
    case "sub":
      return encodeSub(messageOf<Partial<Subscribe>>(message));
    case "unsub":
      return encodeUnsub(messageOf<Partial<Unsubscribe>>(message));
    case "refresh":
      return encodeRefresh(messageOf<Partial<Refresh>>(message));
    case "ping":
      return encodePing(fromHex(operation.body as string));
    case "pong":
      return encodePong(fromHex(operation.body as string));
  }
  throw new TypeError(`no client operation: ${operation.kind}`);
}

/** A Shield's frame, from the form of `plainFrame`. */
export function encodeServer(frame: Plain): Uint8Array {
  const message = frame.message as Plain;
  switch (frame.kind) {
    case "welcome":
      return encodeWelcome(messageOf<Partial<Welcome>>(message));
    case "msg":
      return encodeMsg(envelope(message));
    case "batch":
      return encodeBatch((frame.messages as Plain[]).map(envelope));
    case "ack":
      return encodeAck(messageOf<Partial<Ack>>(message));
    case "err":
      return encodeErr(frame);
    case "ping":
      return encodePing(fromHex(frame.body as string));
    case "pong":
      return encodePong(fromHex(frame.body as string));
  }
  throw new TypeError(`no server frame: ${frame.kind}`);
}
