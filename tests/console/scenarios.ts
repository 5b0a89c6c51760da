/** Every scenario of the console, in the order in which they run. */
import { ACCESS_SCENARIOS } from "./scenarios_access.ts";
import { EMPTY_SCENARIOS } from "./scenarios_empty.ts";
import { LIVE_SCENARIOS } from "./scenarios_live.ts";
import { LOOK_SCENARIOS } from "./scenarios_look.ts";
import { OPERATE_SCENARIOS } from "./scenarios_operate.ts";
import { PAST_SCENARIOS } from "./scenarios_past.ts";
import { PLAYGROUND_SCENARIOS } from "./scenarios_playground.ts";
import { POLICY_SCENARIOS } from "./scenarios_policy.ts";
import { ROLLOUT_SCENARIOS } from "./scenarios_rollout.ts";
import { REDUCER_SCENARIOS } from "./scenarios_reducer.ts";
import { ROOM_SCENARIOS } from "./scenarios_room.ts";
import { SESSION_SCENARIOS } from "./scenarios_session.ts";
import { TRIAL_SCENARIOS } from "./scenarios_trial.ts";
import { USAGE_SCENARIOS } from "./scenarios_usage.ts";
import type { Scenario } from "./world.ts";

/** All of them; the last one ends the bus. */
export const SCENARIOS: readonly Scenario[] = [
  ...SESSION_SCENARIOS,
  ...LIVE_SCENARIOS,
  ...PAST_SCENARIOS,
  ...ROOM_SCENARIOS,
  ...REDUCER_SCENARIOS,
  ...POLICY_SCENARIOS,
  ...PLAYGROUND_SCENARIOS,
  ...ROLLOUT_SCENARIOS,
  ...TRIAL_SCENARIOS,
  ...USAGE_SCENARIOS,
  ...EMPTY_SCENARIOS,
  ...LOOK_SCENARIOS,
  ...ACCESS_SCENARIOS,
  ...OPERATE_SCENARIOS,
];
