/** The messages that a Spine delivers, and the options of a subscription. `spine.ts` has the engine. */
/** Header names are case-sensitive here and lower case by convention. */
export type SpineHeaders = Readonly<Record<string, string>>;

/** A delivered message. */
export interface SpineMessage {
  readonly subject: string;
  /** The receiver's own copy; stays valid. */
  readonly payload: Uint8Array;
  readonly headers: SpineHeaders;
  /** Present when the sender waits for a reply; `respond` then sends one. */
  readonly reply?: string;
  /** Sends a reply. Throws as `publish` does, but works while draining. Does nothing without `reply`. */
  respond(payload: Uint8Array, headers?: SpineHeaders): void;
}

/** How to subscribe. */
export interface SubscribeOptions {
  /** Members of one queue group share the messages: each goes to one of them. */
  queue?: string;
  /** The handler only reads the payload, and not after it has returned: the engine may pass shared bytes. */
  reads_only?: boolean;
  /** How a payload is copied; absent: into a buffer of its own. */
  copy?: PayloadCopy;
}

/**
 * Copies the bytes from `from` to `to` for a receiver that chooses where its copy lies. An engine that makes no copy,
 * or a shared one, does not call it. Must not throw.
 */
export type PayloadCopy = (bytes: Uint8Array, from: number, to: number) => Uint8Array;

/** A subscription that runs until it is ended. */
export interface Subscription {
  readonly pattern: string;
  /** Stops delivery at once. Calling it twice is harmless. */
  unsubscribe(): void;
  /**
   * Accepts nothing new, delivers messages already under way, then resolves. Rejects with 503 when the server cannot
   * confirm that all were delivered; delivery has then stopped as well.
   */
  drain(): Promise<void>;
}
