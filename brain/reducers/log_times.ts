/**
 * The time of rooms with reducers: that of their tenants' logs, the same for all Brains. Wall clocks of two Brains
 * differ, and a wrong one would end timers early, or keep them for as long as it was ahead.
 */
import type { Env } from "../../shared/env.ts";
import { CLOCKS_DIFFER_MS } from "../../shared/clock_steps.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";

interface LogTimesOptions extends Pick<Env, "now"> {
  /** Rejects as `Spine.log`. */
  readonly openLog: (tenant_id: string) => Promise<DurableLog>;
}

/** The logs that this Brain has opened; the Spine limits their number. */
export class LogTimes {
  readonly #options: LogTimesOptions;
  readonly #logs = new Map<string, DurableLog>();
  #is_opening = false;

  constructor(options: LogTimesOptions) {
    this.#options = options;
  }

  /** Opens the tenant's log. Rejects as `Spine.log`. */
  async open(tenant_id: string): Promise<DurableLog> {
    const log = await this.#options.openLog(tenant_id);
    this.#logs.set(tenant_id, log);
    return log;
  }

  /**
   * Whether a tenant's room has reached that time. If the log is not open but the time may have come, opens the log for
   * the next call.
   */
  isOver(tenant_id: string, at_ms: number): boolean {
    const log = this.#logs.get(tenant_id);
    if (log !== undefined) return at_ms <= log.now();
    // Any log shows the time of all, so without one the first is opened: this Brain's clock may be days behind.
    const [any] = this.#logs.values();
    const now_ms = any?.now() ?? (this.#is_opening ? this.#options.now() : Infinity);
    if (at_ms <= now_ms + CLOCKS_DIFFER_MS) {
      this.#is_opening = true;
      // The next call tries again, and a room that needs the log reports that it is unreachable.
      this.open(tenant_id).catch(() => {}).finally(() => this.#is_opening = false);
    }
    return false;
  }
}
