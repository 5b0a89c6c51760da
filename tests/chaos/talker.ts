/**
 * One raw client of the message part of a chaos run: it listens to one plain room or publishes into
 * one, binary or text, comes back whenever its connection is lost, and writes down everything. The SDK
 * would hide repeats and connections. What it wrote is judged by `message_checker.ts`.
 */
import {
  decodeServerFrame,
  encodePong,
  encodePub,
  encodeSub,
  encodeTextPong,
  writeEnvelope,
} from "@arqon/proto";
import type { Ack, PlainEnvelope, ServerFrame } from "@arqon/proto";
import { pace } from "../../shared/testing/pace.ts";
import { readTextFrame } from "../durable/text_frame.ts";
import type { Random } from "../presence_simulation/random.ts";
import type { Attempt, PlainPublish, PlainSight } from "./message_recording.ts";

/** Who it is and where. */
export interface TalkerOptions {
  readonly name: string;
  readonly url: string;
  readonly token: string;
  readonly tenant_id: string;
  readonly room_id: string;
  readonly subprotocol: "arqon.v1" | "arqon.v1.json";
  readonly random: Random;
  /** The run's clock, ms. */
  readonly now: () => number;
  /** A number that no other connection of the run has. */
  readonly nextConnection: () => number;
  readonly onSurprise: (text: string) => void;
}

const HANDSHAKE_MS = 3_000;
const RETRY_MS = 200;
/** A connection on which nothing comes for this long, although it should, is given up. */
const SILENCE_MS = 12_000;
const NORMAL = 1000;

/** What a connection tells its talker. */
interface Session {
  onWelcome(): void;
  onAck(ack: Ack): void;
  onMessage(envelope: PlainEnvelope): void;
  onEnd(): void;
  /** Something is to come. */
  isWaiting(): boolean;
}

/** A connection that comes back until it is closed. */
class Line {
  readonly #options: TalkerOptions;
  readonly #session: Session;
  #socket: WebSocket | undefined;
  #over = false;
  #heard_ms = 0;
  #running: Promise<void> | undefined;

  constructor(options: TalkerOptions, session: Session) {
    [this.#options, this.#session] = [options, session];
  }

  get text(): boolean {
    return this.#options.subprotocol === "arqon.v1.json";
  }

  start(): void {
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#over = true;
    this.#socket?.close(NORMAL);
    await this.#running;
  }

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(frame);
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      await this.#connection();
      this.#session.onEnd();
      await pace(this.#options.random.int(0, RETRY_MS));
    }
  }

  /** One connection from its begin to its end. */
  #connection(): Promise<void> {
    const { url, token, subprotocol, now } = this.#options;
    const socket = new WebSocket(`${url}/v1/socket`, [subprotocol, `arqon.token.${token}`]);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    const { promise, resolve } = Promise.withResolvers<void>();
    const handshake = setTimeout(() => resolve(), HANDSHAKE_MS);
    const watch = setInterval(() => {
      if (!this.#session.isWaiting()) this.#heard_ms = now();
      if (now() - this.#heard_ms > SILENCE_MS) resolve();
    }, RETRY_MS);
    this.#heard_ms = now();
    socket.onclose = socket.onerror = () => resolve();
    socket.onmessage = ({ data }) => {
      clearTimeout(handshake);
      this.#heard_ms = now();
      try {
        const text = typeof data === "string";
        this.#take(text ? readTextFrame(data) : decodeServerFrame(new Uint8Array(data)));
      } catch (error) {
        this.surprise(`got a frame that it cannot read: ${error}`);
        resolve();
      }
    };
    return promise.finally(() => {
      clearTimeout(handshake);
      clearInterval(watch);
      socket.onmessage = socket.onclose = socket.onerror = null;
      socket.close();
    });
  }

  #take(frame: ServerFrame): void {
    if (frame.kind === "welcome") this.#session.onWelcome();
    else if (frame.kind === "ack") this.#session.onAck(frame.ack);
    else if (frame.kind === "msg") this.#onMessage(frame.envelope);
    else if (frame.kind === "batch") {
      for (const envelope of frame.envelopes) this.#onMessage(envelope);
    } else if (frame.kind === "ping") {
      this.send(this.text ? encodeTextPong(frame.body) : encodePong(frame.body));
    } else if (frame.kind === "err") this.surprise(`got ERR ${frame.code}: ${frame.message}`);
  }

  #onMessage(envelope: PlainEnvelope): void {
    // A Shield that will stop says so to everybody, in no room. These stay until they are cut off.
    if (envelope.room_id !== "" || envelope.signal?.kind !== "DRAIN") {
      this.#session.onMessage(envelope);
    }
  }

  surprise(what: string): void {
    this.#options.onSurprise(`${this.#options.name}: ${what}`);
  }
}

/** Listens to its room. */
export class PlainListener implements Session {
  readonly sights: PlainSight[] = [];
  readonly name: string;
  readonly tenant_id: string;
  readonly room_id: string;
  /** Message ids of the present connection. */
  readonly #heard = new Set<string>();
  readonly #options: TalkerOptions;
  readonly #line: Line;
  #subscribed_ms: number | undefined;
  #resting = false;

  constructor(options: TalkerOptions) {
    this.#options = options;
    [this.name, this.tenant_id, this.room_id] = [options.name, options.tenant_id, options.room_id];
    this.#line = new Line(options, this);
  }

  start(): void {
    this.#line.start();
  }

  close(): Promise<void> {
    return this.#line.close();
  }

  get subscribed(): boolean {
    return this.#subscribed_ms !== undefined;
  }

  /** Whether it has what was sent then, or came too late for it. */
  has({ message_id, attempts }: PlainPublish): boolean {
    if (this.#subscribed_ms === undefined) return false;
    return this.#heard.has(message_id) || (attempts[0]?.sent_ms ?? 0) <= this.#subscribed_ms;
  }

  onWelcome(): void {
    this.#subscribe();
  }

  onAck({ code, reason }: Ack): void {
    if (code === 0) {
      this.#subscribed_ms = this.#options.now();
      this.sights.push({ kind: "subscribed", at_ms: this.#subscribed_ms });
      return;
    }
    if (code !== 503) this.#line.surprise(`was refused ${this.room_id}: ${reason}`);
    setTimeout(() => this.#subscribed_ms === undefined && this.#subscribe(), RETRY_MS);
  }

  onMessage({ tenant_id, room_id, message_id, signal }: PlainEnvelope): void {
    // What comes before the answer was not promised.
    if (this.#subscribed_ms === undefined) return;
    const at_ms = this.#options.now();
    if (signal !== undefined) {
      this.sights.push({ kind: "gap", at_ms, reason: `${signal.kind} ${signal.reason}` });
      return;
    }
    const elsewhere = room_id !== this.room_id ||
      (tenant_id !== "" && tenant_id !== this.tenant_id);
    if (elsewhere) this.#line.surprise(`got a message of ${tenant_id}/${room_id}`);
    this.#heard.add(message_id);
    this.sights.push({ kind: "message", at_ms, message_id });
  }

  onEnd(): void {
    if (this.#subscribed_ms === undefined) return;
    this.sights.push({ kind: "disconnected", at_ms: this.#options.now() });
    this.#subscribed_ms = undefined;
    this.#heard.clear();
  }

  /** From now on its room may be quiet. */
  rest(): void {
    this.#resting = true;
  }

  isWaiting(): boolean {
    return !this.#resting;
  }

  #subscribe(): void {
    const { room_id } = this;
    const sub = { room_id, request_id: 1 };
    this.#line.send(
      this.#line.text
        ? JSON.stringify({ op: "sub", room: room_id, id: 1 })
        : encodeSub({ ...sub, batch: true }),
    );
  }
}

/** One message without an answer yet. */
interface Pending {
  readonly publish: PlainPublish;
  readonly attempt: Attempt;
}

/** How often a message whose answer was lost is sent again under its id. */
const AGAIN = 0.5;
const FILLER = "x".repeat(100);

/** Publishes into its room. */
export class PlainPublisher implements Session {
  readonly publishes: PlainPublish[] = [];
  /** The newest that was acknowledged. */
  last: PlainPublish | undefined;
  readonly refusals = new Map<string, number>();
  readonly #options: TalkerOptions;
  readonly #line: Line;
  readonly #pending = new Map<number, Pending>();
  #again: PlainPublish[] = [];
  #connection: number | undefined;
  #order = 0;
  #sequence = 0;

  constructor(options: TalkerOptions) {
    this.#options = options;
    this.#line = new Line(options, this);
  }

  start(): void {
    this.#line.start();
  }

  close(): Promise<void> {
    return this.#line.close();
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** Nothing is on its way. */
  get quiet(): boolean {
    return this.#pending.size === 0 && this.#again.length === 0;
  }

  /** Publishes the next message; nothing while it is not connected. */
  publish(): void {
    if (this.#connection === undefined) return;
    const { name, tenant_id, room_id } = this.#options;
    const message_id = `${name}-${this.#sequence++}`;
    const publish: PlainPublish = { tenant_id, room_id, message_id, attempts: [] };
    this.publishes.push(publish);
    this.#send(publish, this.#connection);
  }

  onWelcome(): void {
    const connection = this.#connection = this.#options.nextConnection();
    this.#order = 0;
    for (const publish of this.#again.splice(0)) this.#send(publish, connection);
  }

  onAck({ request_id, code, reason }: Ack): void {
    const pending = this.#pending.get(Number(request_id));
    if (pending === undefined) return this.#line.surprise(`got an answer to nothing`);
    this.#pending.delete(Number(request_id));
    pending.attempt.outcome = code === 0 ? "acknowledged" : "refused";
    if (code === 0) this.last = pending.publish;
    else this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1);
  }

  onMessage(): void {
    this.#line.surprise("got a message without having subscribed");
  }

  onEnd(): void {
    this.#connection = undefined;
    const { random } = this.#options;
    const lost = [...this.#pending.values()].map(({ publish }) => publish);
    this.#pending.clear();
    this.#again.push(...lost.filter(() => random.chance(AGAIN)));
  }

  isWaiting(): boolean {
    return this.#pending.size > 0;
  }

  #send(publish: PlainPublish, connection: number): void {
    const { room_id, now } = this.#options;
    const { message_id } = publish;
    const order = this.#order++;
    const attempt: Attempt = { connection, order, sent_ms: now(), outcome: "unknown" };
    publish.attempts.push(attempt);
    const request_id = order + 1;
    this.#pending.set(request_id, { publish, attempt });
    if (this.#line.text) {
      const event = { type: "talk", data: FILLER, content_type: "text/plain" };
      const pub = { op: "pub", room: room_id, id: request_id, ack: true, message_id, ...event };
      return this.#line.send(JSON.stringify(pub));
    }
    const data = new TextEncoder().encode(FILLER);
    const event = { type: "talk", data, content_type: "text/plain" };
    const envelope = { room_id, request_id, ack_requested: true, message_id, event };
    this.#line.send(encodePub(writeEnvelope(envelope)));
  }
}
