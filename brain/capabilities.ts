/** The capabilities of a Brain. Removing one from this list disables it; the kernel knows only the list. */
import type { BrainCapability } from "./capability.ts";
import { HOOKS } from "./hooks/capability.ts";
import { PRESENCE } from "./presence/capability.ts";
import { REDUCERS } from "./reducers/capability.ts";
import { PLAN } from "./rollouts/capability.ts";
import { ROOMS } from "./rooms/capability.ts";
import { TAP } from "./tap/capability.ts";

/** In the order in which they open and start; they end in reverse. */
export const BRAIN_CAPABILITIES: readonly BrainCapability[] = [
  PRESENCE,
  REDUCERS,
  HOOKS,
  ROOMS,
  PLAN,
  TAP,
];
