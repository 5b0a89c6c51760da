/**
 * What the processes of a soak run tell each other, and who is in which room. Only types and data;
 * `client_main.ts` and `run.ts` act on it.
 */
import type { RoomFaults } from "./room_check.ts";

/** What is on in a room: schema, log, presence, or nothing but the policies. */
export type RoomKind = "plain" | "feed" | "log" | "people";

/** The rooms of a run in turns; each kind begins with its own prefix, `log-7`. */
export const KINDS: readonly RoomKind[] = ["plain", "feed", "log", "people"];

/** One of something for each kind. */
export function byKind<T>(make: (kind: RoomKind) => T): Record<RoomKind, T> {
  return {
    plain: make("plain"),
    feed: make("feed"),
    log: make("log"),
    people: make("people"),
  };
}

/** A room of a client process, with a sender and so many hearers, itself among them. */
export interface RoomPlan {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly kind: RoomKind;
  readonly members: number;
}

/** The plan of one client process. */
export interface ClientPlan {
  readonly hostname: string;
  readonly port: number;
  /** By tenant; each connection takes the next. */
  readonly tokens: Readonly<Record<string, readonly string[]>>;
  readonly rooms: readonly RoomPlan[];
  /** Messages a second, over all rooms of the process. */
  readonly rate: number;
  /** Connections a second that come, join a room with presence, and go. */
  readonly visits: number;
  readonly local_address: string;
  /** Figures are told this often. */
  readonly report_ms: number;
}

/** Words to a client process after its plan. */
export interface Word {
  readonly word: "go" | "stop";
}

/** Every connection is there and subscribed. */
export interface Ready {
  readonly kind: "ready";
}

/** What happened since the last report. */
export interface Report {
  readonly kind: "report";
  readonly sent: number;
  readonly received: number;
  /** From publish to receive, by the kind of room; encoded `Latencies`. */
  readonly latencies: Readonly<Record<RoomKind, string>>;
}

/** Everything is over; of the whole run. */
export interface Done {
  readonly kind: "done";
  readonly sent: number;
  readonly received: number;
  /** Presence events that came. */
  readonly presence: number;
  readonly visits: number;
  readonly refusals: readonly (readonly [reason: string, count: number])[];
  readonly faults: RoomFaults;
  /** Findings that have words: why a connection ended, whose list is wrong. */
  readonly findings: readonly string[];
}

/** The rooms of a run, dealt to so many client processes. */
export function dealRooms(
  connections: number,
  processes: number,
  room_size: number,
  tenants: readonly string[],
): RoomPlan[][] {
  const hands: RoomPlan[][] = Array.from({ length: processes }, () => []);
  for (let index = 0, left = connections; left > 0; index++) {
    const kind = KINDS[Math.floor(index / tenants.length) % KINDS.length]!;
    const tenant_id = tenants[index % tenants.length]!;
    // The same name in each tenant: who mixes them up is found out.
    const room_id = `${kind}-${Math.floor(index / tenants.length)}`;
    const members = Math.min(room_size, left);
    hands[index % processes]!.push({ tenant_id, room_id, kind, members });
    left -= members;
  }
  return hands;
}
