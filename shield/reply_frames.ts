/** What the Shield says to one client, in the form that the client speaks: binary, or JSON as text. */
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
import type { Frame } from "./frame_bytes.ts";

/** What an ERR says; the binary one has room for code and message only. */
export type ErrSaid = Pick<Ack, "code" | "reason" | "message" | "retry_after_ms">;

/** The frame of an ACK. */
export function ackFrame(text: boolean, ack: Ack): Frame {
  return text ? encodeTextAck(ack) : encodeAck(ack);
}

/** The frame of an ERR. */
export function errFrame(text: boolean, error: ErrSaid): Frame {
  return text ? encodeTextErr(error) : encodeErr(error.code, error.message);
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
