/**
 * The time of rooms with reducers: that of their tenants' logs, which is the same for all Brains. Wall clocks of two
 * Brains differ, and one that is set would end timers early, or keep them for as long as it was ahead.
 */
import type { Env } from "../../shared/env.ts";
import { CLOCKS_DIFFER_MS } from "../../shared/clock_steps.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";

/** What the times need of a Brain. */
export interface LogTimesOptions extends Pick<Env, "now"> {
  /** Rejects as `Spine.log`. */
  readonly openLog: (tenant_id: string) => Promise<DurableLog>;
}

/** The logs that this Brain has opened; as many as the Spine has open. */
export class LogTimes {
  readonly #options: LogTimesOptions;
  readonly #logs = new Map<string, DurableLog>();

  constructor(options: LogTimesOptions) {
    this.#options = options;
  }

  /** Opens the tenant's log. Rejects as `Spine.log`. */
  async open(tenant_id: string): Promise<DurableLog> {
    const log = await this.#options.openLog(tenant_id);
    this.#logs.set(tenant_id, log);
    return log;
  }

  /** Whether that time of a tenant's room has come. What may have, while the log is not open, opens it for the next look. */
  isOver(tenant_id: string, at_ms: number): boolean {
    const log = this.#logs.get(tenant_id);
    if (log !== undefined) return at_ms <= log.now();
    // The next look tries again, and the room that needs the log says that it is unreachable.
    if (at_ms <= this.#options.now() + CLOCKS_DIFFER_MS) this.open(tenant_id).catch(() => {});
    return false;
  }
}
