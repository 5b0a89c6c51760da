/** The scenario `fanout`: one publisher, many receivers of its room. */
import { positive, positives, text } from "../../measure/scenario.ts";
import type { OptionValues } from "../../measure/scenario.ts";
import { runLoad } from "../crowd/driver.ts";
import { measurementOf, WARM_HELP, WARM_OPTION } from "./load_scenario.ts";
import type { LoadCase, LoadScenario } from "./load_scenario.ts";
import type { Group, LoadPlan } from "../plans/plan.ts";

const HELP =
  `fanout: one publisher to many receivers of one room; several messages at once are what a
turn of the event loop brings on a busy server. BATCH: receivers that take several in a frame.

  --receivers N,N   (10,100,1000,5000)
  --bursts N,N      messages at once, for each in turn (1,10)
  --deliveries N    a second, all receivers together (30000)
  --seconds N       counted time of a round (4)
  --warmup N        seconds before that are not counted (1)
  --bytes N         size of a body (256)
  --processes N     of receivers; the publisher has its own (2)
`;

interface FanoutCase extends LoadCase {
  readonly receivers: number;
  readonly burst: number;
  readonly batch: boolean;
}

/**
 * The plan for one publisher and many receivers, with the same deliveries per second for any number of
 * receivers.
 */
export function fanoutPlan(one: Omit<FanoutCase, keyof LoadCase>, values: OptionValues): LoadPlan {
  const { receivers, burst, batch } = one;
  const room = { tenants: 1, prefix: "fanout", rooms: 1, rooms_each: 1, batch };
  const groups: Group[] = [
    { ...room, connections: receivers, subscribes: true, publishes: false },
    { ...room, connections: 1, subscribes: false, publishes: true },
  ];
  return {
    groups,
    processes: positive(values, "processes"),
    echo: false,
    pace: { kind: "rate", rate: positive(values, "deliveries") / receivers, burst },
    sizes_bytes: [positive(values, "bytes")],
    warmup_seconds: positive(values, "warmup"),
    seconds: positive(values, "seconds"),
  };
}

function casesOf(values: OptionValues): FanoutCase[] {
  const bursts = positives(values, "bursts");
  return positives(values, "receivers").flatMap((receivers) =>
    bursts.flatMap((burst) => {
      const name = `1 -> ${receivers}, ${burst} at once`;
      const one = { receivers, burst };
      return [
        { ...one, name, needs: ["rooms"], batch: false },
        { ...one, name: `${name}, BATCH`, needs: ["rooms", "batch"], batch: true, beside: name },
      ];
    })
  );
}

/** The scenario of `deno task bench fanout`. */
export const FANOUT: LoadScenario<FanoutCase> = {
  name: "fanout",
  help: HELP + WARM_HELP,
  options: {
    receivers: text("10,100,1000,5000"),
    bursts: text("1,10"),
    deliveries: text("30000"),
    seconds: text("4"),
    warmup: text("1"),
    bytes: text("256"),
    processes: text("2"),
    ...WARM_OPTION,
  },
  quick: { receivers: "10,1000", bursts: "10", seconds: "2" },
  fresh: false,
  columns: [
    { key: "delivered_per_s", title: "deliveries/s", digits: 0 },
    { key: "p50_ms", title: "p50 ms", digits: 1 },
    { key: "p99_ms", title: "p99 ms", digits: 1 },
    { key: "cpu_us", title: "CPU µs", digits: 2 },
    { key: "beside_cpu_us", title: "NATS µs", digits: 2 },
    { key: "per_cpu_s", title: "a CPU second", digits: 0 },
  ],
  headline: "per_cpu_s",
  cases: casesOf,
  measure: async (running, one, values) =>
    measurementOf(await runLoad(running, fanoutPlan(one, values))),
};
