/**
 * One subscription of the Spine on NATS. A busy Shield has at least one for each room, so it is one object without
 * closures. `nats.ts` converts frames to messages.
 */
import { ArqonError } from "@arqon/proto";
import type { PayloadCopy, SpineMessage, Subscription } from "../../contract/spine_message.ts";
import type { MessageFrame } from "./nats_frames.ts";
import type { Link } from "./nats_link.ts";
import type { FrameTaker, WireSubscription } from "./nats_wire.ts";
import { AT, step } from "../../../watchdog/steps.ts";

/** What all subscriptions of a connection share. */
export interface SubscriptionSource {
  readonly link: Link;
  /** The message of a frame; `shown` is the pattern if that is a subject. */
  readonly read: (
    frame: MessageFrame,
    shown: string | undefined,
    copy: PayloadCopy,
  ) => SpineMessage;
}

/** A `Subscription` that takes its own frames. It is active once `held` is set. */
export class NatsSubscription implements Subscription, FrameTaker {
  readonly pattern: string;
  /** The same at the wire. */
  held: WireSubscription | undefined = undefined;
  readonly #source: SubscriptionSource;
  readonly #handler: (message: SpineMessage) => void;
  readonly #shown: string | undefined;
  readonly #copy: PayloadCopy;
  #closed = false;

  constructor(
    source: SubscriptionSource,
    pattern: string,
    handler: (message: SpineMessage) => void,
    shown: string | undefined,
    copy: PayloadCopy,
  ) {
    this.pattern = pattern;
    this.#source = source;
    this.#handler = handler;
    this.#shown = shown;
    this.#copy = copy;
  }

  take(frame: MessageFrame): void {
    // Called as a function, so that a handler never sees this object.
    const handler = this.#handler;
    step(AT.spine);
    handler(this.#source.read(frame, this.#shown, this.#copy));
  }

  // NATS ends a subscription that it does not permit; there is no other cause.
  refused(error: Error): void {
    if (this.#closed) return;
    this.#source.link.log.error("NATS ended a subscription", { pattern: this.pattern, error });
  }

  unsubscribe(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.held?.unsubscribe();
  }

  async drain(): Promise<void> {
    if (this.#closed || this.held === undefined) return;
    const { link } = this.#source;
    try {
      await link.guard(this.held.drain());
    } catch (cause) {
      throw cause instanceof ArqonError ? cause : link.unavailable();
    } finally {
      this.unsubscribe();
    }
  }
}
