/**
 * Stored messages of a durable room: what `Room.history` takes and gives, and how its answer is
 * read. The room sends the question.
 */
import { readHistory, readRouted } from "@arqon/proto";
import type { HistoryQuery, Uint64 } from "@arqon/proto";
import { Message } from "../message/message.ts";
import { malformed, textOf } from "../wire/wire_error.ts";

/** Which messages are wanted; everything may be left out. Default: the oldest 100 that are kept. */
export type HistoryOptions = Readonly<Partial<HistoryQuery>>;

/** Messages of a durable room, and the room's position. */
export interface RoomHistory {
  /** The messages in the order of their offsets; with `reverse` the newest first. */
  readonly messages: Message[];
  /** The room's present position: the offset of its last message. */
  readonly offset: Uint64;
  readonly epoch: string;
  /**
   * True when there are more in this direction: ask again, with the offset of the last one here.
   */
  readonly more: boolean;
}

/** Reads an answer in Protobuf form. Throws `malformed-frame`. */
export function historyOf(bytes: Uint8Array): RoomHistory {
  try {
    const { messages, ...rest } = readHistory(bytes);
    return {
      ...rest,
      messages: messages.map((envelope) => new Message(readRouted(envelope), rest.epoch)),
    };
  } catch (error) {
    throw malformed(`history: ${textOf(error)}`);
  }
}
