/** What a connection needs of its process, how it begins and how it ends. Types only. */
import type { ArqonError } from "@arqon/proto";
import type { Limits } from "../../shared/config/schema.ts";
import type { RunningRow } from "../ledger/left_out_rows.ts";
import type { Caller } from "../message/caller.ts";
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
  /** What users, tenants and the process may send. */
  readonly rates: Pick<RateTable, "open">;
  readonly stats: ShieldStats;
  readonly now: () => number;
  /** What operations do, once the FIFO lets them. */
  readonly operations: OperationSteps;
  /** Called once, after the connection has ended for whatever reason. */
  readonly onEnd: (connection: Connection, end: EndSaid) => void;
  /** Takes note of a refusal beside those of the connection that were noted lately. */
  readonly onRefused?: (refused: RefusedOperation, noted: NotedRefusals) => void;
  /** Called with each refusal that a client is told, and its room, "" where it has none. */
  readonly onDenied?: (connection: Connection, room_id: string, error: unknown) => void;
  /** Called for an error that is a bug, not a refusal. */
  readonly onBug: (connection: Connection, error: unknown) => void;
}

/** How a connection has ended. */
export interface EndSaid {
  readonly code: number;
  /** What the client was told; "": it closed the connection itself, or was lost. */
  readonly reason: string;
  /** Bytes that its socket had not passed on. */
  readonly unsent_bytes: number;
  /** The ledger's position of the oldest frame that was never given to the socket; 0: all were. */
  readonly queued_from: number;
}

/** The refusals of a connection that were noted lately, by reason and room; the oldest first. */
export type NotedRefusals = Map<string, { readonly run: RunningRow; readonly at_ms: number }>;

/** A refused operation of a connection. */
export interface RefusedOperation {
  readonly connection: Connection;
  readonly refusal: ArqonError;
  readonly room_id: string;
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
  /** Where the use of its user counts; absent: nowhere. */
  readonly use?: UserUse | undefined;
  /** Frees the connection's place among those that are counted. */
  readonly release: () => void;
}
