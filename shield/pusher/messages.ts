/**
 * The messages of the Pusher protocol, version 7, between a client's text and a Shield's JSON frames. Pure.
 * `pusher_socket.ts` sends them. Source:
 * https://pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol/
 */
import { ArqonError, DecodeError, isJson, jsonMembers } from "@arqon/proto";
import type { JsonMember } from "@arqon/proto";

/** The event that ends a user's connections. Only the app's backend can publish it, on the user's channel. */
export const TERMINATE = "pusher_internal:terminate";
/** Events of the protocol itself, which nobody may publish. */
export const OWN_EVENT = /^pusher(?:_internal)?:/;

/** The prefix of events that clients publish. */
export const CLIENT_EVENT = "client-";

const MEMBERS_MAX = 32;
/** The longest data of the protocol's own messages that is parsed or signed, in UTF-16 units. */
const DATA_UNITS_MAX = 32_768;

/** A message of the protocol; `data` is JSON text. */
export function eventText(event: string, data: string, channel?: string): string {
  const about = channel === undefined ? "" : `,"channel":${JSON.stringify(channel)}`;
  return `{"event":${JSON.stringify(event)}${about},"data":${data}}`;
}

/** `pusher:error`; `code` null where the protocol has none. */
export function errorText(code: number | null, message: string): string {
  return eventText("pusher:error", JSON.stringify({ code, message }));
}

/** `pusher:subscription_error` of a channel. */
export function refusedText(channel: string, type: string, error: string, status: number): string {
  return eventText("pusher:subscription_error", JSON.stringify({ type, error, status }), channel);
}

/** A client's message. */
export interface ClientMessage {
  readonly event: string;
  readonly channel: string | undefined;
  /** JSON text, unchanged; undefined: none. */
  readonly data: string | undefined;
}

const tooMany = () => new DecodeError("malformed-frame", `more than ${MEMBERS_MAX} members`);

function membersOf(text: string, start = 0): Map<string, JsonMember> {
  return jsonMembers(text, start, MEMBERS_MAX, tooMany);
}

/** Reads a message without parsing its data. Throws `malformed-frame`, `repeated-field`. */
export function readClientMessage(text: string): ClientMessage {
  const right = 'expected {"event":"…","data":…}';
  if (!isJson(text) || !/^\s*\{/.test(text)) throw notAMessage(right);
  const members = membersOf(text);
  const raw = (name: string) => {
    const member = members.get(name);
    return member && text.slice(member.start, member.end);
  };
  const event = textOf(raw("event"));
  if (event === undefined) throw notAMessage(right);
  const channel = raw("channel");
  if (channel !== undefined && channel !== "null" && !channel.startsWith('"')) {
    throw notAMessage("channel: expected a string");
  }
  const data = raw("data");
  if (!event.startsWith(CLIENT_EVENT) && data !== undefined && data.length > DATA_UNITS_MAX) {
    throw notAMessage(`data: at most ${DATA_UNITS_MAX} characters`);
  }
  return { event, channel: textOf(channel), data };
}

/**
 * The members of a PUB for published data: JSON stays JSON, whether a client sent the value itself or a string with it.
 * The charset tells text from a JSON string in text frames, which leave out a type without one.
 */
export function dataMembers(data: string): string {
  if (isJson(data)) return `"data":${data}`;
  return `"data":${JSON.stringify(data)},"content_type":"text/plain;charset=utf-8"`;
}

const notAMessage = (expected: string) => new ArqonError("malformed-frame", expected);

/** The text of a JSON string; undefined for another value. */
export const textOf = (json = ""): string | undefined =>
  json.startsWith('"') ? JSON.parse(json) : undefined;

/** A MSG of a Shield. */
export interface RoomMessage {
  readonly room_id: string;
  /** "" for a signal. */
  readonly type: string;
  readonly sender: string;
  /** The event's data for a client: a JSON string of the published data. */
  readonly data: string;
  /** The published JSON; undefined for text and bytes. */
  readonly json: string | undefined;
  readonly signal: { readonly kind: string } | undefined;
  /** 0: the message is not stored. */
  readonly offset: number;
}

/** Reads a frame `{"op":"msg",…}` of a Shield, which is well-formed. */
export function readRoomMessage(frame: string): RoomMessage {
  const members = membersOf(frame);
  const raw = (name: string) => {
    const member = members.get(name);
    return member === undefined ? undefined : frame.slice(member.start, member.end);
  };
  const text = (name: string): string => JSON.parse(raw(name) ?? '""');
  const data = raw("data");
  const content_type = text("content_type");
  const is_text = content_type.startsWith("text/") && data?.startsWith('"') === true;
  const is_json = content_type === "" || /^application\/json\b|\+json\b/.test(content_type);
  const signal = raw("signal");
  return {
    room_id: text("room"),
    type: text("type"),
    sender: text("sender"),
    data: data === undefined ? '""' : is_text ? data : JSON.stringify(data),
    json: is_json ? data : undefined,
    signal: signal === undefined ? undefined : JSON.parse(signal),
    offset: Number(raw("offset") ?? 0),
  };
}

/** Reads a frame once for all sockets of a process. */
export class RoomMessages {
  #frame: string | undefined;
  #message: RoomMessage | undefined;
  /** The last event, with its message and its receiver. */
  #event: { of: RoomMessage; channel: string; user: string | undefined; text: string } | undefined;

  of(frame: string): RoomMessage {
    if (this.#message !== undefined && this.#frame === frame) return this.#message;
    this.#frame = frame;
    return this.#message = readRoomMessage(frame);
  }

  /** The text of a message as an event of the channel from that user. All sockets share the text. */
  eventOf(of: RoomMessage, channel: string, user: string | undefined): string {
    const last = this.#event;
    if (last?.of === of && last.channel === channel && last.user === user) return last.text;
    const event = eventText(of.type, of.data, channel);
    const text = user === undefined
      ? event
      : `${event.slice(0, -1)},"user_id":${JSON.stringify(user)}}`;
    this.#event = { of, channel, user, text };
    return text;
  }
}
