/** The Shield's answers to one client, in the form that the client speaks: binary, or JSON as text. */
import {
  encodeAck,
  encodeErr,
  encodePing,
  encodePong,
  encodeRefusal,
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

/** The content of a refusal without a request; a plain ERR has space for code and message only. */
export type ErrSaid =
  & Pick<Ack, "code" | "reason" | "message" | "retry_after_ms">
  & Partial<RefusedPlace>;

/** The form in which a connection gets refusals: as JSON, as REFUSAL, or as ERR. */
export interface ErrForm {
  readonly text: boolean;
  /** True when the client asked for REFUSAL; JSON has all of its members anyway. */
  readonly refusals: boolean;
}

/** The frame of an ACK. */
export function ackFrame(text: boolean, ack: Ack): Frame {
  return text ? encodeTextAck(ack) : encodeAck(ack);
}

/** The refusal that was encoded last, and its frame: whoever floods gets the same one over and over. */
let last: { readonly form: ErrForm; readonly error: ErrSaid; readonly frame: Frame } | undefined;

function isSame({ form, error }: NonNullable<typeof last>, as: ErrForm, said: ErrSaid): boolean {
  return form.text === as.text && form.refusals === as.refusals && error.code === said.code &&
    error.reason === said.reason && error.message === said.message &&
    error.retry_after_ms === said.retry_after_ms && error.room === said.room &&
    error.action === said.action;
}

/** The frame of a refusal that answers no request. Nobody may write to it: others may get it, too. */
export function errFrame(connection: ErrForm, error: ErrSaid): Frame {
  if (last !== undefined && isSame(last, connection, error)) return last.frame;
  const { text, refusals } = connection;
  const form = { text, refusals };
  const frame = newErrFrame(form, error);
  last = { form, error, frame };
  return frame;
}

function newErrFrame({ text, refusals }: ErrForm, error: ErrSaid): Frame {
  if (text) return encodeTextErr(error);
  if (!refusals) return encodeErr(error.code, error.message);
  const { code, reason, message, retry_after_ms, room: room_id = "", action = "" } = error;
  return encodeRefusal({ code, reason, message, retry_after_ms, room_id, action });
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
