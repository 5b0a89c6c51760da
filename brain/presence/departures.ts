/**
 * Shields that have said that they stop. Their members stay for a time, so that a client that comes
 * back on another Shield was never away. What happens when the time is over is `replicas.ts`.
 */
import type { Liveness } from "../../shared/presence/liveness.ts";
import type { Writer, WriterKey } from "../../shared/presence/types.ts";
import { writerKey } from "../../shared/presence/types.ts";

interface Departure {
  readonly writer: Writer;
  /** Its members may be let go from then on; by the clock of whoever keeps the table. */
  readonly until_ms: number;
}

/** The Shields that stop and whose time still runs. At most as many as there are Shields. */
export class Departures {
  readonly #departing = new Map<WriterKey, Departure>();

  /** Begins the time of a Shield, unless it runs already. */
  add(writer: Writer, until_ms: number): void {
    const key = writerKey(writer);
    if (!this.#departing.has(key)) this.#departing.set(key, { writer, until_ms });
  }

  /** Its time is over at `now_ms`, if not before. */
  hasten(writer: Writer, now_ms: number): void {
    const key = writerKey(writer);
    const until_ms = this.#departing.get(key)?.until_ms;
    if (until_ms !== undefined && until_ms > now_ms) {
      this.#departing.set(key, { writer, until_ms: now_ms });
    }
  }

  /** Whoever keeps the table was itself away for `gap_ms`: nobody's time ran meanwhile. */
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
   * The Shields whose members can be let go: their time is over, and every other Shield that is up has been
   * heard since and has nothing unread (`lacks`), so that it is known who has come to it. One that is
   * silent is waited for until it is down, and one that stays unread no longer than that.
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
