/**
 * What the message part of a chaos run writes down: every attempt to publish into a plain room with
 * its outcome, and per listener everything that it saw, in its order. Plain data;
 * `message_checker.ts` judges it. Durable rooms are recorded by `tests/durable`.
 */

/** One PUB on one connection. */
export interface Attempt {
  /** The connection, by a number that no other of the run has. */
  readonly connection: number;
  /** Its place among the PUBs of that connection. */
  readonly order: number;
  /** By the run's clock. */
  readonly sent_ms: number;
  /** `refused` and `unknown` do not say that nobody gets it. */
  outcome: "acknowledged" | "refused" | "unknown";
}

/** One message; sent again under the same id when the answer was lost and its publisher wants to. */
export interface PlainPublish {
  readonly tenant_id: string;
  readonly room_id: string;
  /** No other message of the run has it. */
  readonly message_id: string;
  readonly attempts: Attempt[];
}

/** A SUB was accepted: from now on the listener gets everything, until it is disconnected. */
export interface Subscribed {
  readonly kind: "subscribed";
  readonly at_ms: number;
}

/** A message came. */
export interface Delivered {
  readonly kind: "message";
  readonly at_ms: number;
  readonly message_id: string;
}

/** What a listener sees. `gap`: the Shield says that messages may be lost here. */
export type PlainSight =
  | Subscribed
  | Delivered
  | { readonly kind: "gap"; readonly at_ms: number; readonly reason: string }
  | { readonly kind: "disconnected"; readonly at_ms: number };

/** One listener of one room. */
export interface Listener {
  readonly name: string;
  readonly tenant_id: string;
  readonly room_id: string;
  readonly sights: readonly PlainSight[];
}

/** A whole run; it ends when everything that will come has come. */
export interface MessageRecording {
  readonly publishes: readonly PlainPublish[];
  readonly listeners: readonly Listener[];
}
