/**
 * The worker that decodes, checks and meters uploads: a Web Worker without permissions. The largest accepted module
 * takes tenths of a second, during which messages must not wait. `metering.ts` starts it.
 */
import { type MeteredPolicy, meterPolicy } from "../abi/abi_check.ts";
import type { MeteredModule, MeterOptions } from "../../../wasm/metering/meter.ts";
import { meterReducer } from "../../../wasm/reducer/reducer_check.ts";
import { answerMessages, bugText } from "../../../shared/process/thread_answers.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";

/** A module to meter. */
export interface MeterRequest {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly options: MeterOptions;
  /** Absent: the module is a policy. */
  readonly is_reducer?: boolean;
}

/** The outcome of a module: metered, refused with reason and sentence, or an internal error. */
export type MeterReply =
  | { readonly id: number; readonly metered: MeteredPolicy | MeteredModule }
  | { readonly id: number; readonly reason: string; readonly sentence: string }
  | { readonly id: number; readonly bug: string };

answerMessages(({ id, bytes, options, is_reducer }: MeterRequest): MeterReply => {
  try {
    if (is_reducer) return { id, metered: meterReducer(bytes, options.memory_limit_pages) };
    return { id, metered: meterPolicy(bytes, options) };
  } catch (error) {
    if (error instanceof PolicyModuleError) {
      return { id, reason: error.reason, sentence: error.message };
    }
    return { id, bug: bugText(error) };
  }
});
