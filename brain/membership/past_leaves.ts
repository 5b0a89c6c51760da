/**
 * Who has left lately, as a journal of members has it: so that a stay of which a Shield tells is not written twice.
 * Pure.
 */
import type { MembershipEntry, RecordedMember } from "../../shared/membership/entry.ts";
import type { Stay } from "../../shared/presence/messages.ts";

/** Leaves that are remembered. */
const LEAVES_MAX = 32_768;
/** How far the clocks of a Shield and of the log may be apart. */
const SKEW_MS = 60_000;

type Identity = Pick<RecordedMember, "connection_id" | "joined_ms">;

/** A connection may come to a room more than once. */
const keyOf = ({ connection_id, joined_ms }: Identity): string => `${connection_id}/${joined_ms}`;

/** The leaves from some time on. */
export class PastLeaves {
  /** When each stands there, Unix ms. */
  readonly #leaves = new Map<string, number>();
  /** Not all of the earlier ones are known. */
  #since_ms = Infinity;

  /** Begins anew: what is taken from now on is everything from that time on; 0: from the beginning. */
  begin(since_ms: number): void {
    this.#leaves.clear();
    this.#since_ms = since_ms;
  }

  take(entry: MembershipEntry): void {
    if (entry.type !== "left") return;
    this.#leaves.set(keyOf(entry.data), entry.data.at_ms);
    if (this.#leaves.size <= LEAVES_MAX) return;
    const { value: [key, at_ms] } = this.#leaves.entries().next() as { value: [string, number] };
    this.#leaves.delete(key);
    this.#since_ms = Math.max(this.#since_ms, at_ms + 1);
  }

  has(member: Identity): boolean {
    return this.#leaves.has(keyOf(member));
  }

  /** Whether its leave would be known, did it stand there: nobody writes one before it happens. */
  covers({ entry }: Stay): boolean {
    return this.coversFrom(PastLeaves.needed(entry.changed_ms));
  }

  /** Whether all leaves from that time on are known. */
  coversFrom(time_ms: number): boolean {
    return this.#since_ms <= time_ms;
  }

  /** From when on leaves have to be known for one that left then. */
  static needed(left_ms: number): number {
    return left_ms - SKEW_MS;
  }
}
