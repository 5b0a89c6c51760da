/** The scenarios of the load generator: the connections, rooms and messages of each. */
import { fileLimit } from "../../tests/load/file_limit.ts";
import { UsageError, type Values } from "../measure/scenario.ts";
import { type Load, openLoad, runLoad } from "./crowd/driver.ts";
import { type Column, type LoadCase, type LoadScenario } from "./load_scenario.ts";
import { type Measurement, measurementOf, WARM } from "./load_scenario.ts";
import { CHAT_SIZES } from "./plans/chat_sizes.ts";
import { type Crowd, type Group, idlers, type LoadPlan, oneRoom, ownRooms } from "./plans/plan.ts";
import type { Run } from "./plans/plan.ts";
import type { RunningTarget } from "./targets/target.ts";

/** The duration and the sizes of a message scenario. */
const TIMED = {
  seconds: [5, "counted time of a round"],
  warmup: [2, "seconds before that are not counted"],
  processes: [2, "of the load"],
  ...WARM,
} as const;
const SIZED = { connections: [10, ""], bytes: [256, "size of a body"], ...TIMED } as const;

const SHORT = { seconds: 3, warmup: 1 };

interface Timed {
  readonly seconds: number;
  readonly warmup: number;
  readonly processes: number;
}

function planned(one: Omit<LoadCase, "measure">, plan: LoadPlan): LoadCase {
  const measure = async (running: RunningTarget, seconds = plan.seconds) =>
    measurementOf(await runLoad(running, { ...plan, seconds }));
  return { ...one, measure };
}

const runOf = (
  { seconds, warmup }: Omit<Timed, "processes">,
  pace: Run["pace"],
  bytes: number,
): Run => ({ pace, sizes_bytes: [bytes], seconds, warmup_seconds: warmup });

const rateOf = (rate: number, burst = 1) => ({ kind: "rate", rate, burst } as const);

const LATENCIES: readonly Column[] = [["p50_ms", "p50 ms", 2], ["p99_ms", "p99 ms", 2]];
const costs = (digits: number): readonly Column[] => [
  ["cpu_us", "CPU µs", digits],
  ["beside_cpu_us", "NATS µs", digits],
  ["per_cpu_s", "a CPU second", 0],
];

function echoPlan(values: Timed & { connections: number; bytes: number }, pace: Run["pace"]) {
  const { connections, processes, bytes } = values;
  const groups = [ownRooms(connections, "echo")];
  return { groups, processes, echo: true, ...runOf(values, pace, bytes) };
}

/** A case without or with TLS. */
const secured = (name: string, tls: boolean): Omit<LoadCase, "measure"> =>
  tls ? { name: `${name}, TLS`, needs: ["echo", "tls"], tls } : { name, needs: ["echo"] };

const ECHO_OPTIONS = {
  rate: [10_000, "messages a second, all connections together"],
  ...SIZED,
  tls: [false, "over TLS"],
} as const;

/** Latency and CPU time at a constant rate. */
const ECHO: LoadScenario<typeof ECHO_OPTIONS> = {
  name: "echo",
  about: `publish -> receive at a constant rate; every connection publishes to a room of
its own and hears itself; a bare server echoes. Latencies count from when a message was due.`,
  options: ECHO_OPTIONS,
  quick: SHORT,
  columns: [
    ["p50_ms", "p50 ms", 2],
    ["p90_ms", "p90 ms", 2],
    ["p99_ms", "p99 ms", 2],
    ["p999_ms", "p99.9 ms", 2],
    ["late_p99_ms", "load's p99", 2],
    ...costs(1),
  ],
  headline: "per_cpu_s",
  cases: (values) => [
    planned(secured(`${values.rate}/s`, values.tls), echoPlan(values, rateOf(values.rate))),
  ],
};

const THROUGHPUT_OPTIONS = {
  window: [64, "messages of a connection under way"],
  ...SIZED,
} as const;

/** As fast as possible. */
const THROUGHPUT: LoadScenario<typeof THROUGHPUT_OPTIONS> = {
  name: "throughput",
  about: `as \`echo\`, as fast as it goes: each connection always has so many
messages under way.`,
  options: THROUGHPUT_OPTIONS,
  quick: SHORT,
  columns: [
    ["delivered_per_s", "messages/s", 0],
    ...LATENCIES,
    ["cores", "cores", 2],
    ["generator_cores", "load's", 2],
    ...costs(1),
  ],
  headline: "per_cpu_s",
  cases: (values) => {
    const { window, connections } = values;
    const name = `${connections} x ${window}`;
    return [planned({ name, needs: ["echo"] }, echoPlan(values, { kind: "window", window }))];
  },
};

const FANOUT_OPTIONS = {
  receivers: [[10, 100, 1_000, 5_000], ""],
  bursts: [[1, 10], "messages at once, for each in turn"],
  deliveries: [30_000, "a second, all receivers together"],
  bytes: [256, "size of a body"],
  ...TIMED,
  seconds: [4, "counted time of a round"],
  warmup: [1, "seconds before that are not counted"],
} as const;

/** One publisher and many receivers, with the same deliveries per second for any number of receivers. */
function fanoutPlan(
  [receivers, burst, batch]: readonly [receivers: number, burst: number, batch: boolean],
  values: Values<typeof FANOUT_OPTIONS>,
): LoadPlan {
  return {
    groups: oneRoom("fanout", 1, receivers, batch),
    processes: values.processes,
    echo: false,
    ...runOf(values, rateOf(values.deliveries / receivers, burst), values.bytes),
  };
}

/** One publisher and many receivers in one room. */
const FANOUT: LoadScenario<typeof FANOUT_OPTIONS> = {
  name: "fanout",
  about: `one publisher to many receivers of one room; several messages at once are what a
turn of the event loop brings on a busy server. BATCH: receivers that take several in a frame.`,
  options: FANOUT_OPTIONS,
  quick: { receivers: [10, 1_000], bursts: [10], seconds: 2 },
  columns: [
    ["delivered_per_s", "deliveries/s", 0],
    ["p50_ms", "p50 ms", 1],
    ["p99_ms", "p99 ms", 1],
    ...costs(2),
  ],
  headline: "per_cpu_s",
  cases: (values) =>
    values.receivers.flatMap((receivers) =>
      values.bursts.flatMap((burst) => {
        const name = `1 -> ${receivers}, ${burst} at once`;
        const batch: Omit<LoadCase, "measure"> = {
          name: `${name}, BATCH`,
          needs: ["rooms", "batch"],
          beside: name,
        };
        return [
          planned({ name, needs: ["rooms"] }, fanoutPlan([receivers, burst, false], values)),
          planned(batch, fanoutPlan([receivers, burst, true], values)),
        ];
      })
    ),
};

const ROOMS_OPTIONS = {
  rooms: [[10, 100, 1_000, 10_000, 100_000], ""],
  rate: [5_000, "messages a second, all connections together"],
  seconds: [3, "counted time of a round"],
  warmup: [1, "seconds before that are not counted"],
  bytes: [256, "size of a body"],
  ...WARM,
} as const;
/** Connections that share a number of rooms. */
const SPREAD = 20;

/** This many rooms, used round-robin; each connection subscribes to its own. */
function roomsPlan(rooms: number, values: Values<typeof ROOMS_OPTIONS>): LoadPlan {
  const connections = Math.min(rooms, SPREAD);
  const more = { rooms, rooms_each: Math.ceil(rooms / connections) };
  return {
    groups: [ownRooms(connections, "many", more)],
    processes: 1,
    echo: false,
    ...runOf(values, rateOf(values.rate), values.bytes),
  };
}

/** The same messages over an increasing number of rooms. */
const MANY_ROOMS: LoadScenario<typeof ROOMS_OPTIONS> = {
  name: "many-rooms",
  about: `messages to so many rooms in turn, from 20 connections that hear their own;
what a message costs as there are more rooms.`,
  options: ROOMS_OPTIONS,
  quick: { rooms: [10, 1_000, 10_000], seconds: 2 },
  columns: [...LATENCIES, ...costs(1), ["rss_mb", "RSS MB", 0]],
  headline: "per_cpu_s",
  cases: (values) =>
    values.rooms.map((rooms) =>
      planned({ name: `${rooms} rooms`, needs: ["rooms"] }, roomsPlan(rooms, values))
    ),
};

/** The groups of members, each in one room: number of rooms and number of members. Pure. */
function chatGroups(batch: boolean): Group[] {
  const kinds = [["direct", 50, 2], ["team", 20, 10], ["channel", 2, 100]] as const;
  return kinds.map(([prefix, rooms, members]) =>
    ownRooms(rooms * members, prefix, { rooms, batch })
  );
}

const CHAT_OPTIONS = {
  rate: [100, "messages a second, all connections together"],
  ...TIMED,
} as const;
/** Rooms of several sizes in which every member receives and publishes, with bodies of real sizes. */
const CHAT: LoadScenario<typeof CHAT_OPTIONS> = {
  name: "chat",
  about: `50 rooms of 2, 20 of 10 and 2 of 100 members, who all speak in turn; bodies of the
sizes of real events (1 to 26 KB). On average a message goes to 44 members.`,
  options: CHAT_OPTIONS,
  quick: SHORT,
  columns: [["delivered_per_s", "deliveries/s", 0], ...LATENCIES, ...costs(1)],
  headline: "per_cpu_s",
  cases: (values) => {
    const { rate, processes } = values;
    const name = `${rate}/s`;
    const run = { ...runOf(values, rateOf(rate), 0), sizes_bytes: CHAT_SIZES };
    const plan = (batch: boolean) => (
      { groups: chatGroups(batch), processes, echo: false, ...run }
    );
    const batch = { name: `${name}, BATCH`, needs: ["rooms", "batch"], beside: name } as const;
    return [planned({ name, needs: ["rooms"] }, plan(false)), planned(batch, plan(true))];
  },
};

const idleCrowd = (connections: number, prefix: string, processes: number): Crowd => ({
  groups: [idlers(connections, prefix)],
  processes,
  echo: true,
});

const HANDSHAKE_OPTIONS = {
  rate: [1_000, "connections a second"],
  seconds: [4, "counted time of a round"],
  warmup: [1, "seconds before that are not counted"],
  processes: [2, "of clients"],
} as const;
/** New connections at a constant rate, without and with TLS. */
const HANDSHAKE: LoadScenario<typeof HANDSHAKE_OPTIONS> = {
  name: "handshake",
  about: `new connections at a constant rate, from when each was due to what a user calls
connected: TCP, TLS, upgrade and the server's greeting. They stay until the round is over.`,
  options: HANDSHAKE_OPTIONS,
  quick: { seconds: 2 },
  columns: [
    ["p50_ms", "p50 ms", 1],
    ["p99_ms", "p99 ms", 1],
    ["max_ms", "max ms", 1],
    ["late_p99_ms", "load's p99", 1],
    ["failures", "failed", 0],
    ["cpu_us", "CPU µs", 0],
    ["generator_cores", "load's cores", 2],
    ["per_cpu_s", "a CPU second", 0],
  ],
  headline: "per_cpu_s",
  cases: ({ rate, seconds, warmup: warmup_seconds, processes }) => {
    const measure = async (running: RunningTarget): Promise<Measurement> => {
      await using load = await openLoad(running, idleCrowd(0, "handshake", processes));
      const report = await load.connect({ rate, warmup_seconds, seconds });
      // A refused connection is a figure of this scenario, not a lost message.
      return { ...measurementOf(report, { failures: report.missing }), missing: 0 };
    };
    return [
      { name: "plain", needs: ["echo"], measure },
      { name: "TLS", needs: ["echo", "tls"], tls: true, measure },
    ];
  },
};

/** Connections that come and go before the first reading, so that code and young space of the server do not count. */
const VISITORS = 2_000;
/** Connections at the first reading. */
const FIRST = 100;
/** Open files of a server other than connections. */
const OWN_FILES = 400;
/** Ports of one client address; `net.ipv4.ip_local_port_range` has about 28,000. */
const PORTS = 25_000;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function idleOnce(
  running: RunningTarget,
  wanted: number,
  { settle, processes }: Values<typeof IDLE_OPTIONS>,
): Promise<Measurement> {
  const connections = Math.min(wanted, await fileLimit() - OWN_FILES);
  const settled = async (load: Load) => {
    await pause(settle * 1_000);
    return (await load.usage()).rss_bytes;
  };
  {
    await using _warm = await openLoad(running, idleCrowd(VISITORS, "warm", processes));
  }
  await using first = await openLoad(running, idleCrowd(FIRST, "idle", 1));
  const before = await settled(first);
  await using load = await openLoad(running, idleCrowd(connections - FIRST, "idle", processes));
  const after = await settled(load);
  const kb = (after - before) / 1e3 / (connections - FIRST);
  const figures = { connections, kb, rss_mb: after / 1e6, first_mb: before / 1e6 };
  return { figures, missing: 0, problems: [] };
}

const IDLE_OPTIONS = {
  connections: [[1_000, 10_000, 20_000], ""],
  settle: [2, "seconds until memory is read"],
  processes: [2, "of clients"],
  tls: [false, "over TLS"],
} as const;
const IDLE: LoadScenario<typeof IDLE_OPTIONS> = {
  name: "idle",
  about: `resident memory of the server with connections that do nothing; a new server each
time, after ${VISITORS} that have left. What one connection takes is the growth since the first ${FIRST}.`,
  options: IDLE_OPTIONS,
  quick: { connections: [10_000], settle: 1 },
  fresh: true,
  columns: [
    ["connections", "connected", 0],
    ["kb", "KB a connection", 1],
    ["first_mb", `MB with ${FIRST}`, 0],
    ["rss_mb", "MB with all", 0],
  ],
  headline: "kb",
  cases: (values) =>
    values.connections.map((connections) => {
      if (connections > PORTS) {
        throw new UsageError(
          `--connections ${connections}: one client address has ports for ${PORTS}; ` +
            "`deno task load` holds more",
        );
      }
      if (connections <= FIRST) throw new UsageError(`--connections expects more than ${FIRST}`);
      return {
        ...secured(String(connections), values.tls),
        measure: (running) => idleOnce(running, connections, values),
      };
    }),
};

/** All scenarios in the order of `--all`. A scenario receives only its own options. */
export const LOAD_SCENARIOS = [
  HANDSHAKE,
  ECHO,
  THROUGHPUT,
  FANOUT,
  MANY_ROOMS,
  CHAT,
  IDLE,
] as readonly unknown[] as readonly LoadScenario[];
