/** The scenario `many-rooms`: the same messages over more and more rooms. */
import { positive, positives, text } from "../../measure/scenario.ts";
import type { OptionValues } from "../../measure/scenario.ts";
import { runLoad } from "../crowd/driver.ts";
import { type GrowthLoad, roomsPlan } from "../plans/growth_plans.ts";
import type { Column, LoadCase, LoadScenario } from "./load_scenario.ts";
import { measurementOf, WARM_HELP, WARM_OPTION } from "./load_scenario.ts";

const HELP =
  `many-rooms: messages to so many rooms in turn, from 20 connections that hear their own;
what a message costs as there are more rooms.

  --rooms N,N       (10,100,1000,10000,100000)
  --rate N          messages a second, all connections together (5000)
  --seconds N       counted time of a round (3)
  --warmup N        seconds before that are not counted (1)
  --bytes N         size of a body (256)
`;

/** The options that all scenarios of growth share. */
export const GROWTH_OPTIONS = {
  rate: text("5000"),
  seconds: text("3"),
  warmup: text("1"),
  bytes: text("256"),
  ...WARM_OPTION,
};

/** The load for the options of a scenario of growth. Throws `UsageError`. */
export function growthLoad(values: OptionValues): GrowthLoad {
  return {
    rate: positive(values, "rate"),
    seconds: positive(values, "seconds"),
    warmup_seconds: positive(values, "warmup"),
    size_bytes: positive(values, "bytes"),
  };
}

/** The columns for a step of growth. */
export const GROWTH_COLUMNS: readonly Column[] = [
  { key: "p50_ms", title: "p50 ms", digits: 2 },
  { key: "p99_ms", title: "p99 ms", digits: 2 },
  { key: "cpu_us", title: "CPU µs", digits: 1 },
  { key: "beside_cpu_us", title: "NATS µs", digits: 1 },
  { key: "per_cpu_s", title: "a CPU second", digits: 0 },
  { key: "rss_mb", title: "RSS MB", digits: 0 },
];

/** A case of growth, with the number that grows. */
export interface GrowthCase extends LoadCase {
  readonly step: number;
}

/** The scenario of `deno task bench many-rooms`. */
export const MANY_ROOMS: LoadScenario<GrowthCase> = {
  name: "many-rooms",
  help: HELP + WARM_HELP,
  options: { rooms: text("10,100,1000,10000,100000"), ...GROWTH_OPTIONS },
  quick: { rooms: "10,1000,10000", seconds: "2" },
  fresh: false,
  columns: GROWTH_COLUMNS,
  headline: "per_cpu_s",
  cases: (values) => {
    growthLoad(values);
    return positives(values, "rooms").map((step) => ({
      name: `${step} rooms`,
      needs: ["rooms"],
      step,
    }));
  },
  measure: async (running, { step }, values) =>
    measurementOf(await runLoad(running, roomsPlan(step, growthLoad(values)))),
};
