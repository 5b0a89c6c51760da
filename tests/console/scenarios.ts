/** Every scenario of the console, in the order in which they run. */
import { LIVE_SCENARIOS } from "./scenarios_live.ts";
import { LOOK_SCENARIOS } from "./scenarios_look.ts";
import { OPERATE_SCENARIOS } from "./scenarios_operate.ts";
import { SESSION_SCENARIOS } from "./scenarios_session.ts";
import type { Scenario } from "./world.ts";

/** All of them; the last one ends the bus. */
export const SCENARIOS: readonly Scenario[] = [
  ...SESSION_SCENARIOS,
  ...LIVE_SCENARIOS,
  ...LOOK_SCENARIOS,
  ...OPERATE_SCENARIOS,
];
