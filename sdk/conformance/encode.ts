/**
 * Client operations and server frames of the vectors to bytes, by the encoders of `@arqon/proto`:
 * what `generate.ts` writes into frames.json and what the TypeScript runner compares with it.
 */
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
  encodeRefusal,
  encodeSub,
  encodeUnsub,
  encodeWelcome,
  type Refresh,
  type Refusal,
  type Subscribe,
  type Unsubscribe,
  type Welcome,
  withPositions,
  writeEnvelope,
} from "@arqon/proto";
import { fromHex, messageOf, type Plain } from "./plain.ts";

const envelope = (plain: unknown) => writeEnvelope(messageOf(plain as Plain));

function subOf(subscribe: Partial<Subscribe>): Uint8Array {
  const frame = encodeSub(subscribe);
  return subscribe.positions === undefined ? frame : withPositions(frame, subscribe.positions);
}

/** The frame of a client operation, `{"kind", "message" | "body"}`. */
export function encodeClient(operation: Plain): Uint8Array {
  const message = operation.message as Plain;
  switch (operation.kind) {
    case "pub":
      return encodePub(envelope(message));
    case "sub":
      return subOf(messageOf<Partial<Subscribe>>(message));
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

/** The frame of what a Shield says, in the form of `plainFrame`. */
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
      return encodeErr(frame.code as number, frame.message as string);
    case "refusal":
      return encodeRefusal(messageOf<Partial<Refusal>>(message));
    case "ping":
      return encodePing(fromHex(frame.body as string));
    case "pong":
      return encodePong(fromHex(frame.body as string));
  }
  throw new TypeError(`no server frame: ${frame.kind}`);
}
