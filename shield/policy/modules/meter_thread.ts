/**
 * The thread on which uploads are decoded, checked and metered: a Web Worker without permissions.
 * The largest module that is let in takes tenths of a second, which the messages must not wait for.
 * `metering.ts` starts it.
 */
import { meterPolicy } from "../abi/abi_check.ts";
import type { MeteredPolicy } from "../abi/abi_check.ts";
import type { MeterOptions } from "../../../wasm/metering/meter.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";

/** One module to meter. */
export interface MeterRequest {
  readonly id: number;
  readonly bytes: Uint8Array;
  readonly options: MeterOptions;
}

/** What became of it: metered, refused with reason and sentence, or a bug of ours. */
export type MeterReply =
  | { readonly id: number; readonly metered: MeteredPolicy }
  | { readonly id: number; readonly reason: string; readonly sentence: string }
  | { readonly id: number; readonly bug: string };

/** What of the worker's global scope is used; the workspace's `lib` is the main thread's. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<MeterRequest>) => void) | null;
  postMessage(message: MeterReply): void;
}

function answer({ id, bytes, options }: MeterRequest): MeterReply {
  try {
    return { id, metered: meterPolicy(bytes, options) };
  } catch (error) {
    if (error instanceof PolicyModuleError) {
      return { id, reason: error.reason, sentence: error.message };
    }
    return { id, bug: error instanceof Error ? error.stack ?? error.message : String(error) };
  }
}

const scope = globalThis as unknown as WorkerScope;
scope.onmessage = ({ data }) => scope.postMessage(answer(data));
