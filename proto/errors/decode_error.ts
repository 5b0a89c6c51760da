/** The only error that decoding throws. Not for encoding: a value that cannot be encoded is a programming error. */
import { ArqonError } from "./error.ts";

/** The reasons of decoding errors; all have code 400. */
export type DecodeReason =
  | "malformed-frame"
  | "unknown-opcode"
  | "repeated-field"
  | "unknown-field"
  | "payload-count"
  | "too-many-headers"
  | "invalid-field";

/** Thrown by every reader for invalid bytes or text; always code 400. */
export class DecodeError extends ArqonError {
  declare readonly reason: DecodeReason;
  declare readonly detail: string;
  /** Set if the request's id could be read: then the refusal is an ACK, not an ERR. */
  declare readonly request_id: number | bigint | undefined;

  constructor(reason: DecodeReason, detail: string, request_id?: number | bigint) {
    super(reason, detail);
    this.detail = detail;
    this.request_id = request_id;
  }
}
