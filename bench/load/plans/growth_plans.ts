/**
 * Plans of the same load over more and more rooms, connections or tenants, in which only that one number
 * differs. Pure.
 */
import { type Group, type LoadPlan, ownRooms } from "./plan.ts";

/** The part of a plan that is the same at all steps. */
export interface GrowthLoad {
  /** Messages per second of all connections together. */
  readonly rate: number;
  readonly seconds: number;
  readonly warmup_seconds: number;
  readonly size_bytes: number;
}

/** Number of connections among which rooms are spread, and over which tenants are. */
const SPREAD = 20;
const OVER_TENANTS = 1_000;

function echo(
  { rate, seconds, warmup_seconds, size_bytes }: GrowthLoad,
  group: Pick<Group, "connections" | "tenants" | "prefix" | "rooms" | "rooms_each">,
): LoadPlan {
  return {
    groups: [ownRooms(group.connections, group.prefix, group)],
    processes: 1,
    echo: false,
    pace: { kind: "rate", rate, burst: 1 },
    sizes_bytes: [size_bytes],
    seconds,
    warmup_seconds,
  };
}

/**
 * The plan for so many rooms, which take turns, on at most 20 connections; each connection receives its own
 * rooms.
 */
export function roomsPlan(rooms: number, load: GrowthLoad): LoadPlan {
  const connections = Math.min(rooms, SPREAD);
  const rooms_each = Math.ceil(rooms / connections);
  return echo(load, { connections, tenants: 1, prefix: "many", rooms, rooms_each });
}

/** The plan for so many connections, which take turns, each in a room of its own. */
export function connectionsPlan(connections: number, load: GrowthLoad): LoadPlan {
  return echo(load, { connections, tenants: 1, prefix: "own", rooms: connections, rooms_each: 1 });
}

/** The plan for so many tenants: 1,000 connections take turns, each in a room of its own. */
export function tenantsPlan(tenants: number, load: GrowthLoad): LoadPlan {
  const connections = Math.max(tenants, OVER_TENANTS);
  const rooms = Math.ceil(connections / tenants);
  return echo(load, { connections, tenants, prefix: "tenant", rooms, rooms_each: 1 });
}

/** The powers of ten from `first` to `last`: 1, 10, 100 and so on. */
export function powersOfTen(first: number, last: number): number[] {
  const steps: number[] = [];
  for (let step = first; step <= last; step *= 10) steps.push(step);
  return steps;
}
