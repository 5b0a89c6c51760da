/** Every scenario of the console, in the order in which they run, and how one ended. */
import { LIVE_SCENARIOS } from "./scenarios_live.ts";
import { LOOK_SCENARIOS } from "./scenarios_look.ts";
import { OPERATE_SCENARIOS } from "./scenarios_operate.ts";
import { SESSION_SCENARIOS } from "./scenarios_session.ts";
import type { Scenario } from "./world.ts";

/** One line of the child's output; without an error it went well. */
export interface Outcome {
  readonly name: string;
  readonly error?: string;
}

/** All of them; the last one ends the bus. */
export const SCENARIOS: readonly Scenario[] = [
  ...SESSION_SCENARIOS,
  ...LIVE_SCENARIOS,
  ...LOOK_SCENARIOS,
  ...OPERATE_SCENARIOS,
];
