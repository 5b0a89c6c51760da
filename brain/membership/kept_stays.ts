/**
 * Who has left and may not be in the journal of its room yet, as every Brain keeps it, whichever Brain writes that
 * journal: what Shields report about themselves, and members that left as presence saw it. So they are there also when
 * their Shield, or the Brain that was about to write them, is gone before the log takes anything. A Brain forgets them
 * when one says that they are there.
 */
import type { Env } from "../../shared/env.ts";
import { FairMap } from "../../shared/containers/fair_map.ts";
import type { Stay } from "../../shared/presence/messages.ts";
import type { LeaveReason } from "../../shared/records/leave_reason.ts";
import { writerKey } from "../../shared/presence/types.ts";
import type { Tag } from "../../shared/presence/types.ts";
import type {
  ClusterView,
  LeaveCause,
  MemberChange,
  StaysView,
  ToldStays,
} from "../cluster_view.ts";

/** Stays that one Brain keeps, at most; of more the oldest goes of a tenant that has more than its share. */
const KEPT_MAX = 10_000;
/** So long one of a Shield that is up is kept: that Shield keeps it itself, and reports it again. */
const UP_MS = 60_000;

/** What keeping needs of the Brain. */
export interface KeptStaysOptions extends Pick<Env, "now" | "monotonic_ms"> {
  readonly view: ClusterView & StaysView;
  /** Absent: `KEPT_MAX`. */
  readonly max?: number;
}

/** Who wants to know. */
export interface KeptStaysFollower {
  /** Whether the room has a journal. */
  readonly isJournaled: (tenant_id: string, room_id: string) => boolean;
  readonly onKept: (stay: Stay) => void;
  /** One whose Shield is gone was too much. */
  readonly onDropped: (stay: Stay) => void;
}

interface Kept {
  readonly stay: Stay;
  readonly kept_ms: number;
}

/** The name of a stay among Shields and Brains. */
export const tagKey = ({ writer, counter }: Tag): string => `${writerKey(writer)}/${counter}`;

const keyOf = ({ writer, entry: { counter } }: Stay): string => tagKey({ writer, counter });

/** Why somebody left, where its Shield did not say so. */
export function reasonOf(cause: LeaveCause, said: LeaveReason | undefined): LeaveReason {
  return said ?? (cause === "given-up" ? "node-lost" : "unknown");
}

/** The stays that one Brain keeps. */
export class KeptStays {
  readonly #options: KeptStaysOptions;
  /** Those that wait longest first. */
  readonly #stays: FairMap<Kept>;
  /** Undefined: nobody knows yet which rooms have a journal. */
  #follower: KeptStaysFollower | undefined;

  /** Begins to learn of who leaves. */
  constructor(options: KeptStaysOptions) {
    this.#options = options;
    const { view, max = KEPT_MAX } = options;
    this.#stays = new FairMap(max, ({ stay }) => stay.entry.tenant_id);
    view.onMembers((change) => this.#changed(change));
    view.onStays((told) => this.#told(told));
    view.onStaysWritten(({ stays }) => {
      for (const tag of stays) this.#stays.delete(tagKey(tag));
    });
  }

  get size(): number {
    return this.#stays.size;
  }

  /** From now on only those of rooms with a journal are kept. */
  follow(follower: KeptStaysFollower): void {
    this.#follower = follower;
    this.#dropRooms(follower);
  }

  drop(stay: Stay): void {
    this.#stays.delete(keyOf(stay));
  }

  /** Those that a Shield, which is up, reports no more are written; some rooms may have no journal any longer. */
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
      const said = reasonOf(cause, reasons?.get(entry.counter));
      const is_lost = said === "unknown" && !view.isUp(writer);
      const why = is_lost ? "node-lost" as const : said;
      this.#keep({ writer, entry: { ...entry, meta: "", changed_ms }, cause: why });
    }
  }

  #told({ node_id, stays }: ToldStays): void {
    for (const stay of stays) {
      const { writer, entry: { tenant_id, room_id } } = stay;
      // A Shield speaks for itself, and nobody else for it while it is up.
      if (node_id === undefined ? this.#options.view.isUp(writer) : writer.node_id !== node_id) {
        continue;
      }
      if (this.#follower?.isJournaled(tenant_id, room_id) !== false) this.#keep(stay);
    }
  }

  #keep(stay: Stay): void {
    const { view, monotonic_ms } = this.#options;
    const { tenant_id, room_id, connection_id, joined_ms } = stay.entry;
    // Its metadata has changed, or it has moved.
    if (view.memberOf(tenant_id, room_id, connection_id)?.entry.joined_ms === joined_ms) return;
    const dropped = this.#stays.set(keyOf(stay), { stay, kept_ms: monotonic_ms() });
    this.#follower?.onKept(stay);
    if (dropped === undefined || view.isUp(dropped.stay.writer)) return;
    this.#follower?.onDropped(dropped.stay);
  }
}
