/** The memory guard of this process, with the process's own means. Not for tests of the guard. */
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { watchMemory } from "./memory_watch.ts";
import type { MemoryWatch } from "./memory_watch.ts";
import type { Parts } from "../parts.ts";

/** In so many turns it counts as allocated what makes it collect. */
const COLLECT_TURNS = 16;
const COLLECT_MS = 50;
const COLLECT_BYTES = 67_108_864;

/** A buffer that is not touched takes no memory, but makes the engine collect. */
function pretend(): void {
  try {
    new ArrayBuffer(COLLECT_BYTES);
  } catch {
    // Without address space left, the engine has collected already.
  }
}

/** What starting it needs besides the parts. */
export interface MemoryStartOptions {
  readonly config: Config;
  readonly registry: Registry;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  readonly onExhausted: (detail: string, at_once: boolean) => void;
}

/** Samples from now on. `bans` is the bucket `ARQON_BANS`. */
export function startMemoryWatch(
  options: MemoryStartOptions,
  { node_id, sockets }: Pick<Parts, "node_id" | "sockets">,
  bans: KeyValue,
): MemoryWatch {
  const never = new Int32Array(new SharedArrayBuffer(4));
  return watchMemory({
    ...options,
    node_id,
    sockets,
    bans,
    readMemory: Deno.memoryUsage,
    // Whatever else waits meanwhile, the peer's next bytes do too.
    pause: (pause_ms) => void Atomics.wait(never, 0, 0, pause_ms),
    collect() {
      for (let turn = 0; turn < COLLECT_TURNS; turn++) {
        Deno.unrefTimer(setTimeout(pretend, turn * COLLECT_MS));
      }
    },
    giveUp: (given_up) => given_up.forEach((socket) => sockets.delete(socket)),
  });
}
