/** What hooks bring to a Brain. */
import type { BrainCapability } from "../capability.ts";
import { startHooks } from "./service.ts";

/** URLs that are called when something has happened. */
export const HOOKS: BrainCapability = {
  name: "hooks",
  title: "URLs that are called when something has happened",
  start: startHooks,
};
