/** The NATS capability of a Shield: the HTTP API of rooms for backends on the same NATS. */
import type { Capability } from "../capability.ts";
import { startNatsApi } from "./nats_api.ts";

/** The capability, for a Shield's list. */
export const NATS_API: Capability = {
  name: "nats_api",
  title: "the HTTP API of rooms for backends on the same NATS",
  start(env, { http }) {
    const { close } = startNatsApi(env, http!);
    return { drain: close };
  },
};
