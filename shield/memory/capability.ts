/** The memory-guard capability of a Shield: the guard with the process's own clock and readings. */
import type { Env } from "../../shared/env.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import type { Capability, Parts } from "../capability.ts";
import { type MemoryWatch, watchMemory } from "./memory_watch.ts";

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

/** The number of buffers that make the engine collect garbage, their interval in ms, and their size. */
const COLLECT_TURNS = 16;
const COLLECT_MS = 50;
const COLLECT_BYTES = 67_108_864;

/** Allocates a buffer that is never touched. It takes no memory, but triggers a garbage collection. */
function pretend(): void {
  try {
    new ArrayBuffer(COLLECT_BYTES);
  } catch {
    // The address space is exhausted; the engine has collected garbage in that case.
  }
}

interface MemoryStartOptions extends Pick<Env, "config" | "registry" | "log" | "now"> {
  readonly onExhausted: (detail: string, at_once: boolean) => void;
}

/** Starts the guard, which samples from now on. `bans` is the bucket `ARQON_BANS`. */
function startMemoryWatch(
  options: MemoryStartOptions,
  { node_id, sockets, time }: Pick<Parts, "node_id" | "sockets" | "time">,
  bans: KeyValue,
): MemoryWatch {
  const never = new Int32Array(new SharedArrayBuffer(4));
  return watchMemory({
    ...options,
    node_id,
    sockets,
    bans,
    storeNow: () => time.now(),
    readMemory: Deno.memoryUsage,
    // The thread blocks: the peer's next bytes wait, too.
    pause: (pause_ms) => void Atomics.wait(never, 0, 0, pause_ms),
    collect() {
      for (let turn = 0; turn < COLLECT_TURNS; turn++) {
        Deno.unrefTimer(setTimeout(pretend, turn * COLLECT_MS));
      }
    },
    giveUp: (given_up) => given_up.forEach((socket) => sockets.delete(socket)),
  });
}
