/**
 * One wildcard subscription for the answers to many requests: cheaper than a subscription or a nats.js promise for
 * each. Independent of logs. Receivers have their own timeouts.
 */
import { createInbox } from "@nats-io/transport-deno";
import { SequenceTable } from "../../../containers/sequence_table.ts";
import { isText, type MessageFrame } from "../connection/nats_frames.ts";
import type { Link } from "../connection/nats_link.ts";
import type { Wire } from "../connection/nats_wire.ts";

const ZERO = 0x30;

/** A receiver of answers. */
export interface Receiver {
  /** The frame is valid until it returns. */
  receive(frame: MessageFrame): void;
  /** The connection is lost: no answer will arrive. The number is already forgotten. */
  cut(): void;
}

/** The inbox of one connection, through all its reconnects. */
export class Inbox {
  readonly #link: Link;
  readonly #wire: Wire;
  readonly #prefix = `${createInbox()}.`;
  /** Receivers by the number at the end of the reply subject. The callers bound their number. */
  readonly #receivers = new SequenceTable<Receiver>();
  #subscribed = false;

  constructor(link: Link, wire: Wire) {
    this.#link = link;
    this.#wire = wire;
  }

  /** A number for a request; answers to its `replyTo` go to `receiver` until `forget`. */
  expect(receiver: Receiver): number {
    if (!this.#subscribed) this.#subscribe();
    return this.#receivers.add(receiver);
  }

  replyTo(number: number): string {
    return this.#prefix + number;
  }

  forget(number: number): void {
    this.#receivers.take(number);
  }

  /** Notifies all receivers that the connection is lost. */
  cut(): void {
    for (const receiver of this.#receivers.takeAll()) receiver.cut();
  }

  #subscribe(): void {
    this.#subscribed = true;
    const { log } = this.#link;
    this.#wire.subscribe({
      pattern: `${this.#prefix}*`,
      take: (frame) => this.#receive(frame),
      // Without the inbox every request times out.
      refused: (error) => log.error("NATS ended the inbox of the logs", { error }),
    });
  }

  #receive(frame: MessageFrame): void {
    const from = frame.subject_from + this.#prefix.length;
    if (!isText(frame.bytes, frame.subject_from, from, this.#prefix)) return;
    let number = 0;
    for (let at = from; at < frame.subject_to; at++) {
      number = number * 10 + (frame.bytes[at] as number) - ZERO;
    }
    try {
      this.#receivers.get(number)?.receive(frame);
    } catch (error) {
      this.#link.log.error("an answer of JetStream could not be taken", { error });
    }
  }
}
