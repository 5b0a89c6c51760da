/** The scenario `many-tenants`: the same connections and rooms, divided among more and more tenants. */
import { positives, text } from "../../measure/scenario.ts";
import { runLoad } from "../crowd/driver.ts";
import { tenantsPlan } from "../plans/growth_plans.ts";
import type { LoadScenario } from "./load_scenario.ts";
import { measurementOf, WARM_HELP } from "./load_scenario.ts";
import { GROWTH_COLUMNS, GROWTH_OPTIONS, type GrowthCase, growthLoad } from "./scenario_rooms.ts";

const HELP = `many-tenants: 1,000 connections, each in a room of its own that it hears, of so many
tenants; what a message costs as there are more tenants. Only targets that know tenants.

  --tenants N,N     (1,10,100,1000)
  --rate N          messages a second, all connections together (5000)
  --seconds N       counted time of a round (3)
  --warmup N        seconds before that are not counted (1)
  --bytes N         size of a body (256)
`;

/** The scenario of `deno task bench many-tenants`. */
export const MANY_TENANTS: LoadScenario<GrowthCase> = {
  name: "many-tenants",
  help: HELP + WARM_HELP,
  options: { tenants: text("1,10,100,1000"), ...GROWTH_OPTIONS },
  quick: { tenants: "1,1000", seconds: "2" },
  fresh: false,
  columns: GROWTH_COLUMNS,
  headline: "per_cpu_s",
  cases: (values) => {
    growthLoad(values);
    const steps = positives(values, "tenants");
    // One server serves all cases, so that only the load differs.
    const tenants = Math.max(...steps);
    return steps.map((step) => ({ name: `${step} tenants`, needs: ["tenants"], tenants, step }));
  },
  measure: async (running, { step }, values) =>
    measurementOf(await runLoad(running, tenantsPlan(step, growthLoad(values)))),
};
