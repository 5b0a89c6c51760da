/**
 * One publisher of a durable run: an SDK connection that publishes at a steady rate, every message
 * under an id of its own, and repeats it under that id until its fate is known. It records the outcome
 * of each attempt and judges nothing.
 */
import { ArqonError, connect } from "../../sdk/typescript/mod.ts";
import type { Connection, Reason } from "../../sdk/typescript/mod.ts";
import { pace } from "../../shared/testing/pace.ts";
import type { Random } from "../presence_simulation/random.ts";
import { hashBytes } from "./recording.ts";
import type { OpenPublish, Outcome, Recorder } from "./recording.ts";
import { TIMES } from "./times.ts";

/** Who publishes what, how fast. */
export interface PublisherOptions {
  readonly name: string;
  readonly url: string;
  readonly token: string;
  readonly rooms: readonly string[];
  /** Messages a second. */
  readonly rate: number;
  readonly recorder: Recorder;
  readonly random: Random;
  /** The run's clock, ms. */
  readonly now: () => number;
  readonly onSurprise: (text: string) => void;
}

/** Answers that leave the fate of a message open. */
const UNKNOWN: readonly Reason[] = ["answer-timeout", "connection-lost", "connection-closed"];
const TICK_MS = 20;
/** Messages without a known fate; more are not made, as a publisher that must not forget any would do. */
const PENDING_MAX = 4_000;
const ATTEMPT_MS = 10_000;
const RETRY_MS = 200;
/** Repeated for this long after the first attempt, which is well within the deduplication window. */
const GIVE_UP_MS = 90_000;
const FILLER_BYTES = 200;

/** Made once a run. */
export class Publisher {
  /** From the first attempt to the acknowledgement, of each acknowledged message. */
  readonly ack_times_ms: number[] = [];
  /** Not made because too many were pending. */
  held_back = 0;
  readonly refusals = new Map<string, number>();
  readonly #options: PublisherOptions;
  readonly #pending = new Set<Promise<void>>();
  #connection: Connection | undefined;
  #sequence = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { url, token } = this.#options;
    this.#connection = await connect({ url, token, ...TIMES });
    void this.#connection.closed.then((error) => {
      if (error !== undefined) this.#surprise(`its connection ended: ${error.message}`);
    });
  }

  /** Publishes until the signal; resolves when the fate of every message is known or given up. */
  async run(signal: AbortSignal): Promise<void> {
    const { rate, now } = this.#options;
    const began_ms = now();
    let made = 0;
    while (!signal.aborted) {
      const due = Math.floor((now() - began_ms) * rate / 1_000);
      for (; made < due; made++) {
        if (this.#pending.size >= PENDING_MAX) this.held_back++;
        else this.#track(this.#publish());
      }
      await pace(TICK_MS);
    }
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  async close(): Promise<void> {
    await this.#connection?.close();
  }

  #track(work: Promise<void>): void {
    this.#pending.add(work);
    void work.finally(() => this.#pending.delete(work));
  }

  async #publish(): Promise<void> {
    const { name: publisher, rooms, recorder, random, now } = this.#options;
    const sequence = this.#sequence++;
    const message_id = `${publisher}-${sequence}`;
    const room_id = random.pick(rooms);
    const data = `${message_id} ${random.next()} ${"x".repeat(random.int(0, FILLER_BYTES))}`;
    const hash = hashBytes(new TextEncoder().encode(data));
    const publish = recorder.publish(room_id, { message_id, publisher, sequence, hash });
    const began_ms = now();
    while (now() - began_ms < GIVE_UP_MS) {
      if (await this.#attempt(room_id, data, publish)) {
        this.ack_times_ms.push(now() - began_ms);
        return;
      }
      await pace(RETRY_MS);
    }
  }

  /** True when it is acknowledged. */
  async #attempt(room_id: string, data: string, publish: OpenPublish): Promise<boolean> {
    const { message_id, attempts } = publish;
    const at_ms = this.#options.now();
    let outcome: Outcome;
    try {
      const options = { message_id, timeout_ms: ATTEMPT_MS };
      const ack = await this.#connection?.room(room_id).publish("note", data, options);
      const offset = Number(ack?.offset ?? 0);
      if (offset === 0) this.#surprise(`${message_id} was acknowledged without an offset`);
      outcome = { kind: "acknowledged", offset };
    } catch (error) {
      if (!(error instanceof ArqonError)) throw error;
      const { reason } = error;
      this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1);
      outcome = UNKNOWN.includes(reason) ? { kind: "unknown" } : { kind: "refused", reason };
    }
    attempts.push({ at_ms, outcome });
    return outcome.kind === "acknowledged";
  }

  #surprise(what: string): void {
    this.#options.onSurprise(`${this.#options.name}: ${what}`);
  }
}
