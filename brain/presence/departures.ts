/**
 * Shields that have announced their stop. Their members stay for a grace period, so that a client that reconnects to
 * another Shield does not leave. `replicas.ts` removes the members after it.
 */
import type { Liveness } from "../../shared/presence/liveness.ts";
import { type Writer, type WriterKey, writerKey } from "../../shared/presence/types.ts";

interface Departure {
  readonly writer: Writer;
  /** Its members may be removed from then on; by the clock of the table's owner. */
  readonly until_ms: number;
}

/** The stopping Shields within their grace period. At most as many as there are Shields. */
export class Departures {
  readonly #departing = new Map<WriterKey, Departure>();

  /** Starts the grace period of a Shield, unless it is running. */
  add(writer: Writer, until_ms: number): void {
    const key = writerKey(writer);
    if (!this.#departing.has(key)) this.#departing.set(key, { writer, until_ms });
  }

  /** Ends its grace period at `now_ms`, if not earlier. */
  hasten(writer: Writer, now_ms: number): void {
    const key = writerKey(writer);
    const until_ms = this.#departing.get(key)?.until_ms;
    if (until_ms !== undefined && until_ms > now_ms) {
      this.#departing.set(key, { writer, until_ms: now_ms });
    }
  }

  /** This process was stalled for `gap_ms`: extends all grace periods by that time. */
  extend(gap_ms: number): void {
    for (const [key, { writer, until_ms }] of this.#departing) {
      this.#departing.set(key, { writer, until_ms: until_ms + gap_ms });
    }
  }

  has(writer: Writer): boolean {
    return this.#departing.size > 0 && this.#departing.has(writerKey(writer));
  }

  delete(writer: Writer): void {
    this.#departing.delete(writerKey(writer));
  }

  /**
   * The Shields whose members can be removed: their grace period has expired, and every other Shield that is up has
   * sent a message since and has nothing unread (`lacks`), so that its new members are known. A silent Shield is
   * awaited until it is down, and an unread one for the same time.
   */
  ripe(now_ms: number, table: Liveness, lacks: (writer: Writer) => boolean): Writer[] {
    const { lives, options: { down_ms } } = table;
    const others = [...lives.values()].filter(({ state, writer }) =>
      state === "up" && !this.has(writer)
    );
    return [...this.#departing.values()].filter(({ until_ms }) =>
      until_ms <= now_ms && (now_ms >= until_ms + down_ms ||
        others.every(({ writer, last_seen_ms }) => last_seen_ms >= until_ms && !lacks(writer)))
    ).map(({ writer }) => writer);
  }
}
