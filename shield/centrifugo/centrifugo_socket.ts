/**
 * The socket of a Centrifugo client. It translates commands into frames of `arqon.v1`, and frames into replies and
 * pushes. The limits of a connection apply, and commands that are answered here count towards its rates, too.
 * `entry.ts` admits clients.
 */
import {
  ArqonError,
  decodeServerFrame,
  encodePong,
  encodePub,
  encodeRefresh,
  Opcode,
  writeEnvelope,
} from "@arqon/proto";
import type { EnvelopeInput, Refusal as BusRefusal, Welcome } from "@arqon/proto";
import { STRANGERS } from "../../shared/turns/slices.ts";
import type { ClientSocket, SocketEvents } from "../socket/client_socket.ts";
import { WaitingWork } from "../../shared/turns/waiting_work.ts";
import { calledBy, connectedOf, joinsOf, readOf, resultOf, ttlOf } from "./answers.ts";
import type { Answer, Member, Read } from "./answers.ts";
import { requireChannel, roomOf } from "./channel.ts";
import {
  type ClientError,
  clientError,
  DISCONNECT,
  disconnectFor,
  disconnectOf,
  ERROR,
  Refusal,
  UNSUBSCRIBE,
} from "./codes.ts";
import { dataOf, type Form } from "./forms.ts";
import { type Command, NULL, type Publication, type RequestOf } from "./messages.ts";
import type { Reply, Resumed } from "./messages.ts";
import { ConnectAnswer, pushesOf } from "./connect_answer.ts";
import type { DeltaBases, RoomMessage, RoomMessages, Signal } from "./publications.ts";
import { type ChannelTokenOptions, ChannelTokens } from "./channel_tokens.ts";
import type { GrantedConnection } from "./channel_tokens.ts";
import { channelOf, LEFT_OUT, placeOf, subOf, unsubOf } from "./subscription.ts";
import type { Channel, ChannelClasses, Request, ServerSide } from "./subscription.ts";
import { EVENT_TYPE } from "./tags.ts";
import { memberMetaOf } from "./tokens.ts";

/** Reasons of a GAP that concerns only events of the bus itself, or entries that cannot be read. */
const NO_LOSS: readonly (string | undefined)[] = ["changes-lost", "unreadable"];
const NO_REPLY = 0;
/** The error for a subscription that ended before its answer. After a success the client would wait for messages. */
const LEFT = { code: ERROR.internal, message: "left meanwhile", temporary: true };
/** The delay of a retry, in ms, if the bus gives none. */
const LATER_MS = 1_000;
/** A socket's dependencies in the process. */
export interface CentrifugoSocketOptions
  extends ChannelClasses, Omit<ChannelTokenOptions, "connection" | "onEnd"> {
  readonly form: Form;
  readonly room_prefix: string;
  readonly version: string;
  readonly messages: RoomMessages;
  readonly bases: DeltaBases;
  /** The secret session id of a client with a stream; undefined for a WebSocket. */
  readonly session?: string;
  readonly max_frame_bytes: number;
  readonly history_messages: number;
  /** A number in [0, 1). */
  readonly random: () => number;
}

/** Receives the bus's answer to a frame. */
type Answered = (answer: Answer) => void;

/** Admits a client and calls `begin` of its socket. Rejects as the entrance does. */
export type LetIn = (token: string) => Promise<void>;

/** The socket of one client. `inner` is its WebSocket or stream. */
export class CentrifugoSocket implements ClientSocket {
  readonly is_sent_away = true;
  readonly #inner: ClientSocket;
  readonly #options: CentrifugoSocketOptions;
  readonly #tokens: ChannelTokens;
  #events: SocketEvents | undefined;
  #connection: GrantedConnection | undefined;
  #client = "";
  /** Undefined once the client is admitted, since the function retains the request. */
  #letIn: LetIn | undefined;
  /** The id of the `connect` command, pending or answered. */
  #connecting: number | undefined;
  /** The client's positions in server-side subscriptions, by channel. */
  #resumed: ReadonlyMap<string, Resumed> = new Map();
  #server_side: readonly ServerSide[] = [];
  /** Undefined before the WELCOME and after the answer to `connect`. */
  #opening: ConnectAnswer | undefined;
  #welcome: Welcome | undefined;
  #is_open = false;
  /** The queue of commands, until `connect` is answered or the client has its next slice. */
  readonly #waiting = new WaitingWork<Command>();
  readonly #channels = new Map<string, Channel>();
  readonly #pending = new Map<number, Answered>();
  #requests = 0;
  #closed: number | undefined;
  #end: { readonly code: number; readonly reason: string } | undefined;

  constructor(inner: ClientSocket, options: CentrifugoSocketOptions, letIn: LetIn) {
    this.#inner = inner;
    this.#options = options;
    this.#letIn = letIn;
    this.#tokens = new ChannelTokens({
      ...options,
      connection: () => this.#connection,
      onEnd: (room) =>
        this.#part(this.#leave(room, UNSUBSCRIBE.expired, "subscription expired"), "not-granted"),
    });
  }

  get bufferedAmount(): number {
    return this.#inner.bufferedAmount;
  }

  get unfinished_bytes(): number | undefined {
    return this.#inner.unfinished_bytes;
  }

  /** The handlers of the inner socket; `onClosed` runs when it closes. */
  handlers(onClosed: () => void): SocketEvents {
    return {
      opened() {},
      message: (data) => this.#receive(data),
      flooded: () => {
        if (this.#events === undefined) this.#disconnect(DISCONNECT.too_many_requests, "flooding");
        else this.#events.flooded();
      },
      tooLong: (problem) => this.#events?.tooLong(problem),
      closed: (code) => {
        this.#closed = code;
        this.#waiting.clear();
        for (const room_id of this.#channels.keys()) this.#forget(room_id);
        this.#tokens.close();
        onClosed();
        this.#events?.closed(code);
      },
    };
  }

  listen(events: SocketEvents): void {
    this.#events = events;
  }

  begin(connection: GrantedConnection, server_side: readonly ServerSide[]): void {
    this.#connection = connection;
    this.#server_side = server_side;
    this.#letIn = undefined;
    if (this.#closed === undefined) this.#events?.opened();
    else this.#events?.closed(this.#closed);
  }

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    if (typeof frame === "string") return;
    if (frame[0] === Opcode.MSG) return this.#onMessage(this.#options.messages.of(frame));
    const received = decodeServerFrame(frame);
    if (received.kind === "ack") return this.#onAck(Number(received.ack.request_id), received.ack);
    if (received.kind === "ping") return this.#reply({});
    if (received.kind === "welcome") return this.#onWelcome(received.welcome);
    if (received.kind === "err") this.#onRefused(received);
  }

  close(code: number, reason: string): void {
    this.#waiting.clear();
    const end = this.#end ?? { code: disconnectOf(code, reason), reason };
    const is_silent = this.#options.session === undefined && end.code === DISCONNECT.closed;
    this.#inner.close(is_silent ? 1000 : end.code, end.reason);
  }

  /** Sets the close code and reason for the client, in place of the bus's. */
  endAs(code: number, reason: string): void {
    this.#end = { code, reason };
  }

  /** Subscribes the client to a channel until `until_ms`, Unix ms. */
  serve(server: ServerSide, until_ms: number, resumed: Resumed): void {
    const room_id = roomOf(server.channel, this.#options.room_prefix);
    if (this.#closed !== undefined || this.#channels.has(room_id)) return;
    this.#tokens.hold(room_id, until_ms, server.info);
    const channel = this.#served(server, resumed);
    if (channel === undefined) return this.#tokens.drop(room_id);
    this.#opening?.add(channel);
    this.#askSubscribe(NO_REPLY, channel);
  }

  /** Cancels a pending server-side subscription. A kick ends an established one. */
  unserve(name: string): void {
    const room_id = roomOf(name, this.#options.room_prefix);
    const { server, is_in } = this.#channels.get(room_id) ?? {};
    if (server === undefined || is_in) return;
    this.#part(this.#leave(room_id, UNSUBSCRIBE.server, "unsubscribed"));
  }

  rest(wait_ms: number): void {
    this.#waiting.leaveRest();
    this.#inner.rest(wait_ms);
  }

  terminate(): boolean {
    return this.#inner.terminate();
  }

  #reply(reply: Reply): void {
    // Libraries take a reply without an id as a ping.
    if (reply.id !== NO_REPLY || reply.connect) this.#write(this.#options.form.encode(reply));
  }

  #write(frame: string | Uint8Array<ArrayBuffer>): void {
    if (this.#opening === undefined) return this.#inner.send(frame);
    this.#opening.hold(frame);
    this.#open();
  }

  #fail(id: number, error: ClientError): void {
    this.#reply({ id, error });
  }

  #disconnect(code: number, reason: string): void {
    this.#waiting.clear();
    // The reason in a close frame has at most 123 bytes.
    this.#inner.close(code, reason.replace(/[^\x20-\x7e]/g, "?").slice(0, 123));
  }

  #receive(frame: string | Uint8Array<ArrayBuffer>): void {
    let commands: Command[];
    const { max_frame_bytes } = this.#options;
    const is_open = this.#is_open || this.#connecting === undefined;
    if (!this.#waiting.take(frame, max_frame_bytes, is_open)) {
      return this.#disconnect(DISCONNECT.too_big, `more than ${max_frame_bytes} bytes`);
    }
    try {
      commands = this.#options.form.decode(frame);
    } catch (error) {
      return this.#disconnect(DISCONNECT.bad_request, error instanceof Error ? error.message : "");
    }
    for (const command of commands) {
      if (this.#connecting !== undefined) this.#waiting.push(command);
      else if (command.connect === undefined || !command.id) {
        return this.#disconnect(DISCONNECT.bad_request, "expected connect first");
      } else void this.#connect(command.id, command.connect);
    }
    if (this.#is_open) this.#runAll();
  }

  #runAll(): void {
    const tenant_id = this.#connection?.identity.tenant_id ?? STRANGERS;
    const rest = (wait_ms: number) => this.#inner.rest(wait_ms);
    void this.#waiting.run(tenant_id, (command) => this.#run(command), rest);
  }

  async #connect(id: number, { token = "", subs = {} }: RequestOf<"connect">): Promise<void> {
    this.#connecting = id;
    this.#resumed = new Map(Object.entries(subs));
    try {
      await this.#letIn?.(token);
    } catch (error) {
      this.#connecting = undefined;
      this.#waiting.clear();
      const refusal = error instanceof ArqonError ? error : new ArqonError("internal");
      const sent = clientError(refusal);
      // The client gets a new token and sends `connect` again.
      if (refusal.reason === "token-expired") return this.#fail(id, sent);
      this.#disconnect(disconnectFor(refusal), sent.message);
    }
  }

  #onWelcome(welcome: Welcome): void {
    this.#client = welcome.connection_id;
    this.#welcome = welcome;
    const served = this.#server_side.flatMap((one) => this.#served(one) ?? []);
    this.#opening = new ConnectAnswer(served);
    for (const channel of served) this.#askSubscribe(NO_REPLY, channel);
    this.#open();
  }

  /** Answers `connect` once no listed subscription is pending. */
  #open(): void {
    if (this.#opening?.is_over !== true || this.#welcome === undefined) return;
    const { subs, frames } = this.#opening.finish();
    const connect = connectedOf(this.#welcome, this.#options, subs);
    this.#opening = this.#welcome = undefined;
    this.#is_open = true;
    this.#reply({ id: this.#connecting ?? NO_REPLY, connect });
    for (const frame of frames) this.#inner.send(frame);
    this.#runAll();
  }

  #run(command: Command): void {
    const { id = NO_REPLY } = command;
    try {
      this.#runCommand(id, command);
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof ArqonError)) throw error;
      this.#fail(id, error instanceof Refusal ? error.error : clientError(error));
      this.#count();
    }
  }

  /** Counts a command that is answered here as an operation of the client. */
  #count(): void {
    this.#events?.message(encodePong(new Uint8Array()));
  }

  #runCommand(id: number, command: Command): void {
    const { subscribe, unsubscribe, publish } = command;
    if (subscribe !== undefined) return this.#subscribe(id, subscribe);
    if (unsubscribe !== undefined) return this.#unsubscribe(id, unsubscribe);
    if (publish !== undefined) return this.#publish(id, publish);
    const read = readOf(command, this.#options.history_messages);
    if (read !== undefined) return this.#read(id, read);
    if (command.refresh !== undefined) return this.#refresh(id, command.refresh);
    if (command.rpc !== undefined) return this.#rpc(id, command.rpc);
    const called = command.send && calledBy(command.send);
    if (called !== undefined) return this.#rpc(NO_REPLY, called);
    if (command.sub_refresh !== undefined) return this.#subRefresh(id, command.sub_refresh);
    this.#count();
    // A command without an id is a pong.
    if (command.send !== undefined || id === NO_REPLY) return;
    if (command.ping !== undefined) return this.#reply({ id, ping: {} });
    if (command.connect === undefined) throw new ArqonError("unknown-opcode", "no command");
    this.#disconnect(DISCONNECT.bad_request, "connected already");
  }

  /** The room of a channel. Throws if the channel is unknown or its name excludes the client. */
  #room(channel = ""): string {
    const room_id = roomOf(channel, this.#options.room_prefix);
    if (this.#connection !== undefined) {
      const is_granted = this.#tokens.of(room_id) !== undefined;
      const { identity } = this.#connection;
      this.#options.requireKnown(identity.tenant_id, channel, room_id);
      requireChannel(identity, channel, room_id, is_granted);
    }
    return room_id;
  }

  /** Sends a request to the bus; `then` receives the answer. */
  #ask(encode: Request, then: Answered): void {
    const id = ++this.#requests;
    const frame = encode(id);
    if (frame.length > this.#options.max_frame_bytes) {
      // The bus refuses such a frame without its id, so no answer would match the request.
      this.#count();
      const message = `with what the bus adds, more than ${this.#options.max_frame_bytes} bytes`;
      return then({ code: 413, reason: "too-large", message });
    }
    this.#pending.set(id, then);
    this.#events?.message(frame);
  }

  /** Sends a client's event or command to the bus. The client receives a refusal; `then` receives a success. */
  #askFor(id: number, envelope: EnvelopeInput, then: Answered): void {
    const encode: Request = (request_id) => encodePub(writeEnvelope({ ...envelope, request_id }));
    this.#ask(encode, (answer) => {
      if (answer.code === 0) then(answer);
      else this.#fail(id, clientError(answer));
    });
  }

  #subscribe(id: number, request: RequestOf<"subscribe">): void {
    const { channel: name = "", token = "" } = request;
    const again = () => this.#run({ id, subscribe: { ...request, token: "" } });
    if (token !== "") return this.#takeToken(id, request, again);
    const room_id = this.#room(name);
    if (this.#channels.has(room_id)) {
      throw new Refusal(ERROR.already_subscribed, `already in ${name}`);
    }
    const channel = channelOf(request, room_id, this.#connection?.identity, this.#options);
    this.#channels.set(room_id, channel);
    this.#askSubscribe(id, channel);
  }

  /** Removes a channel and its token. Returns the channel if the client was in it. */
  #forget(room_id: string): Channel | undefined {
    this.#tokens.drop(room_id);
    const channel = this.#channels.get(room_id);
    if (channel === undefined) return undefined;
    clearTimeout(channel.timer);
    channel.base = this.#options.bases.replace(channel.base, undefined);
    this.#channels.delete(room_id);
    return channel;
  }

  #askSubscribe(id: number, channel: Channel): void {
    const { room_id, without } = channel;
    const { claims = {}, user_id = "" } = this.#connection?.identity ?? {};
    const info = channel.server?.info ?? this.#tokens.of(room_id)?.meta ?? memberMetaOf(claims);
    const member = { user_id, connection_id: this.#client, meta: info };
    this.#ask(subOf(channel, info), (answer) => {
      const is_wanted = this.#channels.get(room_id) === channel;
      const left_out = LEFT_OUT[answer.reason ?? ""];
      if (is_wanted && left_out !== undefined && !without.has(left_out)) {
        without.add(left_out);
        return this.#askSubscribe(id, channel);
      }
      if (is_wanted && channel.server !== undefined && clientError(answer).temporary) {
        const wait_ms = (answer.retry_after_ms || LATER_MS) * (1 + this.#options.random());
        channel.timer = setTimeout(() => this.#askSubscribe(id, channel), wait_ms);
        this.#opening?.hurry();
        return this.#open();
      }
      if (answer.code !== 0 && is_wanted) this.#forget(room_id);
      // The rate limit may have refused its UNSUB.
      if (answer.code === 0 && !this.#channels.has(room_id)) this.#connection?.leave(room_id);
      if (channel.server !== undefined) return this.#onServed(channel, answer, is_wanted, member);
      if (answer.code === 0 && is_wanted) return this.#onSubscribed(id, channel, answer);
      this.#fail(id, is_wanted ? clientError(answer) : LEFT);
    });
  }

  /** Adds the channel of a server-side subscription; undefined if the client is in it or is not permitted. */
  #served(server: ServerSide, from = this.#resumed.get(server.channel)): Channel | undefined {
    try {
      const room_id = this.#room(server.channel);
      if (this.#channels.has(room_id)) return undefined;
      const request = { ...from, channel: server.channel };
      const identity = this.#connection?.identity;
      const channel = channelOf(request, room_id, identity, this.#options, server);
      this.#channels.set(room_id, channel);
      return channel;
    } catch (error) {
      if (error instanceof ArqonError) return undefined;
      throw error;
    }
  }

  #onServed(channel: Channel, answer: Answer, is_wanted: boolean, member: Member): void {
    const is_made = channel.is_in = answer.code === 0 && is_wanted;
    const subscribed = is_made ? placeOf(channel, resultOf(answer)) : undefined;
    this.#opening?.end(channel, subscribed);
    const is_answered = this.#opening === undefined;
    for (const push of pushesOf(channel, subscribed, { member, is_answered })) {
      this.#push(channel.name, push);
    }
    this.#open();
  }

  #onSubscribed(id: number, channel: Channel, answer: Answer): void {
    const { position, room_id } = channel;
    const result = resultOf(answer);
    if (channel.is_strict && position !== undefined && result.recovered !== true) {
      this.#forget(room_id);
      this.#connection?.leave(room_id);
      const message = result.reason ?? "not recovered";
      return this.#fail(id, { code: ERROR.unrecoverable_position, message });
    }
    channel.is_in = true;
    const place = placeOf(channel, result);
    const deltas = channel.has_deltas ? { delta: true } : {};
    this.#reply({ id, subscribe: { ...this.#ttlOf(room_id), ...place, ...deltas } });
  }

  #unsubscribe(id: number, { channel = "" }: RequestOf<"unsubscribe">): void {
    const room_id = roomOf(channel, this.#options.room_prefix);
    this.#part(this.#forget(room_id));
    this.#reply({ id, unsubscribe: {} });
    this.#count();
  }

  /** Ends the bus's subscription and its queue: messages that the client ignores would count as received. */
  #part(channel: Channel | undefined, why?: string): void {
    if (channel === undefined) return;
    this.#connection?.leave(channel.room_id, why);
    if (!channel.is_in) this.#ask(unsubOf(channel.room_id), () => {});
  }

  #publish(id: number, { channel, data, type = 0 }: RequestOf<"publish">): void {
    const room_id = this.#room(channel);
    if (type !== 0 || data === undefined) {
      throw new ArqonError("invalid-field", "expected data, and no map");
    }
    const event = { type: EVENT_TYPE, data: data.bytes, content_type: data.content_type };
    this.#askFor(id, { room_id, event }, () => this.#reply({ id, publish: {} }));
  }

  #read(id: number, { channel, name, data, answered }: Read): void {
    const command = { name, data: data.bytes, content_type: data.content_type };
    const room_id = this.#room(channel);
    this.#askFor(id, { room_id, command }, (answer) => this.#reply({ id, ...answered(answer) }));
  }

  #takeToken(id: number, { channel = "", token = "" }: RequestOf<"sub_refresh">, then: () => void) {
    const room_id = roomOf(channel, this.#options.room_prefix);
    this.#tokens.take(channel, room_id, token).then((is_wanted) => {
      if (is_wanted) then();
      else this.#fail(id, LEFT);
    }, (error) => {
      const refusal = error instanceof ArqonError ? error : new ArqonError("internal");
      const { code, ...rest } = clientError(refusal);
      // A new token can replace an expired one. An invalid token permits no more than no token.
      const is_wrong = code === ERROR.unauthorized;
      this.#fail(id, { ...rest, code: is_wrong ? ERROR.permission_denied : code });
    });
  }

  #subRefresh(id: number, request: RequestOf<"sub_refresh">): void {
    this.#count();
    const { channel = "", token = "" } = request;
    if (token === "") return this.#reply({ id, sub_refresh: { expires: false } });
    const room_id = roomOf(channel, this.#options.room_prefix);
    if (!this.#channels.has(room_id)) throw new ArqonError("not-found", `not in ${channel}`);
    this.#takeToken(id, request, () => {
      this.#reply({ id, sub_refresh: { expires: false, ...this.#ttlOf(room_id) } });
    });
  }

  /** The time after which the client has to refresh a channel's token; empty if it does not expire. */
  #ttlOf(room_id: string) {
    const until_ms = this.#tokens.of(room_id)?.until_ms ?? Infinity;
    return until_ms === Infinity ? {} : ttlOf(until_ms, this.#options.now());
  }

  #refresh(id: number, { token = "" }: RequestOf<"refresh">): void {
    this.#ask((request_id) => encodeRefresh({ token, request_id }), (answer) => {
      const { token_expires_ms = 0, reason } = resultOf(answer);
      // The bus closes the connection next. The client then gets a new token and reconnects.
      if (reason === "token-expired") return this.endAs(DISCONNECT.expired, "expired");
      if (answer.code !== 0) return this.#fail(id, clientError(answer));
      const { now, version } = this.#options;
      const ttl = ttlOf(token_expires_ms, now());
      this.#reply({ id, refresh: { client: this.#client, version, ...ttl } });
    });
  }

  /** The method is a channel, `/` and the name of a command in its room. */
  #rpc(id: number, { method = "", data }: RequestOf<"rpc">): void {
    const at = method.lastIndexOf("/");
    if (at <= 0) throw new Refusal(ERROR.not_available, "expected CHANNEL/COMMAND as the method");
    const room_id = this.#room(method.slice(0, at));
    const { bytes, content_type } = data === NULL ? {} : data ?? {};
    const command = { name: method.slice(at + 1), data: bytes, content_type };
    this.#askFor(id, { room_id, command }, ({ result }) => {
      this.#reply({ id, rpc: { data: result?.length ? dataOf(result) : NULL } });
    });
  }

  #onAck(request: number, answer: Answer): void {
    const then = this.#pending.get(request);
    this.#pending.delete(request);
    then?.(answer);
  }

  #push(channel: string, push: NonNullable<Reply["push"]>): void {
    this.#reply({ push: { channel, ...push } });
  }

  #onMessage(message: RoomMessage): void {
    const { room_id, signal, publication, type, sender, data } = message;
    // A signal or a presence event that a backend publishes does not come from the bus, and changes nothing here.
    if (publication === undefined && sender !== "") return;
    if (signal !== undefined) return this.#onSignal(room_id, signal);
    const channel = this.#channels.get(room_id);
    if (channel === undefined || !channel.is_in) return;
    if (publication !== undefined) return this.#onPublication(channel, message, publication);
    for (const push of channel.joins ? joinsOf(type, data) : []) this.#push(channel.name, push);
  }

  #onPublication(channel: Channel, message: RoomMessage, publication: Publication): void {
    const { form, messages, bases } = this.#options;
    const reply = (pub: Publication) => ({ push: { channel: channel.name, pub } });
    const whole = () => reply(publication);
    if (!channel.has_deltas) return this.#write(messages.written(form, message, whole));
    const { written, base } = messages.folded(form, publication, channel.base, reply);
    channel.base = bases.replace(channel.base, base);
    this.#write(written);
  }

  #onSignal(room_id: string, { kind, reason }: Signal): void {
    if (kind === "GAP") {
      // A GAP before the answer to a SUB belongs to the previous subscription.
      const channel = this.#channels.get(room_id);
      if (NO_LOSS.includes(reason) || channel?.is_in !== true) return;
      // The newest messages follow the GAP. A new subscription would not recover them.
      if (reason === "slow-consumer" && channel.is_lossy) return;
      if (channel.server !== undefined) {
        this.#connection?.leave(room_id);
        return this.#disconnect(DISCONNECT.insufficient_state, "insufficient state");
      }
      // The client subscribes again from its position and recovers the missed messages that are still stored.
      return this.#part(this.#leave(room_id, UNSUBSCRIBE.insufficient_state, "insufficient state"));
    }
    if (kind === "DISCONNECT") this.#leave(room_id, UNSUBSCRIBE.server, "kicked");
    if (kind === "BAN") this.#leave(room_id, UNSUBSCRIBE.server, "banned");
  }

  #leave(room_id: string, code: number, reason: string): Channel | undefined {
    const channel = this.#forget(room_id);
    if (channel !== undefined) this.#push(channel.name, { unsubscribe: { code, reason } });
    return channel;
  }

  /** Handles a refusal that answers no request: the client lost a room, or the connection ends next. */
  #onRefused({ room_id, action, reason }: BusRefusal): void {
    if (room_id === "" || action !== "subscribe") return;
    this.#leave(room_id, UNSUBSCRIBE.server, reason);
  }
}
