/**
 * Maps Centrifugo's channels to rooms of the bus. Pure. The room id is the channel's name, in which each UTF-8 byte
 * outside `A-Za-z0-9_:-` is `=` and two hex digits. Two channels never share a room, and no channel has a reserved
 * room of the bus: their ids have a `~`.
 */
import { ArqonError, encodeUtf8, isId, utf8Size } from "@arqon/proto";
import { canAct } from "../auth/authorize.ts";
import type { Identity } from "../auth/identity.ts";

const OTHERS = /[^A-Za-z0-9_:-]+/g;
const CHANNEL_BYTES_MAX = 255;

const escaped = (text: string): string =>
  Array.from(encodeUtf8(text), (byte) => `=${byte.toString(16).padStart(2, "0")}`).join("");

/** The room of a channel. Throws `invalid-room` for an invalid channel, or one whose room id would be too long. */
export function roomOf(channel: string, room_prefix: string): string {
  const size_bytes = utf8Size(channel);
  if (size_bytes === 0 || size_bytes > CHANNEL_BYTES_MAX || !channel.isWellFormed()) {
    throw new ArqonError("invalid-room", `a channel has 1 to ${CHANNEL_BYTES_MAX} bytes of UTF-8`);
  }
  const room_id = room_prefix + channel.replace(OTHERS, escaped);
  if (isId(room_id)) return room_id;
  throw new ArqonError("invalid-room", `the channel's room ${room_id} has more than 64 bytes`);
}

/** The channel of a room; undefined if the room has none. */
export function channelOf(room_id: string, room_prefix: string): string | undefined {
  if (!room_id.startsWith(room_prefix)) return undefined;
  try {
    const name = room_id.slice(room_prefix.length);
    const channel = decodeURIComponent(name.replaceAll("=", "%"));
    return roomOf(channel, room_prefix) === room_id ? channel : undefined;
  } catch {
    return undefined;
  }
}

/** Throws `not-found` if the pattern of the room's class does not begin with the channel's namespace. */
export function requireNamespace(channel: string, room_prefix: string, pattern: string): void {
  const namespace = channel.slice(0, channel.indexOf(":") + 1);
  if (namespace === "") return;
  if (pattern.startsWith(room_prefix + namespace.replace(OTHERS, escaped))) return;
  throw new ArqonError("not-found", `no room class begins with the namespace ${namespace}`);
}

/**
 * Throws `not-granted` if the name of a channel excludes the user: only the users whose ids follow `#` may subscribe. A
 * channel that begins with `$` requires a grant for it; a token without grants is not enough. `is_granted`: the
 * client has a subscription token for the channel.
 */
export function requireChannel(
  identity: Identity,
  channel: string,
  room_id: string,
  is_granted = false,
): void {
  const users_at = channel.indexOf("#");
  if (users_at >= 0 && !channel.slice(users_at + 1).split(",").includes(identity.user_id)) {
    throw new ArqonError("not-granted", `${channel} is not for this user`);
  }
  if (!channel.startsWith("$") || is_granted) return;
  if (identity.grants === undefined || !canAct(identity, "subscribe", room_id)) {
    throw new ArqonError("not-granted", `${channel} takes a grant that names ${room_id}`);
  }
}
