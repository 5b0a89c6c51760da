/**
 * Takes note of refused handshakes. Strangers cause them at will, so only so many a second become rows of
 * their own, and the same refusal of the same address in a row is one row.
 */
import type { ArqonError } from "@arqon/proto";
import type { Identity } from "../auth/identity.ts";
import type { Ledger } from "./ledger.ts";
import type { RunningRow } from "./left_out_rows.ts";
import { clipped } from "./row_facts.ts";

/** Most rows a second. */
const ROWS_PER_SECOND = 50;
/** Addresses whose last refusal is remembered. */
const LAST_MAX = 256;

/** A refused handshake; user and tenant are "" when the token was refused. */
export interface RefusedHandshake {
  readonly tenant_id: string;
  readonly user_id: string;
  readonly remote_ip: string;
  readonly reason: string;
  readonly detail: string;
}

/** The refused handshakes of one process. */
export class HandshakeNotes {
  readonly #ledger: Pick<Ledger, "refused">;
  readonly #now: () => number;
  readonly #last = new Map<string, RunningRow>();
  #second = 0;
  #rows = 0;

  /** `now` is in Unix ms. */
  constructor(ledger: Pick<Ledger, "refused">, now: () => number) {
    this.#ledger = ledger;
    this.#now = now;
  }

  note({ tenant_id, user_id, remote_ip, reason, detail }: RefusedHandshake): void {
    const key = `${remote_ip}\n${tenant_id}\n${user_id}\n${reason}`;
    const run = this.#last.get(key);
    if (run === undefined && !this.#mayWrite()) return;
    const of = { tenant_id, user_id, remote_ip: clipped(remote_ip), reason, connection_id: "" };
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
    return ++this.#rows <= ROWS_PER_SECOND;
  }
}

/** What the client listener needs for it; nothing without a ledger. */
export function handshakeNotes(ledger: Ledger | undefined, now: () => number) {
  if (ledger === undefined) return {};
  const notes = new HandshakeNotes(ledger, now);
  return {
    noteRefused(
      { reason, message: detail }: ArqonError,
      remote_ip: string,
      identity: Pick<Identity, "tenant_id" | "user_id"> | undefined,
    ): void {
      const { tenant_id = "", user_id = "" } = identity ?? {};
      notes.note({ tenant_id, user_id, remote_ip, reason, detail });
    },
  };
}
