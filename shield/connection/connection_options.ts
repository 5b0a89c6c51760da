/** What a `Connection` is given at its birth, by the process and of its client. Types only. */
import type { Connection } from "./connection.ts";
import type { Limits } from "../../shared/config/schema.ts";
import type { FifoOptions } from "./fifo.ts";
import type { Queued } from "./operation_fifo.ts";
import type { Caller, HeaderPair } from "../message/caller.ts";
import type { RateTable } from "../rates/rates.ts";
import type { ClientSocket } from "../socket/client_socket.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { TenantTotals } from "../stats/tenant_stats.ts";

/**
 * What all connections of a process share: one object, since there may be thousands of connections.
 */
export interface ConnectionProcess {
  readonly limits: Limits;
  /** What users, tenants and the process may send. */
  readonly rates: Pick<RateTable, "open">;
  readonly stats: ShieldStats;
  readonly now: () => number;
  /** How operations take effect (`operation_fifo.ts`). */
  readonly fifo: FifoOptions<Queued, readonly HeaderPair[]>;
  /** Called once, after the connection has ended for whatever reason, with its close code. */
  readonly onEnd: (connection: Connection, code: number) => void;
  /** Called for an error that is a bug, not a refusal. */
  readonly onBug: (connection: Connection, error: unknown) => void;
}

/** One client's identity and socket. */
export interface ConnectionOptions {
  readonly text: boolean;
  /** The client reads REFUSAL frames: `?refusals=1` in the URL of its upgrade. */
  readonly refusals: boolean;
  /** Who the client is, with the headers of its upgrade request. */
  readonly caller: Caller;
  readonly socket: ClientSocket;
  /** The counts of the client's tenant. */
  readonly tenant: TenantTotals;
  /** Frees the connection's place among those that are counted. */
  readonly release: () => void;
}
