/**
 * What a load is, as plain JSON that goes to load processes, and which of its connections belongs to
 * which process, tenant and room. Pure; nothing here connects or waits.
 */

/** Connections that do the same. A load has one group or several. */
export interface Group {
  readonly connections: number;
  /** Connection i belongs to tenant i modulo this. */
  readonly tenants: number;
  /** Begins the names of its rooms; groups with the same prefix meet in the same rooms. */
  readonly prefix: string;
  /** Rooms of each tenant: `PREFIX-0` and on. */
  readonly rooms: number;
  /** Rooms of each connection; the j-th of a tenant begins with room j times this. */
  readonly rooms_each: number;
  /** Hears its rooms. */
  readonly subscribes: boolean;
  /** Publishes to its rooms, in turn. */
  readonly publishes: boolean;
  /** Asks for several messages in a frame. */
  readonly batch: boolean;
}

/** When messages are published. */
export type Pace =
  /** Open: each message has its time, and its latency counts from it, whatever became of the others. */
  | {
    readonly kind: "rate";
    /** Messages a second, all publishers together. */
    readonly rate: number;
    /** So many have the same time. */
    readonly burst: number;
  }
  /** Closed: each publisher, alone in its room, always has so many messages under way. */
  | { readonly kind: "window"; readonly window: number };

/** Connections and how they are spread. */
export interface Crowd {
  readonly groups: readonly Group[];
  /** Load processes; one more takes the publishers that hear nothing, when there are any. */
  readonly processes: number;
  /** Every connection gets back what it publishes itself and nothing else. */
  readonly echo: boolean;
}

/** What the connections of a crowd do. */
export interface Run {
  readonly pace: Pace;
  /** Bytes of bodies, in turn; at least `STAMP_BYTES` are sent. */
  readonly sizes_bytes: readonly number[];
  /** Published before that and not counted. */
  readonly warmup_seconds: number;
  /** Counted time. */
  readonly seconds: number;
}

/** A whole load. */
export interface LoadPlan extends Crowd, Run {}

/** Begins every body: Unix ms at which the message was due, as a float64 of this machine. */
export const STAMP_BYTES = 8;

/** One connection of a crowd. */
export interface Seat {
  readonly tenant: number;
  readonly rooms: readonly string[];
  readonly group: Group;
}

/** True for publishers that hear nothing: what they hear must not delay what they send. */
export function isApart({ publishes, subscribes }: Group): boolean {
  return publishes && !subscribes;
}

/** How many processes the crowd takes. */
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
      seats.push({ tenant: index % group.tenants, rooms: roomsOf(group, index), group });
    }
    return seats;
  });
}

/** How many connections hear a room of a tenant. */
export type MembersOf = (tenant: number, room: string) => number;

/** Counts them once for the whole crowd. */
export function membersOf({ groups }: Crowd): MembersOf {
  const counts = new Map<string, number>();
  for (const group of groups) {
    if (!group.subscribes) continue;
    for (let index = 0; index < group.connections; index++) {
      for (const room of roomsOf(group, index)) {
        const key = `${index % group.tenants}/${room}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
  }
  return (tenant, room) => counts.get(`${tenant}/${room}`) ?? 0;
}

/** One process's part of an open load. */
export interface Share {
  /** Messages a second. */
  readonly rate: number;
  readonly burst: number;
  /** After the start of the load, so that processes do not send at the same moments; ms. */
  readonly offset_ms: number;
}

/** What a process with so many of all publishers sends. */
export function shareOf(
  { rate, burst }: { readonly rate: number; readonly burst: number },
  publishers: number,
  all: number,
  process: number,
): Share {
  return { rate: rate * publishers / all, burst, offset_ms: process * 1_000 / rate };
}

/** When the k-th message of a share is due, ms after the start of the load. */
export function dueMs({ rate, burst, offset_ms }: Share, index: number): number {
  return offset_ms + Math.floor(index / burst) * burst * 1_000 / rate;
}
