/**
 * The one error that decoding throws, whatever the bytes. Not for encoding: a value that cannot be
 * encoded is a programmer's error.
 */
import { ArqonError } from "./error.ts";

/** The reasons that decoding can give; all of them are code 400. */
export type DecodeReason =
  | "malformed-frame"
  | "unknown-opcode"
  | "repeated-field"
  | "unknown-field"
  | "payload-count"
  | "too-many-headers"
  | "invalid-field";

/**
 * Thrown by every reader here for bytes or text that are not what they should be; always code 400.
 */
export class DecodeError extends ArqonError {
  declare readonly reason: DecodeReason;
  declare readonly detail: string;
  /** Set when the request's id could be read: its refusal is then an ACK, not an ERR. */
  declare readonly request_id: number | bigint | undefined;

  constructor(reason: DecodeReason, detail: string, request_id?: number | bigint) {
    super(reason, detail);
    this.detail = detail;
    this.request_id = request_id;
  }
}
