/** A request to the pool: one hook of one operation. Plain data, shared by chains, pool and worker. */
import type { Hook, PolicyBinding, PolicyFault } from "../../../shared/records/verdict.ts";

/** The inputs of a policy besides the payload. */
export interface PolicyFacts {
  /**
   * The headers for `host_get_header`: envelope, upgrade request, reserved ones. Names are compared without case; the
   * first match counts.
   */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The token's claims, for `host_get_claim`; a value that is not a string is passed as JSON. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** The pool's input to evaluate one hook of one operation. */
export interface EvaluateRequest {
  readonly hook: Hook;
  readonly tenant_id: string;
  /** The connection. Its operations stay on one worker and in order. */
  readonly connection_id: string;
  /** The sender to which faults are counted; unique within the tenant. */
  readonly sender: string;
  /** The source of the sender: several senders of one source count as one. */
  readonly source: string;
  /** Whether the connection of a repeatedly failing sender may be closed. */
  readonly can_be_closed: boolean;
  /** The policies in order, never empty; without those that do not apply (room, hook, percent). */
  readonly chain: readonly PolicyBinding[];
  /** Returns the inputs; called only if a policy of the chain can read them. */
  readonly facts: () => PolicyFacts;
  /** The payload: `Event.data` or `Command.data`, or the text of a piece; empty for the other hooks. */
  readonly payload: Uint8Array;
  /** The most bytes of a new payload; `SIGNED` or `NOT_A_MESSAGE` if it must not change. */
  readonly payload_most: number;
  /** Whether the verdict contains the reads and writes of each policy (`Verdict.seen`). */
  readonly record_reads?: boolean;
}

/** Instead of the most bytes of a new payload: the sender has signed the payload. */
export const SIGNED = -1;
/** Instead of the most bytes of a new payload: the operation has no payload. */
export const NOT_A_MESSAGE = -2;

/** The code of a refusal for a fault that the message, the sender or the tenant has caused; other faults have 503. */
export const FAULT_CODES: Readonly<Partial<Record<PolicyFault, number>>> = {
  "payload-too-large": 413,
  "signed-payload": 422,
  "rate": 429,
  "sender-slowed": 429,
};
