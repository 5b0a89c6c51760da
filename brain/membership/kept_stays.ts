/**
 * Stays of members that have left and may not be in their room's journal yet. Every Brain keeps them, whichever Brain
 * writes the journal: the reports of Shields, and leaves detected by presence. So none is lost if the Shield, or the
 * writing Brain, fails before the log stores it. A Brain forgets them when a writer confirms them.
 */
import type { Env } from "../../shared/env.ts";
import { FairMap } from "../../shared/turns/fair_map.ts";
import type { Stay, Stays, StaysWritten } from "../../shared/records/member.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import { writerKey } from "../../shared/presence/types.ts";
import type { Tag } from "../../shared/presence/types.ts";
import type { ClusterView, LeaveCause, MemberChange } from "../cluster_view.ts";

/** The most stays of one Brain; above, the oldest one of a tenant that exceeds its share is dropped. */
const KEPT_MAX = 10_000;
/** How long a stay of a Shield that is up is kept: that Shield keeps it, too, and repeats its report. */
const UP_MS = 60_000;

/** A report of members that have left. */
export interface ReportedStays extends Pick<Stays, "stays" | "missed"> {
  /** The Shield that reports its own members; undefined: another Brain, for members of Shields that are down. */
  readonly node_id: string | undefined;
}

/** Stays of members that Shields and Brains keep until they are in the journals of their rooms. */
export interface StaysView {
  /** Calls back, while this Brain serves, with each report; reports are repeated, and sent to all Brains. */
  onStays(listener: (reported: ReportedStays) => void): () => void;
  /** Calls back with the stays that another Brain has written. */
  onStaysWritten(listener: (written: Pick<StaysWritten, "stays">) => void): () => void;
  /** Confirms to the Shield and the other Brains that the stays are written, or need not be. */
  confirmStays(node_id: string, written: Pick<StaysWritten, "stays" | "missed">): void;
  /** Sends the other Brains stays of members whose Shields are down. */
  shareStays(stays: readonly Stay[]): void;
}

/** Where stays are read and kept. */
export interface KeptStaysOptions extends Pick<Env, "now" | "monotonic_ms"> {
  readonly view: ClusterView & StaysView;
  /** Absent: `KEPT_MAX`. */
  readonly max?: number;
}

/** The follower of kept stays. */
export interface KeptStaysFollower {
  readonly isJournaled: (tenant_id: string, room_id: string) => boolean;
  readonly onKept: (stay: Stay) => void;
  /** Called when a stay of a Shield that is down was dropped because of the bound. */
  readonly onDropped: (stay: Stay) => void;
}

interface Kept {
  readonly stay: Stay;
  readonly kept_ms: number;
}

/** The key of a stay among Shields and Brains. */
export const tagKey = ({ writer, counter }: Tag): string => `${writerKey(writer)}/${counter}`;

const keyOf = ({ writer, entry: { counter } }: Stay): string => tagKey({ writer, counter });

/** The reason of a leave; a default if its Shield did not report one. */
export function reasonOf(cause: LeaveCause, reported: LeaveReason | undefined): LeaveReason {
  return reported ?? (cause === "given-up" ? "node-lost" : "unknown");
}

/** The stays that one Brain keeps. */
export class KeptStays {
  readonly #options: KeptStaysOptions;
  /** The oldest first. */
  readonly #stays: FairMap<Kept>;
  /** Undefined: it is not known yet which rooms have a journal. */
  #follower: KeptStaysFollower | undefined;

  /** Starts collecting leaves. */
  constructor(options: KeptStaysOptions) {
    this.#options = options;
    const { view, max = KEPT_MAX } = options;
    this.#stays = new FairMap(max, ({ stay }) => stay.entry.tenant_id);
    view.onMembers((change) => this.#changed(change));
    view.onStays((stays) => this.#onStays(stays));
    view.onStaysWritten(({ stays }) => {
      for (const tag of stays) this.#stays.delete(tagKey(tag));
    });
  }

  get size(): number {
    return this.#stays.size;
  }

  /** From now on keeps only stays of rooms with a journal. */
  follow(follower: KeptStaysFollower): void {
    this.#follower = follower;
    this.#dropRooms(follower);
  }

  drop(stay: Stay): void {
    this.#stays.delete(keyOf(stay));
  }

  /**
   * Drops stays that a Shield that is up no longer reports, because they are written, and those of rooms that no longer
   * have a journal.
   */
  sweep(): void {
    const { view, monotonic_ms } = this.#options;
    const now_ms = monotonic_ms();
    for (const [key, { stay, kept_ms }] of this.#stays.entries()) {
      if (now_ms - kept_ms >= UP_MS && view.isUp(stay.writer)) this.#stays.delete(key);
    }
    if (this.#follower !== undefined) this.#dropRooms(this.#follower);
  }

  *all(): Generator<Stay> {
    for (const [, { stay }] of this.#stays.entries()) yield stay;
  }

  #dropRooms({ isJournaled }: KeptStaysFollower): void {
    for (const [key, { stay: { entry } }] of this.#stays.entries()) {
      if (!isJournaled(entry.tenant_id, entry.room_id)) this.#stays.delete(key);
    }
  }

  #changed({ tenant_id, room_id, left, cause, reasons }: MemberChange): void {
    if (left.length === 0 || this.#follower?.isJournaled(tenant_id, room_id) === false) return;
    const { view, now } = this.#options;
    const changed_ms = now();
    for (const { writer, entry } of left) {
      const reason = reasonOf(cause, reasons?.get(entry.counter));
      const is_lost = reason === "unknown" && !view.isUp(writer);
      const why = is_lost ? "node-lost" as const : reason;
      this.#keep({ writer, entry: { ...entry, meta: "", changed_ms }, cause: why });
    }
  }

  #onStays({ node_id, stays }: ReportedStays): void {
    for (const stay of stays) {
      const { writer, entry: { tenant_id, room_id } } = stay;
      // A Shield reports its own members, and no one else does while it is up.
      if (node_id === undefined ? this.#options.view.isUp(writer) : writer.node_id !== node_id) {
        continue;
      }
      if (this.#follower?.isJournaled(tenant_id, room_id) !== false) this.#keep(stay);
    }
  }

  #keep(stay: Stay): void {
    const { view, monotonic_ms } = this.#options;
    const { tenant_id, room_id, connection_id, joined_ms } = stay.entry;
    // Not a leave: its metadata has changed, or it has moved.
    if (view.memberOf(tenant_id, room_id, connection_id)?.entry.joined_ms === joined_ms) return;
    const dropped = this.#stays.set(keyOf(stay), { stay, kept_ms: monotonic_ms() });
    this.#follower?.onKept(stay);
    if (dropped === undefined || view.isUp(dropped.stay.writer)) return;
    this.#follower?.onDropped(dropped.stay);
  }
}
