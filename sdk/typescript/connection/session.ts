/** One WebSocket: handshake, frames, control requests, heartbeat. It never reconnects. */
import { ArqonError, decodeServerFrame, encodePing, encodePong, encodeUtf8 } from "@arqon/proto";
import type { Ack, PlainEnvelope, ServerFrame, Welcome } from "@arqon/proto";
import { closeText, explainRefusal } from "./refusal.ts";
import type { Settings, SocketLike } from "../options/options.ts";
import { PROBE_MS, PROTOCOL_VERSION, UNSENT_BYTES_MAX } from "../wire/bounds.ts";
import { onAbort } from "../time/clock.ts";
import { errorFromWire, malformed, textOf } from "../wire/wire_error.ts";

/** The dependencies and callbacks of a session. The callbacks must not throw. */
export interface SessionOptions
  extends
    Pick<Settings, "address" | "webSocket" | "handshake_timeout_ms" | "request_timeout_ms">,
    Pick<Settings, "now" | "watch_clock"> {
  readonly token: string;
  readonly signal: AbortSignal;
  /** `connection_id` of the previous session; absent: none. */
  readonly resume?: string | undefined;
  onEnvelope(envelope: PlainEnvelope, session: Session): void;
  /** Called for an ACK to none of this session's own requests. */
  onAck(ack: Ack): void;
  /** Called for a refusal that answers no request. */
  onErr(error: ArqonError): void;
}

/** How a session ended; `closeReaction` decides what follows. */
export interface SessionEnd {
  /** A WebSocket close code; 1006 without a close frame, 4408 when the server stopped answering. */
  readonly code: number;
  readonly reason: string;
  /** The last ERR frame, if any. */
  readonly last_error: ArqonError | undefined;
  /** For requests without an answer. */
  readonly lost: ArqonError;
}

/** Called for the outcome of one request: exactly one of the two, once. Must not throw. */
export interface Answered {
  resolve(ack: Ack): void;
  reject(error: ArqonError): void;
}

interface Waiting extends Answered {
  readonly timer: ReturnType<typeof setTimeout>;
}

/** Opens a session; resolves at WELCOME, rejects with the reason of a failure. */
export async function openSession(options: SessionOptions): Promise<Session> {
  let socket: SocketLike;
  const { address: { socket_url }, resume } = options;
  const query = resume === undefined ? "" : `?resume=${encodeURIComponent(resume)}`;
  try {
    socket = new options.webSocket(`${socket_url}${query}`, [
      "arqon.v1",
      `arqon.token.${options.token}`,
    ]);
  } catch (error) {
    // The platform's text may quote the subprotocols, and with them the token.
    const name = error instanceof Error ? error.name : "error";
    throw new ArqonError("unreachable", `${socket_url}: WebSocket ${name}`);
  }
  const session = new Session(socket, options);
  const refused = await session.opened;
  if (refused === undefined) return session;
  if (options.signal.aborted) throw new ArqonError("connection-closed");
  if (session.last_error) throw session.last_error;
  throw await explainRefusal(options, refused);
}

/** One WebSocket. Once `ended` has resolved, which it does once, no timer or listener is left. */
export class Session {
  readonly #socket: SocketLike;
  readonly #options: SessionOptions;
  readonly #waiting = new Map<number, Waiting>();
  /** The callbacks of `echo`, by the body of their PING. */
  readonly #echoes = new Map<string, (answered: boolean) => void>();
  #echo_number = 0;
  readonly #opened = Promise.withResolvers<string | undefined>();
  readonly #ended = Promise.withResolvers<SessionEnd>();
  /** Resolves with undefined at WELCOME, or with the error text of a failed socket. */
  readonly opened: Promise<string | undefined> = this.#opened.promise;
  readonly ended: Promise<SessionEnd> = this.#ended.promise;
  #handshake: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #silent_beats = 0;
  #beat_ms = 0;
  #probe: ReturnType<typeof setTimeout> | undefined;
  /** True when `ended` has resolved. */
  over = false;
  #detail = "";
  /** The WELCOME; set in every session from `openSession`. */
  welcome!: Welcome;
  last_error: ArqonError | undefined;

  constructor(socket: SocketLike, options: SessionOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onerror = (event) => {
      this.#detail = (event as { message?: string }).message ?? "";
      // Not every platform emits `close` for a socket that never opened: Node 22 emits only `error`.
      if (!this.welcome) this.#finish(1006, "");
    };
    socket.onclose = (event) => this.#finish(event.code, event.reason);
    this.#handshake = setTimeout(() => {
      const late = `no WELCOME within ${options.handshake_timeout_ms} ms`;
      this.#detail = socket.progress ? `${late}; ${socket.progress}` : late;
      this.#finish(1006, "");
    }, options.handshake_timeout_ms);
    const abort = () => this.close(1000, "", true);
    this.ended.then(onAbort(options.signal, abort));
    if (options.signal.aborted) abort();
  }

  /** The connection id from WELCOME; "" before it. */
  get connection_id(): string {
    return (this.welcome as Welcome | undefined)?.connection_id ?? "";
  }

  send(frame: Uint8Array): void {
    // Every platform accepts a view of an ArrayBuffer; frames are never in shared memory.
    if (!this.over) this.#socket.send(frame as Uint8Array<ArrayBuffer>);
  }

  writable(): boolean {
    return this.#socket.bufferedAmount < UNSENT_BYTES_MAX;
  }

  /** Sends a control frame and resolves with its ACK; rejects when it is refused, late or lost. */
  request(id: number, frame: Uint8Array): Promise<Ack> {
    return new Promise((resolve, reject) => this.ask(id, frame, { resolve, reject }));
  }

  /** As `request`, but calls back at once, before the frame after the ACK is read. */
  ask(id: number, frame: Uint8Array, { resolve, reject }: Answered): void {
    if (this.over) return reject(new ArqonError("connection-lost"));
    const timeout_ms = this.#options.request_timeout_ms;
    const timer = setTimeout(() => {
      this.#waiting.delete(id);
      const { connection_id } = this;
      reject(new ArqonError("answer-timeout", `${timeout_ms}`, { connection_id }));
    }, timeout_ms);
    this.#waiting.set(id, { resolve, reject, timer });
    this.send(frame);
  }

  /**
   * Sends a PING. True: the bus has received everything sent before, and the client everything that the bus had sent by
   * then. False: the session ended first.
   */
  echo(): Promise<boolean> {
    if (this.over) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const body = `echo ${++this.#echo_number}`;
    this.#echoes.set(body, resolve);
    this.send(encodePing(encodeUtf8(body)));
    return promise.finally(() => this.#echoes.delete(body));
  }

  /** Pings the peer at once: without an answer within `timeout_ms` the session ends with 4408. */
  probe(timeout_ms = PROBE_MS): void {
    if (this.over || this.#probe !== undefined) return;
    this.#probe = setTimeout(() => this.close(4408, "heartbeat lost", true), timeout_ms);
    this.send(encodePing());
  }

  /** Closes the socket; `ended` follows when the peer agrees, or at once when `now` is true. */
  close(code: number, reason: string, now = false): void {
    try {
      this.#socket.close(code, reason);
    } catch {
      // Not open yet, or already closed: there is no peer to notify.
    }
    if (now) this.#finish(code, reason);
  }

  #receive(data: unknown): void {
    if (this.over) return;
    this.#silent_beats = 0;
    clearTimeout(this.#probe);
    this.#probe = undefined;
    if (!(data instanceof ArrayBuffer)) return this.#disagree("a text frame");
    let frame: ServerFrame;
    try {
      frame = decodeServerFrame(new Uint8Array(data));
    } catch (error) {
      return this.#disagree(textOf(error));
    }
    this.#dispatch(frame);
  }

  #dispatch(frame: ServerFrame): void {
    switch (frame.kind) {
      case "welcome":
        return this.#begin(frame.welcome);
      case "msg":
        return this.#options.onEnvelope(frame.envelope, this);
      case "batch":
        return frame.envelopes.forEach((envelope) => this.#options.onEnvelope(envelope, this));
      case "ack":
        return this.#answer(frame.ack);
      case "err":
        this.last_error = errorFromWire(frame, this.connection_id);
        return this.#options.onErr(this.last_error);
      case "ping":
        return this.send(encodePong(frame.body));
      case "pong":
        return this.#echoes.get(new TextDecoder().decode(frame.body))?.(true);
      default:
        frame satisfies never;
    }
  }

  #begin(welcome: Welcome): void {
    if (this.welcome) return this.#disagree("WELCOME again");
    if (welcome.protocol_version !== PROTOCOL_VERSION) {
      return this.#disagree(`version ${welcome.protocol_version}, not ${PROTOCOL_VERSION}`);
    }
    this.welcome = welcome;
    clearTimeout(this.#handshake);
    const { heartbeat_ms } = welcome;
    if (heartbeat_ms > 0) {
      this.#beat_ms = this.#options.now();
      this.#heartbeat = setInterval(() => this.#beat(heartbeat_ms), heartbeat_ms);
    }
    this.#opened.resolve(undefined);
  }

  /** The Shield pings once a heartbeat: after one missed ping the client pings, after three it closes. */
  #beat(heartbeat_ms: number): void {
    const now_ms = this.#options.now();
    const late_ms = Math.abs(now_ms - this.#beat_ms - heartbeat_ms);
    this.#beat_ms = now_ms;
    // The device has slept, or its clock was set: three more heartbeats would detect a dead connection too late.
    if (late_ms > 2 * heartbeat_ms && this.#options.watch_clock) this.probe();
    this.#silent_beats += 1;
    if (this.#silent_beats > 2) return this.close(4408, "heartbeat lost", true);
    if (this.#silent_beats > 1) this.send(encodePing());
  }

  #answer(ack: Ack): void {
    const id = Number(ack.request_id);
    const waiting = this.#waiting.get(id);
    if (!waiting) return this.#options.onAck(ack);
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    if (ack.code === 0) waiting.resolve(ack);
    else waiting.reject(errorFromWire(ack, this.connection_id));
  }

  /** Closes after a protocol error of the server. Clients may close only with 1000 or 3000 and above. */
  #disagree(what: string): void {
    this.last_error = malformed(what);
    this.close(1000, "protocol");
    this.#finish(1002, what);
  }

  #finish(code: number, reason: string): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.#handshake);
    clearInterval(this.#heartbeat);
    clearTimeout(this.#probe);
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    const { connection_id, last_error } = this;
    const detail = closeText(code, reason);
    const lost = new ArqonError("connection-lost", detail, { connection_id });
    for (const waiting of this.#waiting.values()) {
      clearTimeout(waiting.timer);
      waiting.reject(lost);
    }
    this.#waiting.clear();
    for (const resolve of this.#echoes.values()) resolve(false);
    this.#echoes.clear();
    this.#opened.resolve(this.#detail || detail);
    this.#ended.resolve({ code, reason, last_error, lost });
    if (!this.welcome) this.close(1000, "");
  }
}
