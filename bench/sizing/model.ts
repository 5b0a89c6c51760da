/**
 * The cost of a load on N Shields: cores, memory, processes, and the largest need. Only arithmetic on measured costs
 * (`costs.ts`); it starts nothing and measures nothing.
 */
import type { Costs, Price } from "./costs.ts";

/** A load, and the machines for it. */
export interface SizingPlan {
  readonly connections: number;
  /** Publishes of one connection per minute. */
  readonly messages_per_minute: number;
  /** Members of a room: all of them receive each message, including its publisher. */
  readonly room: number;
  readonly rooms_each: number;
  readonly size_bytes: number;
  /** `[server] heartbeat_ms`: the interval of a PING to each connection. */
  readonly heartbeat_ms: number;
  /** The seconds within which all connections can reconnect, with TLS. */
  readonly back_seconds: number;
  readonly cores: number;
  readonly memory_bytes: number;
  /** The share of a core that may be used in normal operation, 0 to 1. */
  readonly use: number;
  /** `[limits] connections_per_process` and `memory_bytes`. */
  readonly connections_per_process: number;
  readonly process_memory_bytes: number;
}

/** A part of the CPU time, in cores. */
export interface Part {
  readonly what: string;
  readonly arithmetic: string;
  /** With the calm price. */
  readonly cores: number;
  readonly busy_cores: number;
}

/** A need, and its amount. */
export interface Need {
  readonly what: string;
  readonly count: number;
}

/** The needs of a load. */
export interface Sizing {
  readonly in_per_s: number;
  readonly out_per_s: number;
  /** Processes that subscribe to a room, on average. */
  readonly receiving: number;
  readonly processes: number;
  /** The reasons for processes, the largest need first. */
  readonly process_needs: readonly Need[];
  readonly machines: number;
  readonly machine_needs: readonly Need[];
  /** CPU of all Shields. */
  readonly parts: readonly Part[];
  readonly cores: number;
  readonly busy_cores: number;
  /** CPU of the NATS servers, all together. */
  readonly nats_cores: number;
  /** Subscriptions of all Shields: two for each room that a process receives. */
  readonly nats_subscriptions: number;
  readonly connection_bytes: number;
  readonly memory_bytes: number;
  readonly network_bits_per_s: number;
}

/** The average number of the `processes` on which a room of `room` members has at least one. */
export function receivingOf(processes: number, room: number): number {
  return processes * (1 - (1 - 1 / processes) ** room);
}

/**
 * CPU in µs of all Shields together for one delivery of a message to `room` members on `processes` Shields. The
 * deliveries share its publish and its arrival at each Shield that subscribes to the room.
 */
export function deliveryUs(costs: Costs, processes: number, room: number): Price {
  const receiving = receivingOf(processes, room);
  const at = (price: keyof Price) =>
    (costs.publish_us[price] + receiving * costs.arrival_us[price]) / room +
    costs.delivery_us[price];
  return { calm: at("calm"), busy: at("busy") };
}

/** Memory of a connection: the amount at rest, plus its messages, up to the amount of the soak. */
function connectionBytes(costs: Costs, plan: SizingPlan): number {
  const busy = Math.min(1, plan.messages_per_minute / 60 / costs.busy_messages_per_s);
  return costs.idle_bytes + busy * (costs.busy_bytes - costs.idle_bytes);
}

const most = (needs: readonly Need[]) =>
  needs.map(({ what, count }) => ({ what, count: Math.ceil(count) }))
    .sort((one, other) => other.count - one.count);

const thousands = (value: number) => Math.round(value).toLocaleString("en-US");

function partsOf(costs: Costs, plan: SizingPlan, processes: number): Part[] {
  const in_per_s = plan.connections * plan.messages_per_minute / 60;
  const pings_per_s = plan.connections * 1_000 / plan.heartbeat_ms;
  const receiving = receivingOf(processes, plan.room);
  const lines: readonly (readonly [what: string, per_s: number, each_us: Price])[] = [
    ["publishes", in_per_s, costs.publish_us],
    ["arrivals from NATS", in_per_s * receiving, costs.arrival_us],
    ["deliveries", in_per_s * plan.room, costs.delivery_us],
    ["PINGs and PONGs", pings_per_s, costs.ping_us],
  ];
  return lines.map(([what, per_s, each_us]) => ({
    what,
    arithmetic: `${thousands(per_s)}/s x ${each_us.calm} µs`,
    cores: per_s * each_us.calm / 1e6,
    busy_cores: per_s * each_us.busy / 1e6,
  }));
}

const sumOf = (parts: readonly Part[]) => parts.reduce((sum, { cores }) => sum + cores, 0);

/**
 * The number of processes for a load. With more processes, a room has subscribers on more of them, so the number is
 * raised until it is enough.
 */
function processesFor(costs: Costs, plan: SizingPlan): { processes: number; needs: Need[] } {
  const guarded = costs.guard_share * plan.process_memory_bytes - costs.process_bytes;
  const held = [
    { what: "connections_per_process", count: plan.connections / plan.connections_per_process },
    { what: "memory_bytes", count: plan.connections * connectionBytes(costs, plan) / guarded },
  ];
  const needsOf = (processes: number) => {
    // The event loop of a process is one thread.
    const cpu = sumOf(partsOf(costs, plan, processes)) / plan.use;
    return most([...held, { what: "CPU", count: cpu }]);
  };
  let processes = 1;
  for (;;) {
    const needs = needsOf(processes);
    const wanted = Math.max(processes, needs[0]?.count ?? 1);
    if (wanted === processes) return { processes, needs };
    processes = wanted;
  }
}

/** The needs of a load. */
export function sizeOf(costs: Costs, plan: SizingPlan): Sizing {
  const { processes, needs } = processesFor(costs, plan);
  const parts = partsOf(costs, plan, processes);
  const cores = sumOf(parts);
  const in_per_s = plan.connections * plan.messages_per_minute / 60;
  const out_per_s = in_per_s * plan.room;
  const receiving = receivingOf(processes, plan.room);
  const connection_bytes = connectionBytes(costs, plan);
  const memory_bytes = processes * costs.process_bytes + plan.connections * connection_bytes;
  const usable = plan.cores * plan.use;
  const machine_needs = most([
    { what: "CPU", count: cores / usable },
    { what: "memory", count: memory_bytes / (plan.memory_bytes * costs.machine_memory_share) },
    {
      what: `all back in ${plan.back_seconds} s`,
      count: plan.connections * costs.handshake_us / 1e6 / plan.back_seconds / usable,
    },
  ]);
  return {
    in_per_s,
    out_per_s,
    receiving,
    processes,
    process_needs: needs,
    machines: machine_needs[0]?.count ?? 1,
    machine_needs,
    parts,
    cores,
    busy_cores: parts.reduce((sum, part) => sum + part.busy_cores, 0),
    nats_cores: in_per_s * (1 + receiving) * costs.nats_us.calm / 1e6,
    nats_subscriptions: plan.connections * plan.rooms_each / plan.room * receiving * 2,
    connection_bytes,
    memory_bytes,
    network_bits_per_s: out_per_s * (plan.size_bytes + costs.frame_bytes) * 8,
  };
}
