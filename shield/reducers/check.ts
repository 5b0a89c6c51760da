/**
 * Holds a module to what a reducer has to be, beside the message path: it is decoded and metered in a thread, then
 * compiled in a child process, as a policy is. Runs nothing of it.
 */
import { sha256Hex } from "../../shared/sha256.ts";
import { createCompiler } from "../policy/modules/compile.ts";
import { Kept } from "../policy/modules/kept.ts";
import { createMetering } from "../policy/modules/metering.ts";

/** Checks modules. */
export interface ReducerCheck {
  /** Rejects with `PolicyModuleError`, whose message is a sentence for people. */
  check(bytes: Uint8Array, memory_limit_pages: number): Promise<void>;
  /** Ends the thread. */
  close(): void;
}

/** Makes it; the thread starts with the first module. */
export function createReducerCheck(): ReducerCheck {
  // Brains compile what they run: here only the trial counts.
  const compiler = createCompiler();
  const metering = createMetering({ memory_limit_pages: 1 });
  // One module is often deployed to several classes of rooms, one after the other.
  const tried = new Kept<void>({ max: 1 });
  return {
    async check(bytes, memory_limit_pages) {
      const metered = await metering.meterReducer(bytes, memory_limit_pages);
      const sha256 = await sha256Hex(bytes);
      await tried.get(sha256, async () => void await compiler.compile(sha256, metered.bytes));
    },
    close: () => metering.close(),
  };
}
