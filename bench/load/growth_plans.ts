/** The same load over more and more rooms, connections or tenants: only that one number differs. Pure. */
import type { Group, LoadPlan } from "./plan.ts";

/** What is the same at all steps. */
export interface GrowthLoad {
  /** Messages a second, all connections together. */
  readonly rate: number;
  readonly seconds: number;
  readonly warmup_seconds: number;
  readonly size_bytes: number;
}

/** Connections among which rooms are spread, and over which tenants are. */
const SPREAD = 20;
const OVER_TENANTS = 1_000;

function echo(
  { rate, seconds, warmup_seconds, size_bytes }: GrowthLoad,
  group: Pick<Group, "connections" | "tenants" | "prefix" | "rooms" | "rooms_each">,
): LoadPlan {
  return {
    groups: [{ ...group, subscribes: true, publishes: true, batch: false }],
    processes: 1,
    echo: false,
    pace: { kind: "rate", rate, burst: 1 },
    sizes_bytes: [size_bytes],
    seconds,
    warmup_seconds,
  };
}

/** So many rooms in turn, of at most 20 connections; each hears its own rooms. */
export function roomsPlan(rooms: number, load: GrowthLoad): LoadPlan {
  const connections = Math.min(rooms, SPREAD);
  const rooms_each = Math.ceil(rooms / connections);
  return echo(load, { connections, tenants: 1, prefix: "many", rooms, rooms_each });
}

/** So many connections in turn, each in a room of its own. */
export function connectionsPlan(connections: number, load: GrowthLoad): LoadPlan {
  return echo(load, { connections, tenants: 1, prefix: "own", rooms: connections, rooms_each: 1 });
}

/** 1,000 connections in turn, each in a room of its own, of so many tenants. */
export function tenantsPlan(tenants: number, load: GrowthLoad): LoadPlan {
  const connections = Math.max(tenants, OVER_TENANTS);
  const rooms = Math.ceil(connections / tenants);
  return echo(load, { connections, tenants, prefix: "tenant", rooms, rooms_each: 1 });
}

/** 1, 10, 100 and so on from `first` to `last`. */
export function powersOfTen(first: number, last: number): number[] {
  const steps: number[] = [];
  for (let step = first; step <= last; step *= 10) steps.push(step);
  return steps;
}
