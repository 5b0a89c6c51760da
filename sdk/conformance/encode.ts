/** Encodes client operations and server frames of the vectors, by `@arqon/proto`. */
import { encodeAck, encodeBatch, encodeErr, encodeMsg, encodePing, encodePong } from "@arqon/proto";
import { encodePub, encodeRefresh, encodeSub, encodeUnsub, encodeWelcome } from "@arqon/proto";
import { findData, type History, withData, writeEnvelope, writeHistory } from "@arqon/proto";
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

/** Writers of frames with one message of named fields. */
const WRITERS: Readonly<Record<string, (message: never) => Uint8Array>> = {
  welcome: encodeWelcome,
  ack: encodeAck,
  sub: encodeSub,
  unsub: encodeUnsub,
  refresh: encodeRefresh,
};

/** The frame of a client's operation, or a Shield's frame in the form of `plainFrame`. */
export function encodeFrame(frame: Plain): Uint8Array {
  const { kind, message, body } = frame;
  switch (kind) {
    case "pub":
      return encodePub(envelope(message));
    case "msg":
      return encodeMsg(envelope(message));
    case "batch":
      return encodeBatch((frame.messages as Plain[]).map(envelope));
    case "err":
      return encodeErr(frame);
    case "ping":
      return encodePing(fromHex(body as string));
    case "pong":
      return encodePong(fromHex(body as string));
  }
  const write = WRITERS[kind as string];
  if (write === undefined) throw new TypeError(`no frame: ${kind}`);
  return write(messageOf<never>(message as Plain));
}
