/** The bound of the appends that wait for their logs in one process, which tenants share. */
import { ArqonError } from "@arqon/proto";
import { FairBound } from "../../turns/fair_bound.ts";
import type { LogLimits } from "./durable_log.ts";

const RETRY_MS = 100;

/** The waiting appends by tenant. */
export class PendingAppends {
  readonly #messages: FairBound;
  readonly #bytes: FairBound;

  constructor(limits: Pick<LogLimits, "pending_messages" | "pending_bytes">) {
    this.#messages = new FairBound(limits.pending_messages);
    this.#bytes = new FairBound(limits.pending_bytes);
  }

  get messages(): number {
    return this.#messages.total;
  }

  /** Counts an append. Throws `log-unavailable` above the tenant's share. */
  take(tenant_id: string, bytes: number): void {
    if (this.#bytes.hasRoom(tenant_id, bytes) && this.#messages.take(tenant_id)) {
      return this.#bytes.add(tenant_id, bytes);
    }
    const detail = `${this.#messages.of(tenant_id)} publishes of this tenant wait`;
    throw new ArqonError("log-unavailable", detail, { retry_after_ms: RETRY_MS });
  }

  /** An append has ended. */
  release(tenant_id: string, bytes: number): void {
    this.#messages.add(tenant_id, -1);
    this.#bytes.add(tenant_id, -bytes);
  }
}
