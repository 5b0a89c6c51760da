/**
 * One pass over all connections in place of timers: ends expired and dead ones, and pings silent ones. The sockets
 * handle WebSocket's own pings.
 */
import { ArqonError } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Connection } from "./connection.ts";

/** The interval of passes, in ms. */
export const SWEEP_MS = 500;
/** How long an upgraded socket may take to open, in ms; the peer may have vanished in between. */
const OPEN_MS = 10_000;
/** How many heartbeats a client has to answer a PING. */
const PATIENCE = 2;
/** The time between two passes that shows that the process stalled, in ms. */
const HELD_UP_MS = 2 * SWEEP_MS;

/** Whether a connection was made since the last pass: its times are by the current clock. */
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
   * Checks each connection once. Time in which this process stalled is no client's fault: otherwise a process without
   * CPU for a while would end thousands of healthy connections, just when it can bear that least.
   */
  pass(now_ms: number): void {
    const held_up_ms = now_ms - this.#before_ms - HELD_UP_MS;
    const set_back_ms = this.#before_ms - now_ms;
    for (const connection of [...this.#connections]) {
      if (held_up_ms > 0) connection.liveness.excuse(held_up_ms);
      connection.noteSent(this.#before_ms);
      // Otherwise no client would be pinged, or found dead, until the clock has caught up.
      if (set_back_ms > 0 && !isNew(connection, now_ms)) connection.liveness.setBack(set_back_ms);
      this.#look(connection, now_ms);
    }
    this.#before_ms = now_ms;
  }

  #look(connection: Connection, now_ms: number): void {
    const { heartbeat_ms } = this.#server;
    const { liveness } = connection;
    const overdue_ms = liveness.overdue_ms(now_ms);
    if (!connection.opened) {
      if (now_ms - connection.created_ms > OPEN_MS) connection.end(1006);
    } else if (now_ms >= connection.identity.expires_ms) {
      connection.fail(new ArqonError("token-expired"));
    } else if (overdue_ms >= PATIENCE * heartbeat_ms) {
      connection.fail(new ArqonError("heartbeat-lost", `no answer to a PING for ${overdue_ms} ms`));
    } else if (
      now_ms - connection.sent_ms >= heartbeat_ms || liveness.isDue(now_ms, heartbeat_ms)
    ) {
      // The PING shows the client that this side lives; its answer shows the same of the client.
      connection.ping();
    }
  }
}
