/**
 * The one error class of ArqonBus. Reasons come from the closed union that `errors.json` generates;
 * the numeric code and the text follow from the reason. Not for programmer errors (plain `TypeError`).
 */
import type { Reason } from "../gen/errors.ts";
import { ruleOf } from "./reasons.ts";

/** What may be refused, or end, in a room: a part of the protocol (docs/protocol.md). */
export type RefusedAction = "publish" | "command" | "subscribe" | "unsubscribe" | "presence";

/** What an error carries besides its reason and detail. */
export interface ArqonErrorOptions {
  /** Another code than the reason's: a policy may choose its own. */
  code?: number;
  /** How long the client should wait before it tries again, in ms. */
  retry_after_ms?: number;
  /** The room that it is about, when it answers no request that names it. */
  room?: string;
  /** What was refused or has ended in that room: a `RefusedAction`, or what a newer Shield says. */
  action?: string;
  /** The trace of the message that was refused; for a client's own errors. */
  trace_id?: string;
  /** The connection on which it happened; for a client's own errors. */
  connection_id?: string;
  /** What led here; for logs only, never sent to a client. */
  cause?: unknown;
}

/** Fills the `{detail}` of a reason's message template; without one a colon before it goes, too. */
export function errorMessage(reason: Reason, detail = ""): string {
  return ruleOf(reason).message.replace(detail ? "{detail}" : /(: )?{detail}/, () => detail);
}

/** A refusal that a client can receive: code, stable reason and a text without secrets. */
export class ArqonError extends Error {
  override readonly name = "ArqonError";
  declare readonly reason: Reason;
  /** HTTP's code, 400 to 503. */
  declare readonly code: number;
  /** 0 when there is nothing to wait for. */
  declare readonly retry_after_ms: number;
  /** The room that a refusal without a request is about; "" in all other errors. */
  declare readonly room: string;
  /** What was refused or has ended in `room`: a `RefusedAction`, or what a newer Shield says; else "". */
  declare readonly action: string;
  /** In a client, the trace id of the publish or command that it answers: `arq why --trace`; else "". */
  declare readonly trace_id: string;
  /** In a client, the connection on which it happened: `arq why --connection`; "" before there was one. */
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
