/**
 * The worker for what takes long: it meters and compiles modules, half a second for the largest, and compresses large
 * snapshots, a fifth of a second. No room may wait meanwhile. It passes results on and keeps nothing. `host.ts` starts
 * it.
 */
import { answerMessages } from "../../../shared/process/thread_answers.ts";
import type { MeteredModule } from "../../../wasm/metering/meter.ts";
import { meterReducer } from "../../../wasm/reducer/reducer_check.ts";
import { packSnapshot } from "../state/snapshot.ts";

/** A module to meter, and to compile if asked. */
interface ModuleRequest {
  readonly bytes: Uint8Array;
  readonly memory_limit_pages: number;
  readonly price_version: number;
  /** False: only the metered bytes are needed. */
  readonly compiles: boolean;
}

/** A module, or a snapshot to compress. */
export type CompileWork = ModuleRequest | { readonly snapshot: Uint8Array };
/** Work with its id. */
export type CompileRequest = { readonly id: number } & CompileWork;

/** The compiled module, the compressed snapshot, or the fault. */
export type CompileReply =
  | {
    readonly id: number;
    readonly metered: MeteredModule;
    readonly compiled: WebAssembly.Module | undefined;
  }
  | { readonly id: number; readonly packed: Uint8Array }
  | { readonly id: number; readonly failed: string };

answerMessages((request: CompileRequest): CompileReply => {
  const { id } = request;
  try {
    if ("snapshot" in request) return { id, packed: packSnapshot(request.snapshot) };
    const { bytes, memory_limit_pages, price_version, compiles } = request;
    const metered = meterReducer(bytes, memory_limit_pages, price_version);
    const compiled = compiles ? new WebAssembly.Module(metered.bytes) : undefined;
    return { id, metered, compiled };
  } catch (error) {
    return { id, failed: error instanceof Error ? error.message : String(error) };
  }
});
