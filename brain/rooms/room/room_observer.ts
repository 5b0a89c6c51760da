/** Callbacks for metrics and tables of active rooms. Only the type; `service.ts` implements it. */
import type { RoomAddress } from "../commands/command.ts";
import type { FreshEvent } from "../store/room_event.ts";

/** Observes a Brain's rooms for metrics and tables. */
export interface RoomObserver {
  /** Called when another Brain won a compare-and-set. */
  onConflict(): void;
  /** Called for retried commands: after a lost race, or when one of their batch failed. */
  onRetry(commands: number): void;
  /** Called when a command's handler threw; the room restarts from its document. */
  onRestart(at: RoomAddress, error: unknown): void;
  onCreated(at: RoomAddress): void;
  onFresh(at: RoomAddress, fresh: readonly FreshEvent[]): void;
  /** Called for commands that a room forgot early because it had too many. */
  onForgotten(commands: number): void;
  /** Called for a command refused by its tenant's byte quota. */
  onFull(): void;
}
