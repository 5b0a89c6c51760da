/**
 * Which Brains live, and which of them owns a room: rendezvous hashing, so that every process that
 * sees the same Brains names the same owner, and a Brain that comes or goes moves only its own rooms.
 * Knows no clock and no Spine; not a membership protocol with votes: two processes may disagree for
 * a heartbeat or two, and everything above must live with that.
 */
import { fnvText, mixBits } from "../fnv.ts";
import type { Beat, BrainState } from "../records/member.ts";

/** How long a Brain may be silent. */
export interface BrainTableOptions {
  /** A Brain that is silent for longer does not live: `presence.brain_timeout_ms`. */
  readonly brain_timeout_ms: number;
}

interface BrainRecord {
  readonly hash: number;
  beat: Beat;
  state: BrainState;
  /** Unix ms of the last beat. */
  seen_ms: number;
  suspected: boolean;
}

/** The most Brains that are kept; beats of known ones are taken beyond it. */
export const BRAINS_MAX = 1_024;

const RANK: Readonly<Record<BrainState, number>> = { starting: 0, serving: 1, draining: 2 };

/**
 * A hash of 32 bits of a room, the same in every process. Two rooms with one hash have one owner.
 */
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
 * The Brain id of a node: distinct from the node id, which is the Shield's when one process or one
 * configuration file is both. At most 64 characters; a longer node id is cut and told apart by a hash.
 */
export function brainIdOf(node_id: string): string {
  const id = PREFIX + node_id;
  if (id.length <= ID_LENGTH) return id;
  const digits = brainHash(node_id).toString(16).padStart(8, "0");
  return `${id.slice(0, ID_LENGTH - digits.length - 1)}-${digits}`;
}

/** The Brains that one process has heard of. Times are the caller's clock, Unix ms. */
export class BrainTable {
  readonly #timeout_ms: number;
  readonly #brains = new Map<string, BrainRecord>();
  #live: readonly string[] = [];
  #hashes: readonly number[] = [];

  constructor(options: BrainTableOptions) {
    this.#timeout_ms = options.brain_timeout_ms;
  }

  /**
   * Takes a beat, also a late or repeated one. Beats of an earlier life are ignored, and within one
   * life a Brain never goes back from draining to serving. True when the live Brains have changed.
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

  /**
   * Drops the Brains that have been silent for too long. True when the live Brains have changed.
   */
  sweep(now_ms: number): boolean {
    for (const [brain_id, { seen_ms }] of this.#brains) {
      if (now_ms - seen_ms > this.#timeout_ms) this.#brains.delete(brain_id);
    }
    return this.#refresh();
  }

  /** Counts a Brain as dead until its next beat. True when the live Brains have changed. */
  suspect(brain_id: string): boolean {
    const known = this.#brains.get(brain_id);
    if (known === undefined) return false;
    known.suspected = true;
    return this.#refresh();
  }

  /** This process was itself away for `gap_ms`: nobody counts as silent for that time. */
  forgive(gap_ms: number, now_ms: number): void {
    for (const known of this.#brains.values()) {
      known.seen_ms = Math.min(now_ms, known.seen_ms + gap_ms);
    }
  }

  /** The Brains that serve, in the order of their ids. */
  live(): readonly string[] {
    return this.#live;
  }

  /** The live Brain with the highest weight for this room; undefined when none lives. */
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

  /** The last beat of a Brain that has not been silent for too long. */
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
