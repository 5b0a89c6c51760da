/**
 * Starts the memory guard of this process, with the process's own clock and readings. Tests of the
 * guard do not use it.
 */
import type { Env } from "../../shared/env.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { type MemoryWatch, watchMemory } from "./memory_watch.ts";
import type { Parts } from "../capability.ts";

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

/** What starting the guard needs besides the parts. */
interface MemoryStartOptions extends Pick<Env, "config" | "registry" | "log" | "now"> {
  readonly onExhausted: (detail: string, at_once: boolean) => void;
}

/** Starts the guard, which samples from now on. `bans` is the bucket `ARQON_BANS`. */
export function startMemoryWatch(
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
