/**
 * One pass over all connections in place of timers: ends expired and dead ones, and pings silent ones. The sockets
 * handle WebSocket's own pings.
 */
import { ArqonError } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import { inPieces } from "../../shared/turns/slices.ts";
import type { Connection } from "./connection.ts";

/** The interval of passes, in ms. */
export const SWEEP_MS = 500;
/** How long an upgraded socket may take to open, in ms; the peer may have disconnected in between. */
const OPEN_MS = 10_000;
/** Connections that one slice ends or pings. */
const A_PIECE = 16;
/** How many heartbeats a client has to answer a PING. */
const PATIENCE = 2;
/** The interval between two passes from which on the process counts as stalled, in ms. */
const HELD_UP_MS = 2 * SWEEP_MS;

/** Whether a connection is newer than the last pass: its times are by the current clock. */
function isNew({ created_ms }: Connection, now_ms: number): boolean {
  return created_ms <= now_ms && created_ms > now_ms - HELD_UP_MS;
}

/** The passes over the connections of one process. */
export class Sweeper {
  readonly #connections: Iterable<Connection>;
  readonly #server: Pick<Config["server"], "heartbeat_ms">;
  /** When the last pass ran. */
  #before_ms: number;

  constructor(
    connections: Iterable<Connection>,
    server: Pick<Config["server"], "heartbeat_ms">,
    now_ms: number,
  ) {
    this.#connections = connections;
    this.#server = server;
    this.#before_ms = now_ms;
  }

  /**
   * Checks each connection once; a tenant's due connections are ended or pinged in its slices, since all of them may
   * have one token. Time in which this process stalled does not count: otherwise a process without CPU for a while
   * would end thousands of healthy connections, under high load.
   */
  pass(now_ms: number): void {
    const held_up_ms = now_ms - this.#before_ms - HELD_UP_MS;
    const set_back_ms = this.#before_ms - now_ms;
    const due: Connection[] = [];
    for (const connection of this.#connections) {
      if (held_up_ms > 0) connection.liveness.excuse(held_up_ms);
      connection.noteSent(this.#before_ms);
      // Without the shift, no client would be pinged, or found dead, until the clock has caught up.
      if (set_back_ms > 0 && !isNew(connection, now_ms)) connection.liveness.setBack(set_back_ms);
      if (this.#dueOf(connection, now_ms) !== undefined) due.push(connection);
    }
    this.#before_ms = now_ms;
    for (const [tenant_id, own] of Map.groupBy(due, ({ identity }) => identity.tenant_id)) {
      void inPieces(tenant_id, this.#each(own, now_ms), A_PIECE);
    }
  }

  /** Re-checks each connection, which may have answered or ended since it was found. */
  *#each(connections: readonly Connection[], now_ms: number): Iterable<void> {
    for (const connection of connections) {
      this.#dueOf(connection, now_ms)?.();
      yield;
    }
  }

  #dueOf(connection: Connection, now_ms: number): (() => void) | undefined {
    if (connection.ended) return undefined;
    const { heartbeat_ms } = this.#server;
    const { liveness } = connection;
    const overdue_ms = liveness.overdue_ms(now_ms);
    if (!connection.opened) {
      return now_ms - connection.created_ms > OPEN_MS ? () => connection.end(1006) : undefined;
    }
    if (now_ms >= connection.identity.expires_ms) {
      return () => connection.fail(new ArqonError("token-expired"));
    }
    if (overdue_ms >= PATIENCE * heartbeat_ms) {
      const detail = `no answer to a PING for ${overdue_ms} ms`;
      return () => connection.fail(new ArqonError("heartbeat-lost", detail));
    }
    const is_quiet = now_ms - connection.sent_ms >= heartbeat_ms;
    // The PING shows the client that this side is alive; its answer shows the same of the client.
    return is_quiet || liveness.isDue(now_ms, heartbeat_ms) ? () => connection.ping() : undefined;
  }
}
