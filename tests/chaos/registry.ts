/**
 * Every connection that a client of the run ever had, and what other clients were told of it: whom
 * they may hear of, and whose leave was none. Knows no socket.
 */
import type { Member, PresenceChanges } from "../../sdk/typescript/mod.ts";
import { News } from "./news.ts";

/** A member's time in one room, on one connection; another stay there is another object. */
export interface MemberStay {
  /** What the member itself was told. */
  readonly members: ReadonlyMap<string, Member>;
}

/** How a stay ended: the client left the room, closed its connection, or lost it. */
export type StayEnd = "left" | "closed" | "lost";

/** A stay of which the member itself was told. Times are of the run's clock. */
export interface ToldStay {
  /** `tenant/room`. */
  readonly room: string;
  readonly connection_id: string;
  /** By its Shield. With the connection and the room it names the stay. */
  readonly joined_ms: number;
  /** Its Shield, and when it was told there first: the last one of a client that has moved. */
  node_id: string;
  told_ms: number;
  /** Undefined: it goes on. */
  end: StayEnd | undefined;
  ended_ms: number;
}

/** Names a stay: a connection may come to a room more than once. */
export function stayKey(
  { room, connection_id, joined_ms }: Pick<ToldStay, "room" | "connection_id" | "joined_ms">,
): string {
  return `${room} ${connection_id} ${joined_ms}`;
}

/** A connection, from its WELCOME on. */
export interface ConnectionRecord {
  readonly connection_id: string;
  readonly tenant_id: string;
  readonly user_id: string;
  /** Its Shield. */
  readonly node_id: string;
  /** By the run's clock. */
  readonly opened_ms: number;
  closed_ms: number | undefined;
  /** The rooms in which it is a member now. */
  readonly stays: Map<string, MemberStay>;
  /** See `HearingConnection`. */
  readonly told: Set<string>;
}

/** What somebody who watches a room has heard. */
export interface Heard {
  /** Who heard it. */
  readonly user_id: string;
  readonly tenant_id: string;
  readonly room_id: string;
  /** On which of its connections, as far as it knows. */
  readonly on?: ConnectionRecord | undefined;
  readonly changes: PresenceChanges;
}

/** A leave of somebody who, as far as we know, is there. */
interface Doubt {
  /** Who heard it, and where. */
  readonly by: string;
  readonly record: ConnectionRecord;
  readonly room_id: string;
  readonly stay: MemberStay;
  readonly heard_ms: number;
  /** The Shield that seemed to say so may not have heard of the member yet. */
  readonly is_late: boolean;
}

/** A connection's own end reaches us later than others may hear of it, but not that much later. */
const DOUBT_MS = 15_000;

/** A member of a Shield that stops keeps its id on the next one. */
function isMoved(
  former: ConnectionRecord,
  { tenant_id, user_id, node_id }: ConnectionRecord,
): boolean {
  return former.tenant_id === tenant_id && former.user_id === user_id && former.node_id !== node_id;
}

/** Made once a run. `never_down_before_ms`: see `Variant`. */
export class Registry {
  readonly #records = new Map<string, ConnectionRecord>();
  readonly #never_down_before_ms: number | undefined;
  /** From when on a Shield's members may have been down, by node. */
  readonly #excused = new Map<string, number>();
  readonly now: () => number;
  readonly #began_ms: number;
  readonly #news = new News();
  #doubts: Doubt[] = [];
  /** Who seemed to have left, to a client that came to a Shield which had not heard of the member yet. */
  readonly late: string[] = [];
  /** By connection. */
  readonly #told = new Map<string, ToldStay[]>();
  /** What nobody should have been told. */
  readonly violations: string[] = [];
  changes = 0;

  constructor(never_down_before_ms: number | undefined, now: () => number) {
    this.#never_down_before_ms = never_down_before_ms;
    this.now = now;
    this.#began_ms = now();
  }

  /** Connections that were ever open. */
  get size(): number {
    return this.#records.size;
  }

  opened(
    connection: Pick<ConnectionRecord, "connection_id" | "tenant_id" | "user_id" | "node_id">,
  ): ConnectionRecord {
    const record: ConnectionRecord = {
      ...connection,
      opened_ms: this.now(),
      closed_ms: undefined,
      stays: new Map(),
      told: new Set(),
    };
    const former = this.#records.get(record.connection_id);
    if (former !== undefined && !isMoved(former, record)) {
      this.violations.push(`two connections have the id ${record.connection_id}`);
    }
    this.#records.set(record.connection_id, record);
    return record;
  }

  /** A connection that was opened. */
  find(connection_id: string): ConnectionRecord | undefined {
    return this.#records.get(connection_id);
  }

  /** Stays of which the member itself was told. */
  get told(): readonly ToldStay[] {
    return [...this.#told.values()].flat();
  }

  #entered(room: string, { connection_id, node_id }: ConnectionRecord, joined_ms: number): void {
    const stays = this.#told.get(connection_id) ?? [];
    this.#told.set(connection_id, stays);
    const known = stays.find((stay) => stay.room === room && stay.joined_ms === joined_ms);
    // It has moved, and is told of itself again.
    const now = { told_ms: this.now(), node_id, end: undefined, ended_ms: Infinity };
    if (known === undefined) stays.push({ room, connection_id, joined_ms, ...now });
    else if (known.end !== undefined || known.node_id !== node_id) Object.assign(known, now);
  }

  /** A member goes from one room, or (absent) from all in which it is. */
  ended({ tenant_id, connection_id }: ConnectionRecord, end: StayEnd, room_id?: string): void {
    const room = room_id === undefined ? undefined : `${tenant_id}/${room_id}`;
    for (const stay of this.#told.get(connection_id) ?? []) {
      if (stay.end !== undefined || (room !== undefined && room !== stay.room)) continue;
      Object.assign(stay, { end, ended_ms: this.now() });
    }
  }

  /** The members of a Shield that is stopped for that long may be taken for gone. */
  silenced(node_id: string, for_ms: number): void {
    if (for_ms >= (this.#never_down_before_ms ?? 0)) {
      this.#excused.set(node_id, this.now() + for_ms);
    }
  }

  /** Takes note of what somebody heard. */
  heard({ user_id, tenant_id, room_id, on, changes }: Heard): void {
    this.changes++;
    const whom = `${user_id} in ${tenant_id}/${room_id}`;
    for (const member of changes.joined) {
      const is_own = on !== undefined && member.connection_id === on.connection_id;
      if (is_own) this.#entered(`${tenant_id}/${room_id}`, on, member.joined_ms);
      const record = this.#records.get(member.connection_id);
      if (record?.tenant_id === tenant_id && record.user_id === member.user_id) continue;
      const known = record === undefined ? "nobody" : `${record.user_id} of ${record.tenant_id}`;
      const told = `${member.user_id} (${member.connection_id})`;
      this.violations.push(`${whom} was told of ${told}, which is ${known}`);
    }
    const late_ms = this.#never_down_before_ms;
    if (late_ms === undefined) return;
    const now_ms = this.now();
    for (const member of [...changes.joined, ...changes.updated]) {
      if (on !== undefined) this.#news.there(on, { ...member, room_id }, now_ms);
    }
    for (const { connection_id, joined_ms } of changes.left) {
      const told = { room_id, connection_id, joined_ms };
      const is_unheard = on !== undefined && this.#news.gone(on, told, now_ms, late_ms);
      const record = this.#records.get(connection_id);
      const stay = record?.stays.get(room_id);
      if (record === undefined || stay === undefined || this.#isExcused(record)) continue;
      // A SUB that was refused in the end, or an earlier stay, of which one hears late.
      if (stay.members.get(connection_id)?.joined_ms !== joined_ms) continue;
      const for_s = ((now_ms - (on?.opened_ms ?? now_ms)) / 1_000).toFixed(1);
      const by = `${user_id}, ${on === undefined ? "nowhere" : `on ${on.node_id} for ${for_s} s`}`;
      // Of its own members a Shield knows at once.
      const is_late = is_unheard && on?.node_id !== record.node_id;
      this.#doubts.push({ by, record, room_id, stay, heard_ms: now_ms, is_late });
    }
  }

  /**
   * Decides on leaves that were doubtful; `all`: also on those of just now. Wrong is the leave of a
   * member that was told to be one and is still there, unless the client had just come to a Shield
   * that knew no better.
   */
  settle(all = false): void {
    const due_ms = this.now() - (all ? 0 : DOUBT_MS);
    const ripe = this.#doubts.filter(({ heard_ms }) => heard_ms <= due_ms);
    this.#doubts = this.#doubts.filter(({ heard_ms }) => heard_ms > due_ms);
    const untrue = ripe.filter(({ record, room_id, stay }) => (
      record.closed_ms === undefined && record.stays.get(room_id) === stay
    ));
    const wrong = untrue.filter(({ is_late }) => !is_late);
    for (const { is_late, by, record, heard_ms } of untrue) {
      if (is_late) this.late.push(`${by}, at ${this.#seconds(heard_ms)}: ${record.user_id}`);
    }
    for (const told of Map.groupBy(wrong, ({ stay }) => stay).values()) {
      const [{ record, room_id, heard_ms }] = told as [Doubt];
      const named = told.slice(0, 5).map(({ by }) => by).join("; ");
      this.violations.push(
        `${record.tenant_id}/${room_id}: ${told.length} times clients were told that ` +
          `${this.describe(record.connection_id)} has left, which was there all the time; first ` +
          `at ${this.#seconds(heard_ms)} [${named}${told.length > 5 ? ", …" : ""}]`,
      );
    }
  }

  /** Who a connection is or was, for people. */
  describe(connection_id: string): string {
    const record = this.#records.get(connection_id);
    if (record === undefined) return `${connection_id}, which was never a connection of the run`;
    const { user_id, tenant_id, node_id, closed_ms } = record;
    const seconds = ((this.now() - (closed_ms ?? 0)) / 1_000).toFixed(1);
    const end = closed_ms === undefined ? "open" : `closed ${seconds} s ago`;
    return `${user_id} of ${tenant_id} (${connection_id} on ${node_id}, ${end})`;
  }

  /** By the run's time, as the log of faults has it. */
  #seconds(at_ms: number): string {
    return `${((at_ms - this.#began_ms) / 1_000).toFixed(1)} s`;
  }

  #isExcused({ node_id, opened_ms }: ConnectionRecord): boolean {
    return opened_ms < (this.#excused.get(node_id) ?? -Infinity);
  }
}
