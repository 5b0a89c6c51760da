/**
 * A client of the Pusher protocol as a client's socket: it converts the client's messages to JSON frames of
 * `arqon.v1.json`, and frames to messages. All rules for connections apply to it. This file only decides whether a
 * client may join a channel, by its app's signature.
 */
import type { ClientSocket, SocketEvents } from "../socket/client_socket.ts";
import { type App, backendUser } from "./apps.ts";
import { channelOf, channelProblem, kindOf, roomOf, userChannel } from "./channel.ts";
import type { ChannelKind } from "./channel.ts";
import type { SubscriptionCounts } from "./counts.ts";
import {
  CLIENT_EVENT,
  type ClientMessage,
  dataMembers,
  errorText,
  eventText,
  OWN_EVENT,
  readClientMessage,
  refusedText,
  TERMINATE,
  textOf,
} from "./messages.ts";
import type { RoomMessage, RoomMessages } from "./messages.ts";
import { PresenceRoll, readChannelData, type RoomMember } from "./presence_roll.ts";
import { isChannelAuth, isUserAuth } from "./signature.ts";

/** The number of invalid messages and wrong signatures after which the connection ends. */
const ODD_MAX = 64;

/** Close codes of the protocol: reconnect never, later, at once. */
export const CLOSE = { refused: 4009, over_capacity: 4100, reconnect: 4200 } as const;

/** The dependencies and settings of `PusherSocket`. */
export interface PusherSocketOptions {
  readonly app: App;
  readonly socket_id: string;
  readonly activity_timeout_seconds: number;
  readonly presence_members: number;
  readonly messages: RoomMessages;
  /** Counts the subscribers of channels; undefined: disabled for the app. */
  readonly counts: Pick<SubscriptionCounts, "watch"> | undefined;
  /** Whether a user of the bus is a client of an app. */
  readonly isClient: (user_id: string) => boolean;
}

/** A channel that the client has joined or requested. */
interface Channel {
  readonly name: string;
  readonly room_id: string;
  readonly kind: ChannelKind;
  is_in: boolean;
  /** The offset of the room when the client joined; 0: its messages are not stored. */
  joined_at: number;
  /** For presence channels. */
  readonly roll: PresenceRoll | undefined;
  /** The pages of members that have not arrived yet. */
  pages_left: number;
}

/** The close code that a client of the protocol understands. */
function closeCode(code: number): number {
  if (code === 1012 || code === 1001 || code === 4408) return CLOSE.reconnect;
  if (code === 4403 || code === 4401) return CLOSE.refused;
  return code === 4429 || code === 1013 ? CLOSE.over_capacity : code;
}

/** One client. `inner` is its WebSocket. */
export class PusherSocket implements ClientSocket {
  readonly is_sent_away = true;
  readonly #inner: ClientSocket;
  readonly #options: PusherSocketOptions;
  #events: SocketEvents | undefined;
  /** By their rooms. */
  readonly #channels = new Map<string, Channel>();
  /** Unanswered requests: a SUB's channel, the name of a client event, or the room of an UNSUB. */
  readonly #pending = new Map<number, Channel | string | Leaving>();
  /** The timers of rooms whose UNSUB was refused as too fast and is repeated. */
  readonly #leaving = new Map<string, ReturnType<typeof setTimeout>>();
  #requests = 0;
  /** The channel of the signed-in user; undefined: none. */
  #own: string | undefined;
  #odd = 0;
  #is_closed = false;

  constructor(inner: ClientSocket, options: PusherSocketOptions) {
    this.#inner = inner;
    this.#options = options;
  }

  get bufferedAmount(): number {
    return this.#inner.bufferedAmount;
  }

  get unfinished_bytes(): number | undefined {
    return this.#inner.unfinished_bytes;
  }

  /** The handlers for the client's WebSocket; `events` are those of its connection. */
  handlersFor(events: SocketEvents): SocketEvents {
    this.#events = events;
    return {
      opened: () => events.opened(),
      message: (data) => this.#receive(data),
      flooded: () => events.flooded(),
      tooLong: (problem) => events.tooLong(problem),
      closed: (code) => {
        this.#is_closed = true;
        for (const timer of this.#leaving.values()) clearTimeout(timer);
        events.closed(code);
      },
    };
  }

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    if (typeof frame !== "string") return;
    if (frame.startsWith('{"op":"msg"')) return this.#onMessage(this.#options.messages.of(frame));
    const { op, id, ...rest } = JSON.parse(frame);
    if (op === "ack") return this.#onAck(id, rest);
    if (op === "ping") return this.#inner.send(eventText("pusher:ping", '"{}"'));
    if (op === "pong") return this.#inner.send(eventText("pusher:pong", '"{}"'));
    if (op === "welcome") return this.#onWelcome();
    if (op === "err") this.#onRefused(rest);
  }

  close(code: number, reason: string): void {
    this.#inner.close(closeCode(code), reason);
  }

  rest(wait_ms: number): void {
    this.#inner.rest(wait_ms);
  }

  terminate(): boolean {
    return this.#inner.terminate();
  }

  #ask(frame: object, about: Channel | Leaving): void {
    const id = ++this.#requests;
    this.#pending.set(id, about);
    this.#events?.message(JSON.stringify({ ...frame, id }));
  }

  #leave(room_id: string): void {
    this.#ask({ op: "unsub", room: room_id }, { leaves: room_id });
  }

  /**
   * Repeats a refused UNSUB. Otherwise the client would stay a member and be billed, though it believes that it has
   * left.
   */
  #onLeft(room_id: string, { code, retry_after_ms = 1_000 }: Answer): void {
    if (code !== 429 || this.#is_closed) return;
    clearTimeout(this.#leaving.get(room_id));
    const again = () => {
      this.#leaving.delete(room_id);
      if (!this.#channels.has(room_id)) this.#leave(room_id);
    };
    this.#leaving.set(room_id, setTimeout(again, retry_after_ms));
  }

  #onWelcome(): void {
    const { socket_id, activity_timeout_seconds: activity_timeout } = this.#options;
    const data = JSON.stringify({ socket_id, activity_timeout });
    this.#inner.send(eventText("pusher:connection_established", JSON.stringify(data)));
  }

  #receive(data: string | Uint8Array<ArrayBuffer>): void {
    let message: ClientMessage;
    try {
      message = readClientMessage(typeof data === "string" ? data : "");
    } catch (error) {
      return this.#refuse(error instanceof Error ? error.message : String(error));
    }
    const { event } = message;
    if (event === "pusher:ping") this.#events?.message('{"op":"ping"}');
    else if (event === "pusher:pong") this.#events?.message('{"op":"pong"}');
    else if (event === "pusher:subscribe") this.#subscribe(message);
    else if (event === "pusher:signin") this.#signIn(message);
    else if (event === "pusher:unsubscribe") this.#unsubscribe(message);
    else if (event.startsWith(CLIENT_EVENT)) this.#publish(message);
    else this.#refuse(`${event.slice(0, 64)} is not an event that a client may send`);
  }

  /** Refuses an invalid message. After many of them the connection ends. */
  #refuse(problem: string): void {
    this.#inner.send(errorText(null, problem));
    if (++this.#odd === ODD_MAX) this.close(1008, "too many invalid messages");
  }

  #signIn({ data }: ClientMessage): void {
    const { app, socket_id } = this.#options;
    const { auth, user_data } = data === undefined ? {} : JSON.parse(data) ?? {};
    const name = userChannel(userIn(user_data));
    const problem = !isUserAuth(app, auth, socket_id, user_data)
      ? `auth is not the app's signature for socket ${socket_id}`
      : this.#own !== undefined
      ? "already signed in"
      : channelProblem(name, app.room_prefix);
    if (problem !== undefined) {
      this.#inner.send(errorText(CLOSE.refused, problem));
      return this.close(CLOSE.refused, "not signed in");
    }
    this.#own = name;
    this.#inner.send(
      eventText("pusher:signin_success", JSON.stringify(JSON.stringify({ user_data }))),
    );
    this.#ask({ op: "sub", room: roomOf(name, app.room_prefix), no_echo: true }, this.#add(name));
  }

  #add(name: string, roll?: PresenceRoll): Channel {
    const room_id = roomOf(name, this.#options.app.room_prefix);
    const about = { name, room_id, kind: kindOf(name), roll };
    const channel = { ...about, is_in: false, joined_at: 0, pages_left: 0 };
    this.#channels.set(room_id, channel);
    return channel;
  }

  /** A client joins its user's own channel by signing in. The ACK may have come already. */
  #subscribeOwn(name: string): void {
    if (name !== this.#own) {
      return this.#refuseChannel(name, "the connection has not signed in as that user");
    }
    const channel = this.#channels.get(roomOf(name, this.#options.app.room_prefix));
    if (channel?.is_in === true) this.#joined(channel);
  }

  #subscribe({ data }: ClientMessage): void {
    const { app, socket_id, isClient } = this.#options;
    const request = data === undefined ? {} : JSON.parse(data) ?? {};
    const { channel: name, auth, channel_data } = request;
    const problem = channelProblem(name, app.room_prefix);
    if (problem !== undefined) return this.#refuse(problem);
    const kind = kindOf(name);
    if (kind === "user") return this.#subscribeOwn(name);
    const user = kind === "presence" ? readChannelData(channel_data) : undefined;
    const signed = { socket_id, channel: name, channel_data: user && channel_data };
    if (kind === "presence" && user === undefined) {
      return this.#refuseChannel(name, "channel_data: expected JSON with user_id");
    }
    if (kind !== "public" && !isChannelAuth(app, auth, signed)) {
      return this.#refuseChannel(name, `auth is not the app's signature for socket ${socket_id}`);
    }
    const room_id = roomOf(name, app.room_prefix);
    const known = this.#channels.get(room_id);
    if (known !== undefined) return this.#inner.send(errorText(null, `already in ${name}`));
    const roll = user && new PresenceRoll(isClient);
    const member = user === undefined
      ? {}
      : { presence: true, member_meta: { user_id: user.id, user_info: JSON.parse(user.info) } };
    this.#ask({ op: "sub", room: room_id, no_echo: true, ...member }, this.#add(name, roll));
  }

  #refuseChannel(name: string, problem: string): void {
    this.#inner.send(refusedText(name, "AuthError", problem, 401));
    if (++this.#odd === ODD_MAX) this.close(1008, "too many refused subscriptions");
  }

  #unsubscribe({ data }: ClientMessage): void {
    const { channel: name } = data === undefined ? {} : JSON.parse(data) ?? {};
    const room_id = typeof name === "string" ? roomOf(name, this.#options.app.room_prefix) : "";
    if (name === this.#own) return;
    // In the protocol, leaving a channel that the client is not in succeeds.
    if (this.#channels.delete(room_id)) this.#leave(room_id);
  }

  #publish({ event, channel: name = "", data }: ClientMessage): void {
    const { app } = this.#options;
    const channel = this.#channels.get(roomOf(name, app.room_prefix));
    if (!app.client_events) return this.#refuse("the app does not accept client events");
    if (channel?.is_in !== true || channel.kind === "public" || channel.kind === "user") {
      return this.#refuse(
        `${event.slice(0, 64)}: not in a private or presence channel of that name`,
      );
    }
    const id = ++this.#requests;
    this.#pending.set(id, event);
    const start = `{"op":"pub","room":${JSON.stringify(channel.room_id)},"id":${id}`;
    const members = dataMembers(textOf(data) ?? data ?? "null");
    this.#events?.message(`${start},"type":${JSON.stringify(event)},${members}}`);
  }

  #onAck(id: number, answer: Answer): void {
    const { code, reason, message, result } = answer;
    const about = this.#pending.get(id);
    this.#pending.delete(id);
    if (about === undefined) return;
    if (typeof about === "string") {
      // 4301: the protocol's code for too many client events.
      if (code !== 0) {
        this.#inner.send(errorText(code === 429 ? 4301 : null, `${about}: ${message}`));
      }
      return;
    }
    if ("leaves" in about) return this.#onLeft(about.leaves, answer);
    // The client left before it had joined.
    if (this.#channels.get(about.room_id) !== about) return;
    if (code !== 0) {
      this.#channels.delete(about.room_id);
      return this.#inner.send(refusedText(about.name, String(reason), String(message), code));
    }
    about.is_in = true;
    about.joined_at = result?.offset ?? 0;
    about.pages_left = Math.max(0, (result?.pages ?? 1) - 1);
    about.roll?.take(result?.members ?? []);
    this.#joined(about);
  }

  /** Confirms the subscription once all members are known. */
  #joined(channel: Channel): void {
    const { presence_members } = this.#options;
    if (channel.pages_left > 0 || this.#isLeft(channel, presence_members)) return;
    const data = JSON.stringify(channel.roll?.text() ?? "{}");
    this.#inner.send(eventText("pusher_internal:subscription_succeeded", data, channel.name));
    if (channel.kind === "public" || channel.kind === "private") this.#count(channel);
  }

  #count(channel: Channel): void {
    const { app, counts } = this.#options;
    let reported: number | undefined;
    counts?.watch(app.tenant, channel.room_id, (subscription_count) => {
      if (this.#is_closed || this.#channels.get(channel.room_id) !== channel) return false;
      if (reported === subscription_count) return true;
      reported = subscription_count;
      const data = JSON.stringify(JSON.stringify({ subscription_count }));
      this.#inner.send(eventText("pusher_internal:subscription_count", data, channel.name));
      return true;
    });
  }

  /** Leaves a channel with more users than `most`, and notifies the client. */
  #isLeft({ name, room_id, roll }: Channel, most: number): boolean {
    if (roll === undefined || roll.size <= most) return false;
    this.#channels.delete(room_id);
    this.#leave(room_id);
    const problem = `${name} has more than ${most} users`;
    this.#inner.send(refusedText(name, "LimitReached", problem, 403));
    return true;
  }

  #onMessage(message: RoomMessage): void {
    const { room_id, type, signal, sender, offset } = message;
    // A backend may publish the same event to the room.
    const is_own = sender === "";
    if (signal !== undefined) return is_own ? this.#onSignal(room_id, signal) : undefined;
    const channel = this.#channels.get(room_id);
    if (channel === undefined || !channel.is_in) return;
    if (is_own && (type === "PRESENCE_UPDATE" || type === "PRESENCE_LEAVE")) {
      return this.#onMembers(channel, message);
    }
    const { app } = this.#options;
    // The last message that a room stores may have ended connections before this one.
    const is_new = offset === 0 || offset > channel.joined_at;
    const is_end = type === TERMINATE && channel.name === this.#own && sender === backendUser(app);
    if (is_end && is_new) return this.close(CLOSE.refused, "ended by the app");
    if (OWN_EVENT.test(type)) return;
    const user = type.startsWith(CLIENT_EVENT) ? channel.roll?.nameOf(sender) : undefined;
    this.#inner.send(this.#options.messages.eventOf(message, channel.name, user));
  }

  #onMembers(channel: Channel, { type, json }: RoomMessage): void {
    const { roll, name } = channel;
    if (roll === undefined || json === undefined) return;
    const { members, snapshot }: { members: RoomMember[]; snapshot?: boolean } = JSON.parse(json);
    const tell = (event: string, data: string) =>
      this.#inner.send(eventText(`pusher_internal:${event}`, JSON.stringify(data), name));
    if (type === "PRESENCE_LEAVE") {
      for (const id of roll.leave(members)) {
        tell("member_removed", JSON.stringify({ user_id: id }));
      }
      return;
    }
    const added = roll.take(members);
    if (snapshot === true && channel.pages_left > 0) {
      channel.pages_left--;
      return this.#joined(channel);
    }
    // A client above the limit is announced and then leaves; clients in the channel stay.
    if (this.#isLeft(channel, 2 * this.#options.presence_members)) return;
    for (const { id, info } of added) {
      tell("member_added", `{"user_id":${JSON.stringify(id)},"user_info":${info}}`);
    }
  }

  /** Handles kicks, bans and missed messages. The protocol has no message for the last, so the client gets an event. */
  #onSignal(room_id: string, { kind }: Exclude<RoomMessage["signal"], undefined>): void {
    const channel = this.#channels.get(room_id);
    if (channel === undefined) return;
    if (kind === "GAP") {
      return this.#inner.send(eventText("arqon:gap", '"{}"', channel.name));
    }
    this.#channels.delete(room_id);
    const problem = kind === "BAN" ? "banned from the channel" : "removed from the channel";
    this.#inner.send(refusedText(channel.name, "AuthError", problem, 403));
  }

  /** A refusal that answers no request: a room was removed, or the connection is about to end. */
  #onRefused({ code, message, room }: Answer): void {
    const name = room === undefined ? undefined : channelOf(room, this.#options.app.room_prefix);
    if (name !== undefined && room !== undefined && this.#channels.delete(room)) {
      return this.#inner.send(refusedText(name, "AuthError", String(message), code));
    }
    this.#inner.send(errorText(code === 403 ? CLOSE.refused : null, String(message)));
  }
}

/** The user's id in the `user_data` that the app's backend has signed; "" for none. */
function userIn(user_data: unknown): string {
  try {
    const { id } = typeof user_data === "string" ? JSON.parse(user_data) : {};
    return typeof id === "string" ? id : "";
  } catch {
    return "";
  }
}

/** The room of an UNSUB. */
interface Leaving {
  readonly leaves: string;
}

/** The used parts of ACK and ERR. */
interface Answer {
  readonly code: number;
  readonly reason?: string;
  readonly message?: string;
  readonly room?: string;
  readonly retry_after_ms?: number;
  readonly result?: {
    readonly members?: RoomMember[];
    readonly pages?: number;
    readonly offset?: number;
  };
}
