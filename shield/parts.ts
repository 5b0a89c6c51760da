/** The parts of one Shield, once `server.ts` has put them together. Types only. */
import type { HealthCheck } from "../shared/listeners/ops.ts";
import type { KeyValue } from "../shared/spine/contract/spine.ts";
import type { Given } from "./capability.ts";
import type { Authenticator } from "./auth/authenticate.ts";
import type { Bans } from "./auth/bans.ts";
import type { Cluster } from "./cluster.ts";
import type { Connection } from "./connection/connection.ts";
import type { ConnectionTable } from "./connection/connection_table.ts";
import type { Ground } from "./foundation.ts";
import type { Hub } from "./fanout/hub.ts";
import type { ConnectionCounters } from "./connection/limits.ts";
import type { Observers } from "./message/observers.ts";
import type { Operations } from "./connection/operations.ts";
import type { RateTable } from "./rates/rates.ts";
import type { Signals } from "./signals/signals.ts";
import type { ClientSocket, SocketServer } from "./socket/client_socket.ts";

/** Everything that one Shield consists of, wired together. */
export interface Parts extends Ground, Pick<Given, "logs" | "presence" | "policies"> {
  readonly authenticator: Authenticator;
  readonly counters: ConnectionCounters;
  readonly rates: RateTable;
  readonly cluster: Cluster;
  readonly hub: Hub;
  readonly observers: Observers;
  readonly bans: Bans;
  /** The bucket `ARQON_BANS`. */
  readonly bans_bucket: KeyValue;
  /** What readiness asks. */
  readonly checks: () => Record<string, HealthCheck>;
  readonly signals: Signals;
  readonly operations: Operations;
  readonly connections: ConnectionTable;
  /** Sockets that are not closed yet, also those whose connection has ended. */
  readonly sockets: Map<ClientSocket, Connection>;
  readonly socket_server: SocketServer;
  readonly started_ms: number;
  /** 0 until the drain begins. */
  draining_ms: number;
  /** The drain waits for nothing but close frames. */
  hurried: boolean;
  /** Whether the client port answers; absent before it is open. */
  listener?: () => HealthCheck;
}
