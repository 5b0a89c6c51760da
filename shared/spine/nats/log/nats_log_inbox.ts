/**
 * One wildcard subscription that takes the answers to many requests: cheaper than a subscription or a
 * promise of nats.js for each. Knows nothing of logs. Who waits has its own time limit.
 */
import { createInbox } from "@nats-io/transport-deno";
import { SequenceTable } from "../../../containers/sequence_table.ts";
import { isText } from "../connection/nats_headers.ts";
import type { MessageFrame } from "../connection/nats_frames.ts";
import type { Link } from "../connection/nats_link.ts";
import type { Wire } from "../connection/nats_wire.ts";

const ZERO = 0x30;

/** Whoever waits for answers. */
export interface Receiver {
  /** The frame is good until it returns. */
  receive(frame: MessageFrame): void;
  /** The connection is lost: nothing will come. The number is forgotten by then. */
  cut(): void;
}

/** The inbox of one connection, through all its reconnects. */
export class Inbox {
  readonly #link: Link;
  readonly #wire: Wire;
  readonly #prefix = `${createInbox()}.`;
  /** By the number that ends the reply subject. Bounded by those who ask. */
  readonly #receivers = new SequenceTable<Receiver>();
  #subscribed = false;

  constructor(link: Link, wire: Wire) {
    this.#link = link;
    this.#wire = wire;
  }

  /** A number for a request; the answers to `replyTo` of it come to `receiver` until `forget`. */
  expect(receiver: Receiver): number {
    if (!this.#subscribed) this.#subscribe();
    return this.#receivers.add(receiver);
  }

  /** The reply subject of a number. */
  replyTo(number: number): string {
    return this.#prefix + number;
  }

  forget(number: number): void {
    this.#receivers.take(number);
  }

  /** Tells all who wait that the connection is lost. */
  cut(): void {
    for (const receiver of this.#receivers.takeAll()) receiver.cut();
  }

  #subscribe(): void {
    this.#subscribed = true;
    const { log } = this.#link;
    this.#wire.subscribe({
      pattern: `${this.#prefix}*`,
      take: (frame) => this.#receive(frame),
      // Without it every request runs into its time limit.
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
