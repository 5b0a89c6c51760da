/**
 * Writes existing connections and subscriptions as rows for the store: a killed Shield cannot record their end. Each is
 * written when it is new, and again periodically; a subscription also until it has caught up. They are only for the
 * store, as a running Shield has them in memory.
 */
import { turn } from "../../shared/turns/next_turn.ts";
import type { Ledger } from "./ledger.ts";
import { clipped, type ConnectionBegin, type SubscriptionBegin } from "./row_facts.ts";
import type { LivingConnection, SubscriptionMark } from "../fanout/delivery_notes.ts";
import type { HubPatterns } from "../fanout/patterns.ts";
import { KIND } from "./row_form.ts";
import type { BlockDraft } from "./stored_block.ts";

const SLICE = 1_000;

/** The connections and subscriptions of one Shield. */
export class Presences {
  /** Connections with an unwritten subscription. */
  readonly joined = new Set<LivingConnection>();
  connections: Iterable<LivingConnection> = [];
  /** Absent: no room is received by a pattern. */
  patterns: Pick<HubPatterns, "of"> | undefined;
  readonly #ledger: Pick<Ledger, "rooms">;
  readonly #draftOf: (tenant_id: string) => BlockDraft;
  #written = new WeakSet<SubscriptionMark>();
  /** The number of the last written connection. */
  #last = 0;
  /** Tenants whose connections are written again. */
  #again = new Set<string>();

  constructor(ledger: Pick<Ledger, "rooms">, draftOf: (tenant_id: string) => BlockDraft) {
    this.#ledger = ledger;
    this.#draftOf = draftOf;
  }

  /** Schedules all connections for another write, or those of one tenant. */
  forget(tenant_id?: string): void {
    if (tenant_id !== undefined) return void this.#again.add(tenant_id);
    this.#written = new WeakSet();
    this.#last = 0;
  }

  /** Writes new connections and subscriptions. `now` is in Unix ms. */
  async write(now: () => number): Promise<void> {
    const first = this.#last;
    const again = this.#again;
    this.#again = new Set();
    let last = first;
    let looked = 0;
    for (const connection of this.connections) {
      if (++looked % SLICE === 0) await turn();
      if (connection.ended) continue;
      const { number, outbox, identity: { tenant_id } } = connection;
      const from = outbox?.queued_from ?? 0;
      if (from > 0) this.#draftOf(tenant_id).add(KIND.waiting, 0, number, { from }, now());
      const is_again = again.has(tenant_id);
      if (number <= first && !is_again) continue;
      if (is_again) this.#forgetMarks(connection);
      last = Math.max(last, number);
      this.#writeConnection(connection, now());
    }
    // Not if another write of all was scheduled meanwhile.
    if (this.#last === first) this.#last = last;
    await this.#writeJoined(now);
  }

  #forgetMarks(connection: LivingConnection): void {
    for (const [, { mark }] of this.#marksOf(connection)) {
      if (mark !== undefined) this.#written.delete(mark);
    }
  }

  async #writeJoined(now: () => number): Promise<void> {
    let looked = 0;
    for (const connection of [...this.joined]) {
      if (++looked % SLICE === 0) await turn();
      if (connection.ended || this.#writeSubscriptions(connection, now())) {
        this.joined.delete(connection);
      }
    }
  }

  #writeConnection(connection: LivingConnection, now_ms: number): void {
    const { number, id, identity: { tenant_id, user_id }, caller, noted_ms } = connection;
    const batch = connection.outbox?.has_batches ?? false;
    const facts: ConnectionBegin = {
      connection_id: id,
      tenant_id,
      user_id,
      remote_ip: clipped(caller.remote_ip),
      began_ms: noted_ms,
      batch,
    };
    this.#draftOf(tenant_id).add(KIND.opened, 0, number, facts, now_ms);
    if (!this.#writeSubscriptions(connection, now_ms)) this.joined.add(connection);
  }

  /** Writes new subscriptions, and those that have advanced; false if some have not caught up yet. */
  #writeSubscriptions(connection: LivingConnection, now_ms: number): boolean {
    const { number, identity: { tenant_id } } = connection;
    let is_final = true;
    for (const [room_id, { mark }] of this.#marksOf(connection)) {
      if (mark === undefined || this.#written.has(mark)) continue;
      const room = this.#ledger.rooms.find(tenant_id, room_id);
      if (room === undefined) {
        // The ledger has no number for the room before its first message.
        is_final = false;
        continue;
      }
      const { number: own, since, since_ms, episode: caught_up, filters } = mark;
      const draft = this.#draftOf(tenant_id);
      draft.name(room.number, room_id);
      const facts: SubscriptionBegin = { number: own, since, since_ms, caught_up, filters };
      draft.add(KIND.joined, room.number, number, facts, now_ms);
      if (caught_up?.live === 0) is_final = false;
      else this.#written.add(mark);
    }
    return is_final;
  }

  *#marksOf(connection: LivingConnection): Generator<
    readonly [room_id: string, subscription: { readonly mark?: SubscriptionMark | undefined }]
  > {
    yield* connection.subscriptions;
    const { rooms = [] } = this.patterns?.of(connection) ?? {};
    for (const [room_id, { subscriber }] of rooms) yield [room_id, subscriber];
  }
}
