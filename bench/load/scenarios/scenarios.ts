/** Every scenario of the load generator, in the order in which `--all` runs them. */
import type { LoadScenario } from "./load_scenario.ts";
import { CHAT } from "./scenario_chat.ts";
import { ECHO, THROUGHPUT } from "./scenario_echo.ts";
import { FANOUT } from "./scenario_fanout.ts";
import { HANDSHAKE } from "./scenario_handshake.ts";
import { IDLE } from "./scenario_idle.ts";
import { MANY_ROOMS } from "./scenario_rooms.ts";
import { MANY_TENANTS } from "./scenario_tenants.ts";

/** All scenarios. A new one is one more line. A scenario only gets cases that it made itself. */
export const LOAD_SCENARIOS: readonly LoadScenario[] = [
  HANDSHAKE,
  ECHO,
  THROUGHPUT,
  FANOUT,
  MANY_ROOMS,
  MANY_TENANTS,
  CHAT,
  IDLE,
] as readonly unknown[] as readonly LoadScenario[];
