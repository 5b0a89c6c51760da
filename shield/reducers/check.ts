/**
 * Checks that a module is a valid reducer, off the message path: the module is decoded and metered in a worker, then
 * compiled in a child process, like a policy. It runs none of its code.
 */
import { sha256Hex } from "../../shared/sha256.ts";
import { createCompiler } from "../policy/modules/compile.ts";
import { Kept } from "../policy/modules/kept.ts";
import { createMetering } from "../policy/modules/metering.ts";

/** Checks modules. */
export interface ReducerCheck {
  /** Rejects with `PolicyModuleError`, whose message is a sentence for people. */
  check(bytes: Uint8Array, memory_limit_pages: number): Promise<void>;
  close(): void;
}

/** Makes the check; the worker starts with the first module. */
export function createReducerCheck(): ReducerCheck {
  // Brains compile the modules that they run: here the compilation is only a test.
  const compiler = createCompiler();
  const metering = createMetering({ memory_limit_pages: 1 });
  // One module is often deployed to several room classes in a row.
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
