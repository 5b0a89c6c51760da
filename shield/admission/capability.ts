/** The admission capability of a Shield. */
import type { Capability } from "../capability.ts";
import { createAdmission } from "./admission_gate.ts";

/** The capability, for a Shield's list. */
export const ADMISSION: Capability = {
  name: "admission",
  title: "handshakes by rate, number and memory, before a token is read",
  open: (env) => ({
    gives: {
      admission: createAdmission({
        ...env,
        limits: env.config.limits,
        memory_bytes: () => Deno.memoryUsage().rss,
      }),
    },
  }),
};
