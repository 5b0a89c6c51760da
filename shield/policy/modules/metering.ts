/** Metering outside the message path: modules go to a worker, one after another. `meter.ts` meters. */
import type { MeteredPolicy } from "../abi/abi_check.ts";
import { AskedThread } from "../../../shared/process/asked_thread.ts";
import type { MeteredModule, MeterOptions } from "../../../wasm/metering/meter.ts";
import type { MeterReply, MeterRequest } from "./meter_thread.ts";
import { PolicyModuleError } from "../../../wasm/module/errors.ts";

interface Waiting {
  /** The reply to a policy's request is about a policy. */
  readonly resolve: (metered: never) => void;
  readonly reject: (error: Error) => void;
}

/** A thread that meters. It starts with the first module. */
export class Metering {
  readonly #options: MeterOptions;
  readonly #thread = new AskedThread<MeterRequest, MeterReply, Waiting>({
    start: () =>
      new Worker(new URL("./meter_thread.ts", import.meta.url), {
        type: "module",
        name: "metering",
        deno: { permissions: "none" },
      }),
    settle({ resolve, reject }, reply) {
      if ("metered" in reply) resolve(reply.metered as never);
      else if ("bug" in reply) reject(new Error(`metering failed: ${reply.bug}`));
      else reject(new PolicyModuleError(reply.reason, reply.sentence));
    },
    died: (why) => this.#end(why),
  });

  constructor(options: MeterOptions) {
    this.#options = options;
  }

  /**
   * Decodes, checks and meters a module. Rejects as `meterPolicy` throws, and with `metering-failed`
   * when the thread has died; the next call then starts another one.
   */
  meter(bytes: Uint8Array): Promise<MeteredPolicy> {
    return this.#ask({ bytes, options: this.#options });
  }

  /** Like `meter`, for a reducer. */
  meterReducer(bytes: Uint8Array, memory_limit_pages: number): Promise<MeteredModule> {
    return this.#ask({ bytes, options: { memory_limit_pages }, is_reducer: true });
  }

  /** Ends the thread; running calls are rejected. */
  close(): void {
    this.#end("the process is stopping");
  }

  #ask<Metered>(request: Omit<MeterRequest, "id">): Promise<Metered> {
    const waiting = Promise.withResolvers<Metered>();
    this.#thread.send({ id: this.#thread.add(waiting), ...request });
    return waiting.promise;
  }

  #end(why: string): void {
    const sentence = `the module cannot be checked now: ${why}`;
    this.#thread.end(new PolicyModuleError("metering-failed", sentence));
  }
}
