/**
 * The worker that meters and compiles modules of reducers: half a second for the largest, during which no room may
 * wait. It passes results on and keeps nothing. `host.ts` starts it.
 */
import { answerMessages } from "../../../shared/process/thread_answers.ts";
import type { MeteredModule } from "../../../wasm/metering/meter.ts";
import { meterReducer } from "../../../wasm/reducer/reducer_check.ts";

/** A module to meter, and to compile if asked. */
export interface CompileRequest {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly memory_limit_pages: number;
  readonly price_version: number;
  /** False: only the metered bytes are needed. */
  readonly compiles: boolean;
}

/** The compiled module, or its fault. */
export type CompileReply =
  | {
    readonly id: number;
    readonly metered: MeteredModule;
    readonly compiled: WebAssembly.Module | undefined;
  }
  | { readonly id: number; readonly failed: string };

answerMessages((request: CompileRequest): CompileReply => {
  const { id, bytes, memory_limit_pages, price_version, compiles } = request;
  try {
    const metered = meterReducer(bytes, memory_limit_pages, price_version);
    const compiled = compiles ? new WebAssembly.Module(metered.bytes) : undefined;
    return { id, metered, compiled };
  } catch (error) {
    return { id, failed: error instanceof Error ? error.message : String(error) };
  }
});
