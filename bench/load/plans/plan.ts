/**
 * The plan of a load as plain JSON for load processes, and the assignment of connections to processes, tenants and
 * rooms. Pure: nothing here connects or waits.
 */

/** A group of connections with the same behaviour. A load has one or more groups. */
export interface Group {
  readonly connections: number;
  /** Number of tenants; connection i belongs to tenant i modulo this. */
  readonly tenants: number;
  /** Prefix of the room names. Groups with the same prefix use the same rooms. */
  readonly prefix: string;
  /** Number of rooms of each tenant, named `PREFIX-0`, `PREFIX-1`, and so on. */
  readonly rooms: number;
  /** Number of rooms of each connection. The rooms of a tenant's j-th connection start at j times this number. */
  readonly rooms_each: number;
  /** Whether the connections subscribe to their rooms. */
  readonly subscribes: boolean;
  /** Whether the connections publish to their rooms, round-robin. */
  readonly publishes: boolean;
  /** Whether the connections request BATCH frames. */
  readonly batch: boolean;
  /** The token of all connections of the group, for several users of one tenant; absent: the tenant's token. */
  readonly token?: number;
}

/** A group whose connections each publish to a separate room and receive their own messages. */
export function ownRooms(connections: number, prefix: string, more: Partial<Group> = {}): Group {
  return {
    connections,
    tenants: 1,
    prefix,
    rooms: connections,
    rooms_each: 1,
    subscribes: true,
    publishes: true,
    batch: false,
    ...more,
  };
}

/** Publishers without subscriptions, and readers, all in the room `PREFIX-0`. */
export function oneRoom(
  prefix: string,
  publishers: number,
  readers: number,
  batch: boolean,
): readonly Group[] {
  return [
    ownRooms(readers, prefix, { rooms: 1, batch, publishes: false }),
    ownRooms(publishers, prefix, { rooms: 1, batch, subscribes: false }),
  ];
}

/** A group of idle connections. */
export const idlers = (connections: number, prefix: string): Group =>
  ownRooms(connections, prefix, { rooms: 1, subscribes: false, publishes: false });

/** The publishing pace. */
export type Pace =
  /**
   * An open load: each message has a due time, independent of earlier messages. Its latency counts from the due time.
   */
  | {
    readonly kind: "rate";
    /** Messages per second of all publishers together. */
    readonly rate: number;
    /** Number of messages with the same due time. */
    readonly burst: number;
  }
  /** A closed load: each publisher, alone in its room, always has this many messages in flight. */
  | { readonly kind: "window"; readonly window: number };

/** The connections of a load and their distribution. */
export interface Crowd {
  readonly groups: readonly Group[];
  /** Number of load processes. Publishers without subscriptions get one additional process. */
  readonly processes: number;
  /** Whether every connection receives exactly its own messages. */
  readonly echo: boolean;
}

/** The work of a crowd's connections in one run. */
export interface Run {
  readonly pace: Pace;
  /**
   * The start of a latency: when the message was `due` (the default), or when it was `sent`. `sent` excludes the
   * lateness of the generator's timer, a millisecond and more. Sending never waits for the target.
   */
  readonly from?: "due" | "sent";
  /** Body sizes in bytes, used round-robin; at least `STAMP_BYTES` are sent. */
  readonly sizes_bytes: readonly number[];
  /** Seconds of publishing before the measurement. */
  readonly warmup_seconds: number;
  readonly seconds: number;
}

/** A complete load: a crowd and one run. */
export interface LoadPlan extends Crowd, Run {}

/** Length of the stamp at the beginning of every body: the due time in Unix ms, as a float64 in native byte order. */
export const STAMP_BYTES = 8;

/** One connection of a crowd. */
export interface Seat {
  readonly tenant: number;
  readonly rooms: readonly string[];
  readonly group: Group;
}

/** Whether a group only publishes. Such publishers get a separate process, so that receiving does not delay sending. */
function isApart({ publishes, subscribes }: Group): boolean {
  return publishes && !subscribes;
}

/** Number of processes for a crowd. */
export function processesOf({ groups, processes }: Crowd): number {
  return processes + (groups.some(isApart) ? 1 : 0);
}

function roomsOf(group: Group, index: number): string[] {
  const of_tenant = Math.floor(index / group.tenants);
  return Array.from(
    { length: Math.min(group.rooms, group.rooms_each) },
    (_, at) => `${group.prefix}-${(of_tenant * group.rooms_each + at) % group.rooms}`,
  );
}

/** The connections of one process. */
export function seatsOf({ groups, processes }: Crowd, process: number): Seat[] {
  return groups.flatMap((group) => {
    const first = isApart(group) ? (process === processes ? 0 : group.connections) : process;
    const step = isApart(group) ? 1 : processes;
    const seats: Seat[] = [];
    if (!isApart(group) && process === processes) return seats;
    for (let index = first; index < group.connections; index += step) {
      const tenant = group.token ?? index % group.tenants;
      seats.push({ tenant, rooms: roomsOf(group, index), group });
    }
    return seats;
  });
}

/** Number of connections that subscribe to a room of a tenant. */
type MembersOf = (tenant: number, room: string) => number;

/** Counts the members of all rooms once for the whole crowd. */
export function membersOf({ groups }: Crowd): MembersOf {
  const counts = new Map<string, number>();
  for (const group of groups) {
    if (!group.subscribes) continue;
    for (let index = 0; index < group.connections; index++) {
      for (const room of roomsOf(group, index)) {
        const key = `${group.token ?? index % group.tenants}/${room}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
  }
  return (tenant, room) => counts.get(`${tenant}/${room}`) ?? 0;
}

/** One process's share of an open load. */
export interface Share {
  /** Messages per second. */
  readonly rate: number;
  readonly burst: number;
  /** Delay in ms after the start of the load, so that processes do not send at the same time. */
  readonly offset_ms: number;
}

/** The share of a process with this many of all publishers. */
export function shareOf(
  { rate, burst }: { readonly rate: number; readonly burst: number },
  publishers: number,
  all: number,
  process: number,
): Share {
  return { rate: rate * publishers / all, burst, offset_ms: process * 1_000 / rate };
}

/** Due time of the k-th message of a share, in ms after the start of the load. */
export function dueMs({ rate, burst, offset_ms }: Share, index: number): number {
  return offset_ms + Math.floor(index / burst) * burst * 1_000 / rate;
}
