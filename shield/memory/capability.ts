/** The memory-guard capability of a Shield. */
import type { Capability } from "../capability.ts";
import { startMemoryWatch } from "./memory_start.ts";
import type { MemoryWatch } from "./memory_watch.ts";

/** The process ends in time when clients take its memory, and those clients are banned. */
export const MEMORY: Capability = {
  name: "memory",
  title: "the process ends in time when clients take its memory, and those who do are banned",
  start(env, parts) {
    let watch: MemoryWatch | undefined;
    return {
      begin: () => void (watch = startMemoryWatch(env, parts, parts.bans_bucket)),
      socketClosed: (socket, connection) => watch?.onClosed(socket, connection),
      async clientsGone() {
        // Such clients keep the memory to the end: so it is watched until then.
        if (parts.hurried) await watch?.settled();
        else watch?.close();
      },
    };
  },
};
