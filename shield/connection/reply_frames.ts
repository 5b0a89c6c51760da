/** The Shield's answers to one client, in the form that the client speaks: binary, or JSON as text. */
import {
  encodeAck,
  encodeErr,
  encodePing,
  encodePong,
  encodeTextAck,
  encodeTextErr,
  encodeTextPing,
  encodeTextPong,
  encodeTextWelcome,
  encodeWelcome,
} from "@arqon/proto";
import type { Ack, Welcome } from "@arqon/proto";
import type { Frame } from "../fanout/frame_bytes.ts";
import type { RefusedPlace } from "../message/request_ref.ts";

/** The content of a refusal without a request. */
export type SentError =
  & Pick<Ack, "code" | "reason" | "message" | "retry_after_ms">
  & Partial<RefusedPlace>;

/** The frame of an ACK. */
export function ackFrame(text: boolean, ack: Ack): Frame {
  return text ? encodeTextAck(ack) : encodeAck(ack);
}

/** The last encoded refusal, and its frame: a flooding client gets the same one repeatedly. */
let last: { readonly text: boolean; readonly error: SentError; readonly frame: Frame } | undefined;

function isSame({ text, error }: NonNullable<typeof last>, as: boolean, other: SentError): boolean {
  return text === as && error.code === other.code &&
    error.reason === other.reason && error.message === other.message &&
    error.retry_after_ms === other.retry_after_ms && error.room === other.room &&
    error.action === other.action;
}

/** The frame of a refusal without a request. It must not be changed: others may get it, too. */
export function errFrame(text: boolean, error: SentError): Frame {
  if (last !== undefined && isSame(last, text, error)) return last.frame;
  const { room: room_id = "", ...rest } = error;
  const frame = text ? encodeTextErr(error) : encodeErr({ ...rest, room_id });
  last = { text, error, frame };
  return frame;
}

/** The frame of a PING. */
export function pingFrame(text: boolean, body: Uint8Array): Frame {
  return text ? encodeTextPing(body) : encodePing(body);
}

/** The frame of a PONG. */
export function pongFrame(text: boolean, body: Uint8Array): Frame {
  return text ? encodeTextPong(body) : encodePong(body);
}

/** The frame of a WELCOME. */
export function welcomeFrame(text: boolean, welcome: Welcome): Frame {
  return text ? encodeTextWelcome(welcome) : encodeWelcome(welcome);
}
