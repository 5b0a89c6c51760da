/**
 * The bytes of all tenants that a Spine holds. Below half of the bound nobody's are counted, so that a message usually
 * costs nothing; tenants share what is above (`shared/turns/fair_bound.ts`).
 */
import { tenantOfSubject } from "../../subjects/subject.ts";
import { FairBound } from "../../turns/fair_bound.ts";

/** The shares of the tenants, and of the bus itself. */
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
