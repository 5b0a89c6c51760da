/** The companion room that reports a room's growing messages, and the commands for them. */
import type { Message } from "../message/message.ts";
import { portOf, Room } from "../room/room.ts";
import { patiently } from "../request/patience.ts";
import { ask as askRoom } from "../request/room_request.ts";
import type { JsonInput } from "../wire/json.ts";

/** How a message ended; `growing` while it has not. */
export type GrowingState = "growing" | "finished" | "stopped" | "aborted";

/** How a stream ended. */
export interface StreamEnd {
  readonly id: string;
  readonly outcome: Exclude<GrowingState, "growing">;
  /** The message's offset in the room's log; undefined: it is not stored. */
  readonly offset?: number;
}

/** An end, as it is reported and answered. */
export interface Ended extends Pick<StreamEnd, "outcome" | "offset"> {
  /** Distinguishes messages with the same id. */
  readonly started_ms: number;
}

/** The public form of an end. */
export const endOf = (id: string, { outcome, offset }: Ended): StreamEnd => ({
  id,
  outcome,
  ...offset !== undefined && { offset },
});

/** The metadata of a growing message. */
export interface GrowingView {
  readonly id: string;
  /** Type of the event that it becomes at the end. */
  readonly type: string;
  /** User id of its producer. */
  readonly sender: string;
  /** Unix ms. */
  readonly started_ms: number;
}

/** The reports about growing messages. */
export type GrowingEvent =
  | { readonly op: "start" } & GrowingView & { readonly seq: number }
  | { readonly op: "append"; readonly id: string; readonly seq: number; readonly text: string }
  | {
    readonly op: "end";
    readonly id: string;
    readonly seq: number;
    readonly reason: string;
    readonly by: string;
    /** Whether the stored text may differ from the pieces. */
    readonly changed?: boolean;
  } & Ended;

/** The companion room with the reports about growing messages of `room`. */
export const growingRoom = (room: Room): Room => new Room(`${room.id}~growing`, portOf(room));

/** The report in a message of that room; undefined for other messages. */
export function eventOf(message: Message): GrowingEvent | undefined {
  return message.type === "growing" && message.sender === ""
    ? message.json<GrowingEvent>()
    : undefined;
}

/** Sends a command of growing messages, patiently. */
export async function ask<Answer>(
  room: Room,
  verb: string,
  data: Readonly<Record<string, JsonInput>>,
  signal?: AbortSignal,
): Promise<Answer> {
  const send = () => askRoom<Answer>(room, `growing.${verb}`, data, {});
  return await patiently(send, signal);
}
