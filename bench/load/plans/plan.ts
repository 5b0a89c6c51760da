/**
 * The plan of a load, as plain JSON for load processes, and which of its connections belongs to which
 * process, tenant and room. Pure; nothing here connects or waits.
 */

/** A group of connections that all do the same. A load has one or more groups. */
export interface Group {
  readonly connections: number;
  /** Number of tenants; connection i belongs to tenant i modulo this. */
  readonly tenants: number;
  /** Prefix of the rooms' names. Groups with the same prefix meet in the same rooms. */
  readonly prefix: string;
  /** Number of rooms of each tenant: `PREFIX-0` and on. */
  readonly rooms: number;
  /** Number of rooms of each connection; the rooms of a tenant's j-th connection begin at j times this. */
  readonly rooms_each: number;
  /** Whether the connections subscribe to their rooms. */
  readonly subscribes: boolean;
  /** Whether the connections publish to their rooms, in turn. */
  readonly publishes: boolean;
  /** Whether the connections ask for several messages in a frame. */
  readonly batch: boolean;
  /** The token of all its connections, for several users of one tenant; absent: that of the tenant. */
  readonly token?: number;
}

/** A group whose connections each publish to a room of their own and receive themselves. */
export function ownRooms(connections: number, prefix: string, more: Partial<Group> = {}): Group {
  return {
    ...{ connections, tenants: 1, prefix, rooms: connections, rooms_each: 1 },
    ...{ subscribes: true, publishes: true, batch: false },
    ...more,
  };
}

/** Publishers that receive nothing, and readers, all of the room `PREFIX-0`. */
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

/** A group of connections that do nothing. */
export const idlers = (connections: number, prefix: string): Group =>
  ownRooms(connections, prefix, { rooms: 1, subscribes: false, publishes: false });

/** The pace at which messages are published. */
export type Pace =
  /**
   * An open load: each message has a due time, from which its latency counts, whatever the outcome of the others.
   */
  | {
    readonly kind: "rate";
    /** Messages per second of all publishers together. */
    readonly rate: number;
    /** Number of messages with the same due time. */
    readonly burst: number;
  }
  /** A closed load: each publisher, alone in its room, always has so many messages under way. */
  | { readonly kind: "window"; readonly window: number };

/** The connections of a load, and how they are spread. */
export interface Crowd {
  readonly groups: readonly Group[];
  /** Number of load processes. One more takes the publishers that receive nothing, when there are any. */
  readonly processes: number;
  /** Whether every connection gets back exactly what it publishes itself. */
  readonly echo: boolean;
}

/** What the connections of a crowd do in one run. */
export interface Run {
  readonly pace: Pace;
  /**
   * Where a latency begins: when the message was `due`, which is the default, or when it was `sent`, which leaves
   * out the lateness of the generator's own timer, a millisecond and more. Sending never waits for the target.
   */
  readonly from?: "due" | "sent";
  /** Sizes of bodies in bytes, used in turn; at least `STAMP_BYTES` are sent. */
  readonly sizes_bytes: readonly number[];
  /** Seconds of publishing before the counted time. */
  readonly warmup_seconds: number;
  /** Seconds of the counted time. */
  readonly seconds: number;
}

/** A whole load: a crowd and one run. */
export interface LoadPlan extends Crowd, Run {}

/**
 * Length of the stamp at the beginning of every body: the due time in Unix ms, as a float64 of this machine.
 */
export const STAMP_BYTES = 8;

/** One connection of a crowd. */
export interface Seat {
  readonly tenant: number;
  readonly rooms: readonly string[];
  readonly group: Group;
}

/**
 * Whether a group only publishes. Such publishers get a process of their own, so that hearing does not delay
 * sending.
 */
export function isApart({ publishes, subscribes }: Group): boolean {
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

/** How many connections subscribe to a room of a tenant. */
export type MembersOf = (tenant: number, room: string) => number;

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

/** The part of an open load that one process sends. */
export interface Share {
  /** Messages per second. */
  readonly rate: number;
  readonly burst: number;
  /** Delay in ms after the start of the load, so that processes do not send at the same moments. */
  readonly offset_ms: number;
}

/** The share of a process with so many of all publishers. */
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
