/**
 * How the operations of connections pass their FIFOs: one set of options for all of them, so that
 * what waits says whose it is. Not the order itself: that is `fifo.ts`.
 */
import type { ClientOperation } from "@arqon/proto";
import type { Connection } from "./connection.ts";
import type { FifoOptions } from "./fifo.ts";
import type { HeaderPair } from "../message/caller.ts";
import { requestOf } from "../message/request_ref.ts";

/** An operation in its connection's FIFO. */
export interface Queued {
  readonly connection: Connection;
  readonly operation: ClientOperation;
  readonly size_bytes: number;
  /** The place of its frame among those of the connection. */
  readonly place: number;
}

/** What operations come to. */
export interface OperationSteps {
  /** Publishes that are prepared (signature, policies) side by side. */
  readonly window: number;
  /** Everything that can refuse an operation; gives the headers that policies add. */
  readonly prepare: (
    connection: Connection,
    operation: ClientOperation,
  ) => readonly HeaderPair[] | Promise<readonly HeaderPair[]>;
  /** Makes it take effect, in its turn; a promise holds up what follows. Throws what refuses it. */
  readonly commit: (
    connection: Connection,
    operation: ClientOperation,
    added: readonly HeaderPair[],
  ) => Promise<void> | undefined;
}

/** Events and signals only wait for their own checks; all else may change what those are about. */
function isPlainPublish(operation: ClientOperation): boolean {
  return operation.kind === "publish" && operation.envelope.command === undefined;
}

/** Functions for each connection would be memory of every one. */
export function fifoOptions(
  { window, prepare, commit }: OperationSteps,
): FifoOptions<Queued, readonly HeaderPair[]> {
  return {
    window,
    isPipelined: ({ operation }) => isPlainPublish(operation),
    prepare: ({ connection, operation }) => prepare(connection, operation),
    commit({ connection, operation, place }, added) {
      connection.place = place;
      return commit(connection, operation, added);
    },
    onError: ({ connection, operation, place }, error) =>
      connection.refuse(requestOf(operation), error, place),
    onQueued: ({ connection, size_bytes, place }) => void connection.hold(size_bytes, place),
    onLeft: ({ connection, size_bytes, place }) => connection.release(size_bytes, place),
  };
}
