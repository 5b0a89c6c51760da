/**
 * Channels of the Pusher protocol as rooms of the bus. Pure. A room's id has the channel's name unchanged, except for
 * characters that a room id must not have: each becomes `:` and its two hex digits.
 */
import { isId } from "@arqon/proto";

/** The kind of a channel, from its name. */
export type ChannelKind = "public" | "private" | "presence" | "user";

/** The prefix of the channel of messages to a signed-in user. */
const TO_USER = "#server-to-user-";

/** The longest name of the protocol, in characters. */
const NAME_MAX = 200;
const NAME = /^(?:#server-to-user-)?[-A-Za-z0-9_=@,.;]+$/;
const NO_ROOM = /[#@,.;]/g;
const ESCAPED = /:([0-9a-f]{2})/g;

/** The channel of a signed-in user. */
export const userChannel = (user_id: string): string => TO_USER + user_id;

/** The kind of a channel by its name. */
export function kindOf(channel: string): ChannelKind {
  if (channel.startsWith(TO_USER)) return "user";
  if (channel.startsWith("presence-")) return "presence";
  return channel.startsWith("private-") ? "private" : "public";
}

/** The reason why a channel cannot have a room, as a text; undefined: it can. */
export function channelProblem(channel: unknown, room_prefix: string): string | undefined {
  if (typeof channel !== "string" || channel.length > NAME_MAX || !NAME.test(channel)) {
    return `a channel is 1 to ${NAME_MAX} of [-A-Za-z0-9_=@,.;]`;
  }
  if (isId(roomOf(channel, room_prefix))) return undefined;
  return `the name is too long: its room ${roomOf(channel, room_prefix)} has more than 64 bytes`;
}

/** The room of a channel. */
export function roomOf(channel: string, room_prefix: string): string {
  const escaped = (char: string) => `:${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
  return room_prefix + channel.replace(NO_ROOM, escaped);
}

/** The channel of a room; undefined: the room is not a channel of that prefix. */
export function channelOf(room_id: string, room_prefix: string): string | undefined {
  if (!room_id.startsWith(room_prefix)) return undefined;
  const channel = room_id.slice(room_prefix.length)
    .replace(ESCAPED, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return NAME.test(channel) && roomOf(channel, room_prefix) === room_id ? channel : undefined;
}
