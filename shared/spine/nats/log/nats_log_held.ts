/** Appends that wait until their log has found its stream again, and in which order they then go. */
import type { Append, Missed } from "./nats_log_append.ts";

/** Of one log. Their number is bounded where they are taken. */
export class HeldAppends {
  #retries: { readonly append: Append; readonly why: Missed }[] = [];
  #queue: Append[] = [];

  get is_empty(): boolean {
    return this.#retries.length === 0 && this.#queue.length === 0;
  }

  /** Has not been sent yet. */
  queue(append: Append): void {
    this.#queue.push(append);
  }

  /** Was sent and not stored: goes before those that were not sent. */
  retry(append: Append, why: Missed): void {
    this.#retries.push({ append, why });
  }

  /** Ends the wait of all, in the order of their calls; what `end` holds again waits anew. */
  letGo(end: (append: Append, why: Missed | undefined) => void): void {
    const retries = this.#retries.sort((left, right) => left.append.order - right.append.order);
    const queue = this.#queue;
    this.#retries = [];
    this.#queue = [];
    for (const { append, why } of retries) end(append, why);
    for (const append of queue) end(append, undefined);
  }
}
