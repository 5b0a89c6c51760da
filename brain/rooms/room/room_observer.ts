/** What a Brain counts and notes of its rooms at work. Only the type; `service.ts` makes it. */
import type { RoomAddress } from "../commands/command.ts";
import type { FreshEvent } from "../store/room_event.ts";

/** What the metrics and the tables of a Brain learn of its rooms. */
export interface RoomObserver {
  /** Called when another Brain won a compare-and-set. */
  onConflict(): void;
  /** Called for commands that run again: after a lost race, or when one of their batch failed. */
  onRetry(commands: number): void;
  /** Called when a command's handler threw; the room starts again from its document. */
  onRestart(at: RoomAddress, error: unknown): void;
  onCreated(at: RoomAddress): void;
  onFresh(at: RoomAddress, fresh: readonly FreshEvent[]): void;
  /** Called for commands that a room forgot before their time because it had too many. */
  onForgotten(commands: number): void;
  /** Called for a command that is refused because its tenant's rooms have as many bytes as they may. */
  onFull(): void;
}
