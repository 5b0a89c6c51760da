/**
 * What waits in one process, in bounds that tenants share: the appends for their logs, and the bytes of all tenants
 * that a Spine holds.
 */
import { ArqonError } from "@arqon/proto";
import { tenantOfSubject } from "../../subjects/subject.ts";
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

/**
 * The shares of the tenants, and of the bus itself, of the bytes that a Spine holds. Below half of the bound nobody's
 * are counted, so that a message usually costs nothing.
 */
export class PendingShares {
  readonly #half: number;
  readonly #shares: FairBound;

  constructor(most: number) {
    this.#half = most / 2;
    this.#shares = new FairBound(this.#half);
  }

  /** How many of `size` more bytes are counted, of `total` that are held. */
  counted(total: number, size: number): number {
    return Math.max(0, Math.min(size, total + size - this.#half));
  }

  hasRoom(subject: string, counted: number): boolean {
    return counted === 0 || this.#shares.hasRoom(tenantOfSubject(subject), counted);
  }

  /** Adds counted bytes, or subtracts them. */
  add(tenant_id: string, counted: number): void {
    this.#shares.add(tenant_id, counted);
  }
}
