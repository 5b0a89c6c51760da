/**
 * The live Brains, and the owner of a room by rendezvous hashing: every process that sees the same Brains computes the
 * same owner, and a Brain that starts or stops moves only its own rooms. Has no clock and no Spine. Not a consensus
 * protocol: two processes may disagree for a heartbeat or two, and callers must tolerate that.
 */
import { fnvText, mixBits } from "../fnv.ts";
import type { Beat, BrainState } from "../records/member.ts";

interface BrainRecord {
  readonly hash: number;
  beat: Beat;
  state: BrainState;
  /** Unix ms of the last beat. */
  seen_ms: number;
  suspected: boolean;
}

/** The most Brains that are kept; above, beats of new ones are ignored. */
export const BRAINS_MAX = 1_024;

const RANK: Readonly<Record<BrainState, number>> = { starting: 0, serving: 1, draining: 2 };

/** A hash of 32 bits of a room, the same in every process. Rooms with equal hashes have the same owner. */
export function roomHash(tenant_id: string, room_id: string): number {
  // "." is in no id, so ("a", "bc") and ("ab", "c") differ.
  return mixBits(fnvText(room_id, fnvText(".", fnvText(tenant_id))));
}

/** A hash of 32 bits of a Brain, the same in every process. */
function brainHash(brain_id: string): number {
  return mixBits(fnvText(brain_id));
}

const PREFIX = "brain:";
const ID_LENGTH = 64;

/**
 * The Brain id of a node: distinct from the node id, which is the Shield's if one process or one configuration file is
 * both. At most 64 characters; a longer node id is truncated and made unique by a hash.
 */
export function brainIdOf(node_id: string): string {
  const id = PREFIX + node_id;
  if (id.length <= ID_LENGTH) return id;
  const digits = brainHash(node_id).toString(16).padStart(8, "0");
  return `${id.slice(0, ID_LENGTH - digits.length - 1)}-${digits}`;
}

/** The Brains known to one process. Times are the caller's clock, Unix ms. */
export class BrainTable {
  readonly #timeout_ms: number;
  readonly #brains = new Map<string, BrainRecord>();
  #live: readonly string[] = [];
  #hashes: readonly number[] = [];

  /** A Brain that is silent for longer than `presence.brain_timeout_ms` counts as down. */
  constructor(options: { readonly brain_timeout_ms: number }) {
    this.#timeout_ms = options.brain_timeout_ms;
  }

  /**
   * Handles a beat, which may be late or duplicated. Beats of an earlier life are ignored, and within one life a Brain
   * never returns from draining to serving. True if the live Brains have changed.
   */
  onBeat(beat: Beat, now_ms: number): boolean {
    const known = this.#brains.get(beat.brain_id);
    if (known === undefined) {
      if (this.#brains.size >= BRAINS_MAX) return false;
      this.#brains.set(beat.brain_id, {
        hash: brainHash(beat.brain_id),
        beat,
        state: beat.state,
        seen_ms: now_ms,
        suspected: false,
      });
      return this.#refresh();
    }
    if (beat.boot < known.beat.boot) return false;
    const advances = beat.boot > known.beat.boot || RANK[beat.state] >= RANK[known.state];
    if (advances) known.state = beat.state;
    known.beat = beat;
    known.seen_ms = Math.max(known.seen_ms, now_ms);
    known.suspected = false;
    return this.#refresh();
  }

  /** Drops the Brains that missed their beats. True if the live Brains have changed. */
  sweep(now_ms: number): boolean {
    for (const [brain_id, { seen_ms }] of this.#brains) {
      if (now_ms - seen_ms > this.#timeout_ms) this.#brains.delete(brain_id);
    }
    return this.#refresh();
  }

  /** Counts a Brain as down until its next beat. True if the live Brains have changed. */
  suspect(brain_id: string): boolean {
    const known = this.#brains.get(brain_id);
    if (known === undefined) return false;
    known.suspected = true;
    return this.#refresh();
  }

  /** This process was stalled for `gap_ms`: no Brain counts as silent for that time. */
  forgive(gap_ms: number, now_ms: number): void {
    for (const known of this.#brains.values()) {
      known.seen_ms = Math.min(now_ms, known.seen_ms + gap_ms);
    }
  }

  /** The serving Brains, in the order of their ids. */
  live(): readonly string[] {
    return this.#live;
  }

  /** The live Brain with the highest weight for this room; undefined without a live Brain. */
  ownerOf(tenant_id: string, room_id: string): string | undefined {
    if (this.#live.length < 2) return this.#live[0];
    const room = roomHash(tenant_id, room_id);
    let highest = -1;
    let owner: string | undefined;
    for (let index = 0; index < this.#hashes.length; index++) {
      const weight = mixBits(room ^ (this.#hashes[index] ?? 0));
      // Equal weights: the lower id, because `live` is in order.
      if (weight > highest) {
        highest = weight;
        owner = this.#live[index];
      }
    }
    return owner;
  }

  /** The last beat of a live Brain. */
  beatOf(brain_id: string): Beat | undefined {
    return this.#brains.get(brain_id)?.beat;
  }

  #refresh(): boolean {
    const live: string[] = [];
    for (const [brain_id, { state, suspected }] of this.#brains) {
      if (state === "serving" && !suspected) live.push(brain_id);
    }
    live.sort();
    const before = this.#live;
    if (live.length === before.length && live.every((id, index) => id === before[index])) {
      return false;
    }
    this.#live = live;
    this.#hashes = live.map((id) => this.#brains.get(id)?.hash ?? 0);
    return true;
  }
}
