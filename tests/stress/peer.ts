/**
 * A text client for scenarios: many requests at a time with their own answers, rooms whose messages are
 * collected from before the SUB on, and connections that end and are made anew only when the scenario
 * says so. A wait that has no end fails with what it waited for.
 */
import assert from "node:assert/strict";
import { until } from "../../shared/testing/until.ts";
import { WireSocket } from "../load/wire_socket.ts";
import type { Claims, Node } from "./node.ts";

/** An ACK. */
export interface Answer {
  readonly id: number;
  readonly code: number;
  readonly reason?: string;
  readonly message?: string;
  readonly offset?: number;
  // deno-lint-ignore no-explicit-any -- the scenarios say what is in it
  readonly result?: any;
}

/** A message or signal. */
export interface Told {
  readonly room: string;
  readonly type?: string;
  // deno-lint-ignore no-explicit-any -- the scenarios say what is in it
  readonly data?: any;
  readonly offset?: number;
  readonly message_id?: string;
  readonly sender?: string;
  readonly signal?: { readonly kind: string; readonly target: string; readonly reason: string };
}

/** Where a client has been in a durable room. */
export interface Position {
  readonly after_offset: number;
  readonly epoch: string;
}

/** How an end looked. */
export interface Closed {
  readonly code: number;
  readonly reason: string;
}

const decoder = new TextDecoder();

/** Long enough for a message that must not come to come. */
export const SETTLE_MS = 300;

/** What a client hears of a room. */
export class Inbox {
  readonly room_id: string;
  /** Events, in order; signals are `signals`. */
  readonly messages: Told[] = [];
  readonly signals: Told[] = [];
  epoch = "";
  #offset = 0;

  constructor(room_id: string) {
    this.room_id = room_id;
  }

  get offsets(): number[] {
    return this.messages.map(({ offset = 0 }) => offset);
  }

  // deno-lint-ignore no-explicit-any -- the scenarios say what is in it
  get data(): any[] {
    return this.messages.map(({ data }) => data);
  }

  /** For a SUB that goes on from here. */
  get position(): Position {
    return { after_offset: this.#offset, epoch: this.epoch };
  }

  /** Those of a type. */
  of(type: string): Told[] {
    return this.messages.filter((message) => message.type === type);
  }

  /** Takes the place that a SUB has told. */
  enter({ result }: Answer, position: Position | undefined): void {
    this.epoch = result?.epoch ?? "";
    if (position === undefined || result?.recovered !== true) this.#offset = result?.offset ?? 0;
  }

  take(told: Told): void {
    if (told.signal !== undefined) {
      this.signals.push(told);
      return;
    }
    this.messages.push(told);
    this.#offset = told.offset ?? this.#offset;
  }

  /** Waits for so many messages; more than that fail. */
  async count(count: number): Promise<void> {
    const said = () =>
      `${count} messages in ${this.room_id}, of which ${this.messages.length} came`;
    await until(said, () => this.messages.length >= count);
    assert.equal(this.messages.length, count, `messages in ${this.room_id}`);
  }
}

/** One client. */
export class Peer {
  readonly node: Node;
  readonly claims: Claims;
  #answers_pings = true;
  /** Refusals without an id. */
  readonly errors: { readonly code: number; readonly reason: string }[] = [];
  #socket: WireSocket | undefined;
  #ended = Promise.withResolvers<Closed>();
  #last: Closed | undefined;
  readonly #inboxes = new Map<string, Inbox>();
  readonly #asked = new Map<number, PromiseWithResolvers<Answer>>();
  #last_id = 0;
  #welcomed = Promise.withResolvers<void>();
  connection_id = "";

  constructor(node: Node, claims: Claims) {
    [this.node, this.claims] = [node, claims];
  }

  static async open(node: Node, claims: Claims): Promise<Peer> {
    const peer = new Peer(node, claims);
    await peer.open();
    return peer;
  }

  /** Resolves with the WELCOME. Rejects when it is refused; also for another connection. */
  async open(): Promise<void> {
    const { hostname, port } = this.node;
    const token = await this.node.tokenFor(this.claims);
    const [ended, welcomed] = [Promise.withResolvers<Closed>(), Promise.withResolvers<void>()];
    welcomed.promise.catch(() => {});
    [this.#ended, this.#welcomed, this.#last] = [ended, welcomed, undefined];
    const socket = new WireSocket({
      hostname,
      port,
      token,
      subprotocol: "arqon.v1.json",
      onMessage: (body) => this.#onFrame(JSON.parse(decoder.decode(body))),
      onClose: (code, reason) => {
        welcomed.reject(new Error(`closed with ${code} ${reason}`));
        if (this.#socket === socket) this.#fail(`closed with ${code} ${reason}`);
        if (this.#socket === socket) this.#last = { code, reason };
        ended.resolve({ code, reason });
      },
    });
    this.#socket = socket;
    await socket.opened;
    await welcomed.promise;
  }

  /** How the present connection ended; resolves when it has. */
  get closed(): Promise<Closed> {
    return this.#ended.promise;
  }

  get is_open(): boolean {
    return this.#last === undefined && this.#socket?.is_open === true;
  }

  /** The socket itself, for clients that behave badly. */
  get socket(): WireSocket {
    assert(this.#socket !== undefined, "never open");
    return this.#socket;
  }

  /** From now on it answers no PING, neither of the protocol nor of WebSocket. */
  mute(): void {
    this.#answers_pings = false;
    this.socket.answers_pings = false;
  }

  /** What comes of a room, from now on and over all connections. */
  inbox(room_id: string): Inbox {
    let inbox = this.#inboxes.get(room_id);
    if (inbox === undefined) this.#inboxes.set(room_id, inbox = new Inbox(room_id));
    return inbox;
  }

  /** A request; any number at a time. Rejects when the connection ends first. */
  ask(frame: object): Promise<Answer> {
    const id = ++this.#last_id;
    const asked = Promise.withResolvers<Answer>();
    this.#asked.set(id, asked);
    this.socket.send(JSON.stringify({ ...frame, id }));
    return asked.promise;
  }

  /** A request that has to be accepted. */
  async must(frame: object): Promise<Answer> {
    const answer = await this.ask(frame);
    assert.equal(answer.code, 0, `${JSON.stringify(frame)}: ${JSON.stringify(answer)}`);
    return answer;
  }

  /** A frame without an id, or any text. */
  send(frame: object | string): void {
    this.socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  /** SUB that has to be accepted; its inbox, which is there before. */
  async sub(room: string, more: object = {}): Promise<Inbox> {
    const inbox = this.inbox(room);
    inbox.enter(await this.must({ op: "sub", room, ...more }), undefined);
    return inbox;
  }

  /** SUB from where it has been; whether everything since has come or comes. */
  async resume(room: string): Promise<boolean> {
    const inbox = this.inbox(room);
    const { position } = inbox;
    const answer = await this.must({ op: "sub", room, ...position });
    inbox.enter(answer, position);
    return answer.result?.recovered === true;
  }

  pub(room: string, data: unknown, more: object = {}): Promise<Answer> {
    return this.must({ op: "pub", room, type: "t", data, ...more });
  }

  /** Publishes all, so many at a time, each acknowledged: their offsets. */
  async fill(room: string, all: readonly unknown[], window = 64): Promise<number[]> {
    const offsets: number[] = [];
    const entries = all.entries();
    await Promise.all(Array.from({ length: window }, async () => {
      for (const [index, data] of entries) {
        offsets[index] = (await this.pub(room, data)).offset ?? 0;
      }
    }));
    return offsets;
  }

  async command(room: string, name: string, data?: unknown): Promise<Answer> {
    return await this.must({ op: "cmd", room, name, ...(data === undefined ? {} : { data }) });
  }

  /** Ends the connection without a word and waits until this side has noticed. */
  async drop(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }

  /** Closes in order; it ends for good. */
  async close(): Promise<void> {
    if (!this.is_open) return;
    this.socket.close();
    await this.closed;
  }

  // deno-lint-ignore no-explicit-any -- a frame of the Shield
  #onFrame(frame: any): void {
    if (frame.op === "msg") this.inbox(frame.room).take(frame);
    else if (frame.op === "ack") {
      const asked = this.#asked.get(frame.id);
      this.#asked.delete(frame.id);
      if (asked === undefined) this.errors.push({ code: -1, reason: `answer to ${frame.id}` });
      asked?.resolve(frame);
    } else if (frame.op === "ping") {
      if (this.#answers_pings) this.send({ op: "pong", data: frame.data ?? "" });
    } else if (frame.op === "welcome") {
      this.connection_id = frame.connection;
      this.#welcomed.resolve();
    } else if (frame.op === "err") this.errors.push({ code: frame.code, reason: frame.reason });
  }

  #fail(why: string): void {
    for (const asked of this.#asked.values()) asked.reject(new Error(why));
    this.#asked.clear();
  }
}
