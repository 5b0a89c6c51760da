/** Appends that wait until their log has found its stream again, and their order. */
import type { Append, Missed } from "./nats_log_append.ts";

/** The waiting appends of one log. The callers bound their number. */
export class HeldAppends {
  #retries: { readonly append: Append; readonly why: Missed }[] = [];
  #queue: Append[] = [];

  get is_empty(): boolean {
    return this.#retries.length === 0 && this.#queue.length === 0;
  }

  /** Queues an append that has not been sent yet. */
  queue(append: Append): void {
    this.#queue.push(append);
  }

  /** Queues an append that was sent and not stored: it goes before the unsent ones. */
  retry(append: Append, why: Missed): void {
    this.#retries.push({ append, why });
  }

  /** Releases all, in the order of their calls; an append that `end` queues again keeps waiting. */
  letGo(end: (append: Append, why: Missed | undefined) => void): void {
    const retries = this.#retries.sort((left, right) => left.append.order - right.append.order);
    const queue = this.#queue;
    this.#retries = [];
    this.#queue = [];
    for (const { append, why } of retries) end(append, why);
    for (const append of queue) end(append, undefined);
  }
}
