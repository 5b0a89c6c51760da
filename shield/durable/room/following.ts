/** The options and callbacks of following a durable room. `follower.ts` follows. */
import type { Logger } from "../../../shared/logs/log.ts";
import type { RoomClass } from "../../../shared/rooms/room_class.ts";
import type { Lost } from "../../fanout/entry.ts";
import type { LogCalls } from "../log/log_calls.ts";
import type { DurableStats } from "../log/stats.ts";
import type { Entry } from "../messages/timeline.ts";

/** Why subscribers have lost messages for good. */
export type Gap = Lost;

/** What subscribers have received of a room before its log started; offset 0: nothing. */
export interface Heard {
  /** The incarnation of the log that assigned the offset. */
  readonly stream: string;
  readonly offset: number;
}

/** How a durable room is followed, and what follows from what is found. */
export interface FollowerOptions {
  readonly calls: LogCalls;
  readonly stats: Pick<DurableStats, "dropped" | "gapFill">;
  readonly logger: Logger;
  readonly class_of: () => Pick<RoomClass, "history_ttl_seconds">;
  /** The log's clock. */
  now(): number;
  /** Called with the next message in order. May close the follower. */
  onEntry(entry: Entry): void;
  /** Called before the first entry after a hole. May close the follower. */
  onGap(reason: Gap): void;
  /** Called when the list has grown or was replaced. */
  onChange(): void;
  /** Called when nothing can be read for now, though the log answers. */
  onLag(): void;
}
