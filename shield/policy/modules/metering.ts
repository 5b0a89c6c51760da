/** Metering outside the message path: modules go to a worker, one after another. `meter.ts` meters. */
import type { MeteredPolicy } from "../abi/abi_check.ts";
import { AskedThread } from "../../../shared/process/asked_thread.ts";
import type { MeteredModule, MeterOptions } from "../../../wasm/metering/meter.ts";
import type { MeterReply, MeterRequest } from "./meter_thread.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";

/** A thread that meters. */
export interface Metering {
  /**
   * Decodes, checks and meters a module. Rejects as `meterPolicy` throws, and with `metering-failed`
   * when the thread has died; the next call then starts another one.
   */
  meter(bytes: Uint8Array): Promise<MeteredPolicy>;
  /** Like `meter`, for a reducer. */
  meterReducer(bytes: Uint8Array, memory_limit_pages: number): Promise<MeteredModule>;
  /** Ends the thread; running calls are rejected. */
  close(): void;
}

interface Waiting {
  /** The reply to a policy's request is about a policy. */
  readonly resolve: (metered: never) => void;
  readonly reject: (error: Error) => void;
}

function settle({ resolve, reject }: Waiting, reply: MeterReply): void {
  if ("metered" in reply) resolve(reply.metered as never);
  else if ("bug" in reply) reject(new Error(`metering failed: ${reply.bug}`));
  else reject(new PolicyModuleError(reply.reason, reply.sentence));
}

/** Makes the thread. It starts with the first module. */
export function createMetering(options: MeterOptions): Metering {
  const thread = new AskedThread<MeterRequest, MeterReply, Waiting>({
    start: () =>
      new Worker(new URL("./meter_thread.ts", import.meta.url), {
        type: "module",
        name: "metering",
        deno: { permissions: "none" },
      }),
    settle,
    died: end,
  });

  function end(why: string): void {
    const sentence = `the module cannot be checked now: ${why}`;
    thread.end(new PolicyModuleError("metering-failed", sentence));
  }

  function ask<Metered>(request: Omit<MeterRequest, "id">): Promise<Metered> {
    const waiting = Promise.withResolvers<Metered>();
    thread.send({ id: thread.add(waiting), ...request });
    return waiting.promise;
  }

  return {
    meter: (bytes) => ask<MeteredPolicy>({ bytes, options }),
    meterReducer: (bytes, memory_limit_pages) =>
      ask<MeteredModule>({ bytes, options: { memory_limit_pages }, is_reducer: true }),
    close: () => end("the process is stopping"),
  };
}
