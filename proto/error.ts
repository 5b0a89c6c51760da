/**
 * The one error class of ArqonBus. Reasons come from the closed union that `errors.json` generates;
 * the numeric code and the text follow from the reason. Not for programmer errors (plain `TypeError`).
 */
import { ERRORS } from "./gen/errors.ts";
import type { Reason } from "./gen/errors.ts";

/** What an error carries besides its reason and detail. */
export interface ArqonErrorOptions {
  /** Another code than the reason's: a policy may choose its own. */
  code?: number;
  /** How long the client should wait before it tries again, in ms. */
  retry_after_ms?: number;
  /** What led here; for logs only, never sent to a client. */
  cause?: unknown;
}

/** Fills the `{detail}` of a reason's message template. */
export function errorMessage(reason: Reason, detail = ""): string {
  return ERRORS[reason].message.replace("{detail}", () => detail);
}

/** A refusal that a client can be told: code, stable reason and a text without secrets. */
export class ArqonError extends Error {
  override readonly name = "ArqonError";
  readonly reason: Reason;
  /** HTTP's code, 400 to 503. */
  readonly code: number;
  /** 0 when there is nothing to wait for. */
  readonly retry_after_ms: number;

  /** `detail` fills the reason's message template; it must never contain a token. */
  constructor(reason: Reason, detail = "", options: ArqonErrorOptions = {}) {
    super(
      errorMessage(reason, detail),
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.reason = reason;
    this.code = options.code ?? ERRORS[reason].code;
    this.retry_after_ms = options.retry_after_ms ?? 0;
  }
}
