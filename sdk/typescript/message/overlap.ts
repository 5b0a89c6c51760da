/**
 * One room heard on two connections, while the client moves: until the old connection has delivered
 * all that the new one may not have, what the new one delivers is held. What came on the old one
 * first is dropped on the new one. Only of messages without an offset.
 */
import type { PlainEnvelope } from "@arqon/proto";
import { AHEAD_MAX, HELD_BYTES_MAX, HELD_MAX } from "../wire/bounds.ts";
import { Message } from "./message.ts";

/** A key that two copies of one message share: `X-Twist-ID`, or what a backend's message has. */
export function copyKey(envelope: PlainEnvelope): string {
  const { headers, sender_id, event, command, signal, timestamp_ms, message_id } = envelope;
  const what = event?.type ?? command?.name ?? signal?.kind;
  const own = [timestamp_ms, message_id, what, (event ?? command)?.data];
  return [sender_id, headers["X-Twist-ID"] ?? own].join("\n");
}

/** A room during a move, until everything that both connections deliver has come on both. */
export class Overlap {
  /** By key, how often a message has come on the old connection and not yet on the new one. */
  readonly #ahead = new Map<string, number>();
  #held: PlainEnvelope[] = [];
  #held_bytes = 0;
  #overflown = false;
  #crossed = false;

  /** Takes a message of the old connection. False when it comes too late to count. */
  hearOld(envelope: PlainEnvelope): boolean {
    if (this.#crossed) return false;
    const key = copyKey(envelope);
    this.#ahead.set(key, (this.#ahead.get(key) ?? 0) + 1);
    if (this.#ahead.size > AHEAD_MAX) {
      const [oldest = key] = this.#ahead.keys();
      this.#ahead.delete(oldest);
    }
    return true;
  }

  /** Takes a message of the new connection. True when the program is to get it now. */
  hearNew(envelope: PlainEnvelope): boolean {
    if (this.#crossed) return !this.#isRepeat(envelope);
    if (this.#overflown) return false;
    this.#held_bytes += new Message(envelope).size_bytes;
    this.#held.push(envelope);
    if (this.#held.length > HELD_MAX || this.#held_bytes > HELD_BYTES_MAX) {
      this.#overflown = true;
      this.#held = [];
    }
    return false;
  }

  /**
   * Crosses over: from here on the new connection alone counts. Gives what the program gets now, in
   * order; undefined when too many messages were held.
   */
  cross(): PlainEnvelope[] | undefined {
    this.#crossed = true;
    const held = this.#held.filter((envelope) => !this.#isRepeat(envelope));
    this.#held = [];
    return this.#overflown ? undefined : held;
  }

  #isRepeat(envelope: PlainEnvelope): boolean {
    const key = copyKey(envelope);
    const count = this.#ahead.get(key);
    if (count === undefined) return false;
    if (count > 1) this.#ahead.set(key, count - 1);
    else this.#ahead.delete(key);
    return true;
  }
}
