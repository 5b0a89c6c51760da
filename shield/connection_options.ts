/** What a `Connection` is given by the process at its birth. Types only. */
import type { ClientOperation } from "@arqon/proto";
import type { Connection, Limits } from "./connection.ts";
import type { Caller, HeaderPair } from "./policy/overseer.ts";
import type { RateTable } from "./rates.ts";
import type { ClientSocket } from "./socket/client_socket.ts";
import type { ShieldStats } from "./stats.ts";
import type { TenantTotals } from "./tenant_stats.ts";

/** One client's identity and socket, and the process's part in its life. */
export interface ConnectionOptions {
  text: boolean;
  /** Who it is, and what its upgrade request brought along. */
  caller: Caller;
  socket: Pick<ClientSocket, "close">;
  limits: Limits;
  /** What its user, its tenant and the process may send. */
  rates: Pick<RateTable, "open">;
  stats: ShieldStats;
  /** Its tenant's. */
  tenant: TenantTotals;
  now: () => number;
  /** Publishes that are prepared (signature, policies) side by side. */
  window: number;
  /** Everything that can refuse an operation; gives the headers that policies add. */
  prepare: (
    connection: Connection,
    operation: ClientOperation,
  ) => readonly HeaderPair[] | Promise<readonly HeaderPair[]>;
  /** Makes it take effect, in its turn; a promise holds up what follows. Throws what refuses it. */
  commit: (
    connection: Connection,
    operation: ClientOperation,
    added: readonly HeaderPair[],
  ) => Promise<void> | undefined;
  /** Called once, after the connection has ended for whatever reason, with its close code. */
  onEnd: (connection: Connection, code: number) => void;
  /** Called for an error that is a bug, not a refusal. */
  onBug: (connection: Connection, error: unknown) => void;
}
