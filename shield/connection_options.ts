/** What a `Connection` is given at its birth, by the process and of its client. Types only. */
import type { Connection, Limits } from "./connection.ts";
import type { FifoOptions } from "./fifo.ts";
import type { Queued } from "./operation_fifo.ts";
import type { Caller, HeaderPair } from "./policy/overseer.ts";
import type { RateTable } from "./rates.ts";
import type { ClientSocket } from "./socket/client_socket.ts";
import type { ShieldStats } from "./stats.ts";
import type { TenantTotals } from "./tenant_stats.ts";

/** One for all connections of a process: what each had of its own, there would be thousands of. */
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
  /** Who it is, and what its upgrade request brought along. */
  readonly caller: Caller;
  readonly socket: ClientSocket;
  /** Its tenant's. */
  readonly tenant: TenantTotals;
  /** Frees its place among those that are counted. */
  readonly release: () => void;
}
