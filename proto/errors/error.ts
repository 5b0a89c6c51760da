/**
 * The only error class of ArqonBus. Reasons are the closed union generated from `errors.json`; code and text follow
 * from the reason. Not for programming errors (plain `TypeError`).
 */
import type { Reason } from "../gen/errors.ts";
import { ruleOf } from "./reasons.ts";

/** The actions in a room that may be refused or ended; part of the protocol (docs/protocol.md). */
export type RefusedAction = "publish" | "command" | "subscribe" | "unsubscribe" | "presence";

/** The optional parts of an error besides reason and detail. */
export interface ArqonErrorOptions {
  /** A code instead of the reason's: a policy may choose its own. */
  code?: number;
  /** The wait before a retry, in ms. */
  retry_after_ms?: number;
  /** The room of a refusal without a request. */
  room?: string;
  /** The refused or ended action in that room: a `RefusedAction`, or one of a newer Shield. */
  action?: string;
  /** The trace of the refused message; for a client's own errors. */
  trace_id?: string;
  /** The id of the connection; for a client's own errors. */
  connection_id?: string;
  /** The cause, for logs only; never sent to a client. */
  cause?: unknown;
}

/** Fills `{detail}` in a reason's message template; without a detail it also removes the colon before it. */
export function errorMessage(reason: Reason, detail = ""): string {
  return ruleOf(reason).message.replace(detail ? "{detail}" : /(: )?{detail}/, () => detail);
}

/** A refusal that a client can receive: code, stable reason and a text without secrets. */
export class ArqonError extends Error {
  override readonly name = "ArqonError";
  declare readonly reason: Reason;
  /** The HTTP code, 400 to 503. */
  declare readonly code: number;
  /** The wait before a retry, in ms; 0: none. */
  declare readonly retry_after_ms: number;
  /** The room of a refusal without a request; "" in all other errors. */
  declare readonly room: string;
  /** The refused or ended action in `room`: a `RefusedAction`, or one of a newer Shield; otherwise "". */
  declare readonly action: string;
  /** In a client, the trace id of the refused publish or command (`arq why --trace`); otherwise "". */
  declare readonly trace_id: string;
  /** In a client, the connection's id (`arq why --connection`); "" before there was a connection. */
  declare readonly connection_id: string;

  /** `detail` fills the reason's message template; it must never contain a token. */
  constructor(reason: Reason, detail = "", options: ArqonErrorOptions = {}) {
    super(errorMessage(reason, detail), options);
    this.reason = reason;
    this.code = options.code ?? ruleOf(reason).code;
    this.retry_after_ms = options.retry_after_ms ?? 0;
    this.room = options.room ?? "";
    this.action = options.action ?? "";
    this.trace_id = options.trace_id ?? "";
    this.connection_id = options.connection_id ?? "";
  }
}

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
