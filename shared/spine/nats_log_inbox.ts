/**
 * One wildcard subscription that takes the answers to many requests: cheaper than a subscription or a
 * promise of nats.js for each. Knows nothing of logs. Who waits has its own time limit.
 */
import { createInbox } from "@nats-io/transport-deno";
import type { Msg } from "@nats-io/transport-deno";
import type { Link } from "./nats_link.ts";

/** Whoever waits for answers. */
export interface Receiver {
  receive(message: Msg): void;
  /** The connection is lost: nothing will come. The number is forgotten by then. */
  cut(): void;
}

/** True for the empty answer that the server gives when nobody listens to the request. */
export function isNobody(message: Msg): boolean {
  return message.data.length === 0 && message.headers?.code === 503;
}

/** The inbox of one connection, through all its reconnects. */
export class Inbox {
  readonly #link: Link;
  readonly #prefix = `${createInbox()}.`;
  /** By the number that ends the reply subject. Bounded by those who ask. */
  readonly #receivers = new Map<number, Receiver>();
  #subscribed = false;
  #last = 0;

  constructor(link: Link) {
    this.#link = link;
  }

  /** A number for a request; the answers to `replyTo` of it come to `receiver` until `forget`. */
  expect(receiver: Receiver): number {
    if (!this.#subscribed) this.#subscribe();
    const number = ++this.#last;
    this.#receivers.set(number, receiver);
    return number;
  }

  /** The reply subject of a number. */
  replyTo(number: number): string {
    return this.#prefix + number;
  }

  forget(number: number): void {
    this.#receivers.delete(number);
  }

  /** Tells all who wait that the connection is lost. */
  cut(): void {
    const receivers = [...this.#receivers.values()];
    this.#receivers.clear();
    for (const receiver of receivers) receiver.cut();
  }

  #subscribe(): void {
    this.#subscribed = true;
    const { log, connection } = this.#link;
    connection.subscribe(`${this.#prefix}*`, {
      callback: (error, message) => {
        // Without it every request runs into its time limit.
        if (error) return log.error("NATS ended the inbox of the logs", { error });
        const receiver = this.#receivers.get(Number(message.subject.slice(this.#prefix.length)));
        try {
          receiver?.receive(message);
        } catch (error) {
          log.error("an answer of JetStream could not be taken", { error });
        }
      },
    });
  }
}
