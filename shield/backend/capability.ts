/** The backends capability of a Shield: publishers in its process. */
import type { Capability } from "../capability.ts";
import { type Backend, type BackendIdentity, createBackend } from "./backend.ts";

/** The capability, for a Shield's list; it makes a backend of that identity. */
export const BACKENDS: Capability<(who: BackendIdentity) => Backend> = {
  name: "backends",
  title: "publishers in the Shield's process",
  start: (env, parts) => ({ own: (who) => createBackend(env, parts, who) }),
};
