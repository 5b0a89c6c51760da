/**
 * One room received on two connections during a move: messages of the new connection are held until the old one has
 * delivered all that the new one may lack. Duplicates of the old connection's messages are dropped on the new one. Only
 * for messages without an offset.
 */
import type { PlainEnvelope } from "@arqon/proto";
import { AHEAD_MAX, HELD_BYTES_MAX, HELD_MAX } from "../wire/bounds.ts";
import { Message } from "./message.ts";

/** A key that two copies of one message share: `X-Twist-ID`, or the ids of a backend's message. */
export function copyKey(envelope: PlainEnvelope): string {
  const { headers, sender_id, event, command, signal, timestamp_ms, message_id } = envelope;
  const what = event?.type ?? command?.name ?? signal?.kind;
  const own = [timestamp_ms, message_id, what, (event ?? command)?.data];
  return [sender_id, headers["X-Twist-ID"] ?? own].join("\n");
}

/** A room during a move, until both connections have delivered the same messages. */
export class Overlap {
  /** By key, how many copies the old connection has delivered and the new one has not yet. */
  readonly #ahead = new Map<string, number>();
  #held: PlainEnvelope[] = [];
  #held_bytes = 0;
  #overflown = false;
  #crossed = false;

  /** Records a message of the old connection. False if it is too late to be delivered. */
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

  /** Records a message of the new connection. True if it is to be delivered now. */
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
   * Crosses over: from now on only the new connection counts. Returns the held messages to deliver, in order; undefined
   * if too many were held.
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
