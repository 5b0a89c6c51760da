/** The capabilities that a Brain has. Each is left out by leaving it out here; the kernel knows only the list. */
import type { BrainCapability } from "./capability.ts";
import { HOOKS } from "./hooks/capability.ts";
import { PRESENCE } from "./presence/capability.ts";
import { REDUCERS } from "./reducers/capability.ts";
import { PLAN } from "./rollouts/capability.ts";

/** In the order in which they open, and then start; they end backwards. */
export const BRAIN_CAPABILITIES: readonly BrainCapability[] = [PRESENCE, REDUCERS, HOOKS, PLAN];
