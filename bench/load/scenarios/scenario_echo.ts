/**
 * The scenarios `echo` (latency and CPU time at a constant rate) and `throughput` (as fast as possible): each
 * connection publishes to a room of its own and hears itself.
 */
import { positive, text } from "../../measure/scenario.ts";
import type { OptionValues } from "../../measure/scenario.ts";
import { runLoad } from "../crowd/driver.ts";
import type { LoadCase, LoadScenario } from "./load_scenario.ts";
import { measurementOf, WARM_HELP, WARM_OPTION } from "./load_scenario.ts";
import type { LoadPlan, Pace } from "../plans/plan.ts";

const ECHO_HELP =
  `echo: publish -> receive at a constant rate; every connection publishes to a room of
its own and hears itself; a bare server echoes. Latencies count from when a message was due.

  --rate N          messages a second, all connections together (10000)
  --seconds N       counted time of a round (5)
  --warmup N        seconds before that are not counted (2)
  --connections N   (10)
  --bytes N         size of a body (256)
  --processes N     of the load (2)
`;

const THROUGHPUT_HELP =
  `throughput: as \`echo\`, as fast as it goes: each connection always has so many
messages under way.

  --window N        messages of a connection under way (64)
  --seconds N       counted time of a round (5)
  --warmup N        seconds before that are not counted (2)
  --connections N   (10)
  --bytes N         size of a body (256)
  --processes N     of the load (2)
`;

const OPTIONS = {
  seconds: text("5"),
  warmup: text("2"),
  connections: text("10"),
  bytes: text("256"),
  processes: text("2"),
  ...WARM_OPTION,
};

/** The plan for connections that each hear themselves. */
export function echoPlan(values: OptionValues, pace: Pace): LoadPlan {
  const connections = positive(values, "connections");
  return {
    groups: [{
      connections,
      tenants: 1,
      prefix: "echo",
      rooms: connections,
      rooms_each: 1,
      subscribes: true,
      publishes: true,
      batch: false,
    }],
    processes: positive(values, "processes"),
    echo: true,
    pace,
    sizes_bytes: [positive(values, "bytes")],
    warmup_seconds: positive(values, "warmup"),
    seconds: positive(values, "seconds"),
  };
}

const ratePlan = (values: OptionValues) =>
  echoPlan(values, { kind: "rate", rate: positive(values, "rate"), burst: 1 });
const windowPlan = (values: OptionValues) =>
  echoPlan(values, { kind: "window", window: positive(values, "window") });

const LATENCIES = ["p50", "p90", "p99", "p999"].map((name) => ({
  key: `${name}_ms`,
  title: `${name === "p999" ? "p99.9" : name} ms`,
  digits: 2,
}));
const COSTS = [
  { key: "cpu_us", title: "CPU µs", digits: 1 },
  { key: "beside_cpu_us", title: "NATS µs", digits: 1 },
  { key: "per_cpu_s", title: "a CPU second", digits: 0 },
] as const;

/** The scenario of `deno task bench echo`. */
export const ECHO: LoadScenario = {
  name: "echo",
  help: ECHO_HELP + WARM_HELP,
  options: { rate: text("10000"), ...OPTIONS },
  quick: { seconds: "3", warmup: "1" },
  fresh: false,
  columns: [...LATENCIES, { key: "late_p99_ms", title: "load's p99", digits: 2 }, ...COSTS],
  headline: "per_cpu_s",
  cases: (values): LoadCase[] => {
    const { pace } = ratePlan(values);
    const rate = pace.kind === "rate" ? pace.rate : 0;
    return [{ name: `${rate}/s`, needs: ["echo"] }];
  },
  measure: async (running, _one, values) => measurementOf(await runLoad(running, ratePlan(values))),
};

/** The scenario of `deno task bench throughput`. */
export const THROUGHPUT: LoadScenario = {
  name: "throughput",
  help: THROUGHPUT_HELP + WARM_HELP,
  options: { window: text("64"), ...OPTIONS },
  quick: { seconds: "3", warmup: "1" },
  fresh: false,
  columns: [
    { key: "delivered_per_s", title: "messages/s", digits: 0 },
    { key: "p50_ms", title: "p50 ms", digits: 2 },
    { key: "p99_ms", title: "p99 ms", digits: 2 },
    { key: "cores", title: "cores", digits: 2 },
    { key: "generator_cores", title: "load's", digits: 2 },
    ...COSTS,
  ],
  headline: "per_cpu_s",
  cases: (values): LoadCase[] => {
    const plan = windowPlan(values);
    const window = plan.pace.kind === "window" ? plan.pace.window : 0;
    return [{ name: `${plan.groups[0]?.connections} x ${window}`, needs: ["echo"] }];
  },
  measure: async (running, _one, values) =>
    measurementOf(await runLoad(running, windowPlan(values))),
};
