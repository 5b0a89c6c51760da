/**
 * Records refused handshakes. Unauthenticated clients cause them at will, so only a limited number per second gets
 * rows, and consecutive equal refusals of one address share a row.
 */
import { type ArqonError, isId } from "@arqon/proto";
import type { Handshake } from "../message/observers.ts";
import type { Ledger } from "./ledger.ts";
import type { RunningRow } from "./left_out_rows.ts";
import { clipped } from "./row_facts.ts";

/** The most addresses whose last refusal is remembered. */
const LAST_MAX = 256;

/** The refused handshakes of one process. */
export class HandshakeNotes {
  readonly #ledger: Pick<Ledger, "refused">;
  readonly #now: () => number;
  readonly #rows_per_second: number;
  readonly #last = new Map<string, RunningRow>();
  #second = 0;
  #rows = 0;

  /** The number of refusals without a row, since the start. */
  unnoted = 0;

  /** `now` is in Unix ms. */
  constructor(ledger: Pick<Ledger, "refused">, now: () => number, rows_per_second: number) {
    this.#ledger = ledger;
    this.#now = now;
    this.#rows_per_second = rows_per_second;
  }

  /**
   * Records a refusal. User and tenant are "" if the refused token has no known owner. An unauthenticated client may
   * name any former connection; an authenticated one only those of its tenant.
   */
  greeted(
    { remote_ip, who, former }: Omit<Handshake, "request">,
    refused: ArqonError | undefined,
  ): void {
    if (refused === undefined) return;
    const { reason, message: detail } = refused;
    const { tenant_id = "", user_id = "" } = who ?? {};
    const connection_id = who !== undefined && isId(former) ? former : "";
    const key = `${remote_ip}\n${tenant_id}\n${user_id}\n${connection_id}\n${reason}`;
    const run = this.#last.get(key);
    if (run === undefined && !this.#mayWrite()) return void this.unnoted++;
    const of = { tenant_id, user_id, remote_ip: clipped(remote_ip), reason, connection_id };
    const refusal = { stage: "handshake" as const, ...of, room_id: "", detail: clipped(detail) };
    this.#last.delete(key);
    this.#last.set(key, this.#ledger.refused(0, refusal, run));
    if (this.#last.size <= LAST_MAX) return;
    for (const oldest of this.#last.keys()) return void this.#last.delete(oldest);
  }

  #mayWrite(): boolean {
    const second = Math.trunc(this.#now() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#rows = 0;
    }
    return ++this.#rows <= this.#rows_per_second;
  }
}
