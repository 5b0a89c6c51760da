/** Reads stored messages of a durable room: `history` of `@arqon/sdk/history`. */
import { readHistory, readRouted, writeHistoryQuery } from "@arqon/proto";
import type { HistoryQuery, Uint64 } from "@arqon/proto";
import { Message } from "../message/message.ts";
import { malformed, textOf } from "../wire/wire_error.ts";
import type { CommandOptions, CommandRoom } from "./room_request.ts";

/** Which messages to read, all optional. Default: the oldest 100 stored ones. */
export type HistoryOptions = Readonly<Partial<HistoryQuery>>;

/** Messages of a durable room, and the room's position. */
export interface RoomHistory {
  /** The messages in the order of their offsets; with `reverse` the newest first. */
  readonly messages: Message[];
  /** The room's present position: the offset of its last message. */
  readonly offset: Uint64;
  readonly epoch: string;
  /** True if there are more in this direction: call again with the offset of the last one. */
  readonly more: boolean;
}

/**
 * Reads stored messages of a durable room without a subscription. Needs the grant `subscribe`; rejects with
 * `not-durable`, `log-unavailable`, and a TypeError for an invalid number.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { history } from "@arqon/sdk/history";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * const { messages } = await history(bus.room("orders-7"), { limit: 20, reverse: true });
 * for (const message of messages) console.log(message.offset, message.text());
 * ```
 */
export async function history(
  room: CommandRoom,
  query: HistoryOptions = {},
  options: CommandOptions = {},
): Promise<RoomHistory> {
  const request_options = { ...options, content_type: "application/protobuf" };
  const { bytes } = await room.command("history.get", writeHistoryQuery(query), request_options);
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
