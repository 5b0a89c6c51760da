/** The leaves that a room's journal has, as far back as a reported stay may be. `room_recorder.ts` reads them. */
import { CLOCKS_DIFFER_MS } from "../../shared/clock_steps.ts";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import type { MembershipEntry, RecordedMember } from "../../shared/membership/entry.ts";
import type { Stay } from "../../shared/presence/messages.ts";

const LEAVES_MAX = 32_768;
/** How much earlier than the time of its Shield a leave is searched for, at least. */
const SKEW_MS = 60_000;

type Identity = Pick<RecordedMember, "connection_id" | "joined_ms">;

/** A connection may join a room more than once. */
const keyOf = ({ connection_id, joined_ms }: Identity): string => `${connection_id}/${joined_ms}`;

/** The leaves since a time. */
export class PastLeaves {
  /** The time of each leave, Unix ms. */
  readonly #leaves = new BoundedMap<string, number>(LEAVES_MAX);
  /** Earlier leaves are not completely known. */
  #since_ms = Infinity;

  /** Resets: the leaves added from now on are complete since that time; 0: from the beginning. */
  begin(since_ms: number): void {
    this.#leaves.clear();
    this.#since_ms = since_ms;
  }

  take(entry: MembershipEntry): void {
    if (entry.type !== "left") return;
    const dropped_ms = this.#leaves.set(keyOf(entry.data), entry.data.at_ms);
    if (dropped_ms !== undefined) this.#since_ms = Math.max(this.#since_ms, dropped_ms + 1);
  }

  has(member: Identity): boolean {
    return this.#leaves.get(keyOf(member)) !== undefined;
  }

  /**
   * Whether its leave would be known if it were in the journal: a leave is never written before it happens. If a long
   * journal cannot be read back as far as clocks may differ, this assumes a difference of at most a minute.
   */
  covers({ entry }: Stay): boolean {
    return this.coversFrom(entry.changed_ms - SKEW_MS);
  }

  /** Whether all leaves since that time are known. */
  coversFrom(time_ms: number): boolean {
    return this.#since_ms <= time_ms;
  }

  /** The time since which leaves must be read for a leave at that time of its Shield's clock. */
  static needed(left_ms: number): number {
    return left_ms - CLOCKS_DIFFER_MS;
  }
}
