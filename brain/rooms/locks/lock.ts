/**
 * The lock of a room: a lease with a fencing token. Pure rules for one lock; the document contains it.
 *
 * The fence is the revision of the write that granted the lock, so no two locks of a bucket share
 * one and a later lock has a higher one. Until that write is done it is 0.
 */
import { ArqonError } from "@arqon/proto";
import type { RoomCommand } from "../commands/command.ts";

/** A granted lock; it may have expired and not be removed yet. */
export interface Lock {
  readonly user_id: string;
  /** The holder's connection; "" without one: then only the fence identifies the holder. */
  readonly connection_id: string;
  /** When the lock was granted or last extended, Unix ms. */
  readonly since_ms: number;
  /** When the lease ends, Unix ms. */
  readonly until_ms: number;
  /** The fence; 0: the lock is granted by the write under way. */
  readonly fence: number;
}

/** The lock, or undefined once its lease expired. */
export function liveLock(lock: Lock | undefined, now_ms: number): Lock | undefined {
  return lock !== undefined && now_ms < lock.until_ms ? lock : undefined;
}

/**
 * Throws `fence-mismatch` (409) if the command's fence is not the live lock's. The fence of a lock that is not written
 * yet is unknown to clients.
 */
export function checkFence(lock: Lock | undefined, command: RoomCommand): void {
  if (command.fence === 0) return;
  if (lock === undefined) throw new ArqonError("fence-mismatch", "the room has no lock");
  if (command.fence !== lock.fence || lock.fence === 0) {
    const detail = `the lock of ${lock.user_id} has fence ${lock.fence || "yet to come"}`;
    throw new ArqonError("fence-mismatch", detail);
  }
}

/** True if the sender holds the live lock: by its connection, or by the fence, which was checked before. */
function isHolder(lock: Lock, { fence, from }: RoomCommand): boolean {
  return fence !== 0 || (from.connection_id !== "" && from.connection_id === lock.connection_id);
}

/** Throws `locked` (409), with the rest of the lease, if another client holds the lock. */
export function checkHolder(lock: Lock | undefined, command: RoomCommand, now_ms: number): void {
  if (lock === undefined || isHolder(lock, command)) return;
  const retry_after_ms = Math.ceil(lock.until_ms - now_ms);
  throw new ArqonError("locked", lock.user_id, { retry_after_ms });
}
