/**
 * Who has left lately, as a journal of members has it: so that a stay of which a Shield tells is not written twice.
 * Pure.
 */
import { CLOCKS_DIFFER_MS } from "../../shared/clock_steps.ts";
import type { MembershipEntry, RecordedMember } from "../../shared/membership/entry.ts";
import type { Stay } from "../../shared/presence/messages.ts";

/** Leaves that are remembered. */
const LEAVES_MAX = 32_768;
/** So much earlier than its Shield says one may have left, at least, for its leave to be looked for. */
const SKEW_MS = 60_000;

type Identity = Pick<RecordedMember, "connection_id" | "joined_ms">;

/** A connection may come to a room more than once. */
const keyOf = ({ connection_id, joined_ms }: Identity): string => `${connection_id}/${joined_ms}`;

/** The leaves from some time on. */
export class PastLeaves {
  /** When each is there, Unix ms. */
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

  /**
   * Whether its leave would be known, were it there: nobody writes one before it happens. Of a long journal that
   * cannot be read back for as far as clocks differ, that holds where they differ by a minute.
   */
  covers({ entry }: Stay): boolean {
    return this.coversFrom(entry.changed_ms - SKEW_MS);
  }

  /** Whether all leaves from that time on are known. */
  coversFrom(time_ms: number): boolean {
    return this.#since_ms <= time_ms;
  }

  /** From when on leaves are to be read for one that left then, by its Shield's clock. */
  static needed(left_ms: number): number {
    return left_ms - CLOCKS_DIFFER_MS;
  }
}
