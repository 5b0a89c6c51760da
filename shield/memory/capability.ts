/** The memory-guard capability of a Shield. */
import type { Capability } from "../capability.ts";
import { startMemoryWatch } from "./memory_start.ts";
import type { MemoryWatch } from "./memory_watch.ts";

/** Ends the process in time if clients exhaust its memory, and bans those clients. */
export const MEMORY: Capability = {
  name: "memory",
  title: "ends the process in time if clients exhaust its memory, and bans those clients",
  start(env, parts) {
    let watch: MemoryWatch | undefined;
    return {
      begin: () => void (watch = startMemoryWatch(env, parts, parts.bans_bucket)),
      socketClosed: (socket, connection) => watch?.onClosed(socket, connection),
      async clientsGone() {
        // Such clients hold the memory to the end, so it is watched until then.
        if (parts.hurried) await watch?.settled();
        else watch?.close();
      },
    };
  },
};
