/** What a connection needs from its process, its start and its end. Types only. */
import type { Limits } from "../../shared/config/schema.ts";
import type { Caller } from "../message/caller.ts";
import type { Observer } from "../message/observers.ts";
import type { RateTable } from "../rates/rates.ts";
import type { ClientSocket } from "../socket/client_socket.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { UserUse } from "../../shared/records/user_use.ts";
import type { TenantTotals } from "../stats/tenant_stats.ts";
import type { Connection } from "./connection.ts";
import type { OperationSteps } from "./fifo.ts";

/**
 * What all connections of a process share: one object, since there may be thousands of connections.
 */
export interface ConnectionProcess {
  readonly limits: Limits;
  /** The rate limits of users, tenants and the process. */
  readonly rates: Pick<RateTable, "open">;
  readonly stats: ShieldStats;
  readonly now: () => number;
  /** The operations, run in turn by the FIFO. */
  readonly operations: OperationSteps;
  /** Ends one subscription at once. */
  readonly leave: (connection: Connection, room_id: string) => void;
  /** Called once, after the connection has ended for whatever reason. */
  readonly onEnd: (connection: Connection, end: EndSaid) => void;
  /** Called with each refusal that a client receives, as `Observer.denied` is. */
  readonly onDenied?: NonNullable<Observer["denied"]>;
  /** Called for an error that is a bug, not a refusal. */
  readonly onBug: (connection: Connection, error: unknown) => void;
}

/** The end of a connection. */
export interface EndSaid {
  readonly code: number;
  /** The reason that the client received; "": it closed the connection itself, or was lost. */
  readonly reason: string;
  /** Bytes that its socket had not sent. */
  readonly unsent_bytes: number;
  /** The ledger's position of the oldest frame never given to the socket; 0: all were. */
  readonly queued_from: number;
}

/** One client's identity and socket. */
export interface ConnectionOptions {
  /** The connection's number in the ledger; absent: there is none. */
  readonly number?: number | undefined;
  /** When it began by the ledger's clock, Unix ms. */
  readonly noted_ms?: number | undefined;
  readonly text: boolean;
  /** The caller: the client's identity, with the headers of its upgrade request. */
  readonly caller: Caller;
  readonly socket: ClientSocket;
  /** The counts of the client's tenant. */
  readonly tenant: TenantTotals;
  /** The object that counts its user's usage; absent: not counted. */
  readonly use?: UserUse | undefined;
  /** Releases the connection's count. */
  readonly release: () => void;
}
