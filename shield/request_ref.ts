/**
 * Whom an answer is for, and the empty one. Not the answers themselves: `answers.ts` and
 * `connection.ts` send them.
 */
import type { Ack, ClientOperation, Uint64 } from "@arqon/proto";

/** Who asked, as far as a refusal needs it: with an id (or a wish for an ACK) it is an ACK, else an ERR. */
export interface RequestRef {
  readonly request_id: Uint64;
  readonly ack_requested: boolean;
}

/** Nobody asked. */
export const NO_REQUEST: RequestRef = { request_id: 0, ack_requested: false };

/** An accepted request without anything to say; callers spread it and put in what they know. */
export const EMPTY_ACK: Ack = {
  request_id: 0,
  code: 0,
  reason: "",
  message: "",
  result: new Uint8Array(0),
  offset: 0,
  retry_after_ms: 0,
};

/** The request that an operation is, as far as its answer needs it. */
export function requestOf(operation: ClientOperation): RequestRef {
  switch (operation.kind) {
    case "publish":
      return operation.envelope;
    case "subscribe":
      return { request_id: operation.subscribe.request_id, ack_requested: false };
    case "unsubscribe":
      return { request_id: operation.unsubscribe.request_id, ack_requested: false };
    case "refresh":
      return { request_id: operation.refresh.request_id, ack_requested: false };
    default:
      return NO_REQUEST;
  }
}
