/**
 * One WebSocket of our own. Many frames arrive by one read and leave by one write; reading pauses if a client must
 * wait, and takes turns. `frame_reader.ts` and `frame_head.ts` have frames.
 */
import { type ByteSink, closeQuietly, type LiveStream } from "../../shared/http1/byte_stream.ts";
import type { UpgradeTaker } from "../../shared/http1/exchange.ts";
import { BROKEN, CLOSE_MS, CLOSING_READ_MS, PING_LOST, restOf, TOO_LONG } from "./client_socket.ts";
import type { ClientSocket, SocketEvents, SocketOptions } from "./client_socket.ts";
import { inflate } from "./deflate.ts";
import { BINARY, CLOSE, encodeClose, encodeFrame, PING, PONG } from "./frame_head.ts";
import { decodeText, FrameReader } from "./frame_reader.ts";
import type { FrameSink } from "./frame_reader.ts";
import {
  SHARE_MS,
  SMALL_TURN_FRAMES,
  TURN_BYTES,
  TURN_FRAMES,
  Turns,
} from "../../shared/turns/fair_turns.ts";
import { afterPiece, firstPiece, type WireMember, type WireRun, WireTurn } from "./wire_turn.ts";

/**
 * How long a peer that violated the protocol may be silent before the connection ends, in ms; while it sends, it has
 * `CLOSE_MS` to read the close frame.
 */
const FAILED_MS = 1_000;
/** A peer that does not read gets no answers to its pings above this backlog, in bytes. */
const PONG_BACKLOG_BYTES = 65_536;
const NO_CODE = 1005, INVALID_DATA = 1007, TOO_BIG = 1009;
const NOTHING = new Uint8Array(0);
/** How many sockets may end in one turn: many simultaneous ends must not delay other sockets. */
const ENDS_A_TURN = 16;

/** What all sockets of one process share. */
export class OwnShared {
  readonly turn = new WireTurn();
  readonly turns: Turns;
  readonly ends = new Turns(ENDS_A_TURN);
  readonly heartbeat: Heartbeat;
  readonly options: SocketOptions;
  readonly now_ms: () => number;
  /** The received bytes of all sockets that wait for their turn. */
  waiting_bytes = 0;

  constructor(options: SocketOptions) {
    const { now_ms = () => performance.now(), heartbeat_ms } = options;
    this.now_ms = now_ms;
    this.turns = new Turns(undefined, now_ms);
    this.heartbeat = new Heartbeat(heartbeat_ms, now_ms);
    this.options = options;
  }
}

/** One client's socket. Its events begin when it `run`s. */
export class OwnSocket
  implements ClientSocket, FrameSink, WireMember, Beating, UpgradeTaker, ByteSink {
  readonly #shared: OwnShared;
  readonly #reader: FrameReader;
  /** The window of the client's decompressor, in bits; 0: messages are not compressed. */
  readonly #window_bits: number;
  readonly #lost_code: number;
  #events: SocketEvents | undefined;
  /** The connection; undefined before the handshake and after the end. */
  #stream: LiveStream | undefined;
  /** Frames that are not being written yet. */
  #run: WireRun | undefined;
  /** Bytes being written, from the first piece on. */
  #writing: Uint8Array<ArrayBuffer> | undefined;
  #awaits_turn = false;
  /** The last write was taken at once, so the next one probably is. */
  #takes_at_once = false;
  /** A close frame was sent or queued: nothing follows it. */
  #closing = false;
  /** The peer has sent its close frame, or violated the protocol. */
  #peer_done = false;
  /** Bytes have arrived since the last check for a sending peer. */
  #receives = false;
  /** Both sides have sent close frames: nothing more arrives. */
  #orderly = false;
  /** The code for `closed`, once it is decided. */
  #code: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #frames_of_turn = 0;
  #bytes_of_turn = 0;
  #share_began_ms = 0;
  #resting_until_ms = 0;
  #turn_frames_max = TURN_FRAMES;
  /** Reports the end of the connection; undefined before it runs, and after that. */
  #onOver: (() => void) | undefined;
  #wake: (() => void) | undefined;
  #pinged = false;
  received_ms = 0;

  constructor(shared: OwnShared, window_bits: number, lost_code: number) {
    this.#shared = shared;
    this.#lost_code = lost_code;
    this.#window_bits = window_bits;
    this.#reader = new FrameReader(this, shared.options.max_message_bytes, window_bits > 0);
  }

  get bufferedAmount(): number {
    return this.#stream === undefined ? 0 : (this.#writing?.length ?? 0) + (this.#run?.bytes ?? 0);
  }

  get unfinished_bytes(): number {
    return this.#reader.unfinished_bytes;
  }

  listen(events: SocketEvents): void {
    this.#events = events;
  }

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    if (this.#closing || this.#stream === undefined) return;
    const { turn, options: { deflate } } = this.#shared;
    const compresses = this.#window_bits > 0 && frame.length >= (deflate?.from_bytes ?? 0);
    if (compresses) this.#push(turn.compressedFrameOf(frame, this.#window_bits));
    else this.#push(this.#writing !== undefined ? turn.keptFrameOf(frame) : turn.frameOf(frame));
  }

  close(code: number, reason: string): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#push(encodeClose(code, reason));
    this.#endWithin(this.#shared.options.close_ms ?? CLOSE_MS);
    this.#wake?.();
  }

  terminate(): boolean {
    this.#destroy();
    return true;
  }

  rest(wait_ms: number): void {
    if (wait_ms === 0) {
      this.#resting_until_ms = 0;
      if (!this.#closing) this.#wake?.();
      return;
    }
    const { heartbeat_ms } = this.#shared.options;
    this.#resting_until_ms = performance.now() + restOf(wait_ms, heartbeat_ms);
    this.#turn_frames_max = SMALL_TURN_FRAMES;
  }

  lost(): void {
    this.#closing = true;
    this.#events?.closed(BROKEN);
  }

  /** Serves the socket, from its handshake to its end. */
  run(stream: LiveStream, early: Uint8Array<ArrayBuffer>, onOver: () => void): void {
    this.#onOver = onOver;
    this.#stream = stream;
    this.received_ms = this.#shared.now_ms();
    this.#shared.heartbeat.add(this);
    this.#events?.opened();
    if (this.#writing === undefined) this.#flush();
    this.#stream?.flow(this, early);
  }

  arrived(bytes: Uint8Array<ArrayBuffer>, end: number): void {
    this.received_ms = this.#shared.turns.begin(this);
    this.#pinged = false;
    this.#receives = true;
    if (this.received_ms - this.#share_began_ms > SHARE_MS) {
      this.#share_began_ms = this.received_ms;
      this.#frames_of_turn = this.#bytes_of_turn = 0;
    }
    this.#bytes_of_turn += end;
    const is_late = this.#shared.turns.isLate(end);
    const at = is_late ? 0 : this.#reader.read(bytes, 0, end);
    const pauses = this.pauses;
    if (!pauses) this.#turn_frames_max = TURN_FRAMES;
    if (!is_late && !pauses && !this.#lingers()) return;
    this.#stream?.pause();
    this.#goOnLater(bytes.slice(at, end), is_late).catch(() => this.#destroy());
  }

  /** Waits, handles the unread rest, and then continues to read. */
  async #goOnLater(rest: Uint8Array<ArrayBuffer>, is_late: boolean): Promise<void> {
    this.#shared.waiting_bytes += rest.length;
    if (is_late) await this.#giveWay();
    for (let at = 0; this.#stream !== undefined;) {
      if (this.#rests()) await this.#sleep();
      else if (this.#isOverTurn()) await this.#giveWay();
      if (at >= rest.length || this.#reader.ended) break;
      this.#shared.turns.begin(this);
      at = this.#reader.read(rest, at, rest.length);
    }
    this.#shared.waiting_bytes -= rest.length;
    if (this.#lingers()) await this.#pause(CLOSING_READ_MS);
    this.#stream?.resume();
  }

  /** Whether the peer has yet to answer our close frame: bytes before it are read slowly. */
  #lingers(): boolean {
    return this.#closing && !this.#peer_done;
  }

  get pauses(): boolean {
    return this.#isOverTurn() || this.#rests();
  }

  #isOverTurn(): boolean {
    return this.#frames_of_turn >= this.#turn_frames_max || this.#bytes_of_turn >= TURN_BYTES ||
      this.#shared.turns.isLong(this.#frames_of_turn);
  }

  #rests(): boolean {
    return !this.#closing && this.#resting_until_ms > 0 &&
      this.#resting_until_ms > performance.now();
  }

  async #giveWay(): Promise<void> {
    this.#frames_of_turn = this.#bytes_of_turn = 0;
    await new Promise<void>((resolve) => this.#shared.turns.giveWay(resolve));
  }

  async #sleep(): Promise<void> {
    const wait_ms = this.#resting_until_ms - performance.now();
    this.#resting_until_ms = 0;
    await this.#pause(wait_ms);
    // The connection may end in its first turn with an exhausted share.
    await this.#giveWay();
  }

  /** Waits; ends early when the socket closes. */
  async #pause(wait_ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, wait_ms);
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
  }

  message(opcode: number, received: Uint8Array<ArrayBuffer>, compressed: boolean): void {
    this.#frames_of_turn++;
    // After our own close frame, messages are dropped.
    if (this.#closing) return;
    const body = compressed ? this.#inflate(received) : received;
    if (body === undefined) return;
    if (opcode === BINARY) return this.#events?.message(body);
    const text = decodeText(body);
    if (text === undefined) this.failed(INVALID_DATA, "text that is not UTF-8");
    else this.#events?.message(text);
  }

  #inflate(received: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
    const bytes_max = this.#shared.options.deflate?.inflated_bytes_max ?? 0;
    const body = inflate(received, bytes_max);
    if (typeof body !== "string") {
      this.#bytes_of_turn += body.length;
      return body;
    }
    if (body === "too-large") this.failed(TOO_BIG, `a message of more than ${bytes_max} bytes`);
    else this.failed(INVALID_DATA, "a message that does not inflate");
    return undefined;
  }

  ping(body: Uint8Array<ArrayBuffer>): void {
    this.#frames_of_turn++;
    if (this.#closing || this.bufferedAmount > PONG_BACKLOG_BYTES) return;
    this.#push(encodeFrame(PONG, body));
  }

  pong(): void {
    this.#frames_of_turn++;
  }

  closed(code: number): void {
    this.#peer_done = true;
    this.#code ??= code;
    if (!this.#closing) {
      this.#closing = true;
      // The same code is sent back (RFC 6455, 5.5.1); 1005 means that there is none.
      this.#push(code === NO_CODE ? encodeFrame(CLOSE, NOTHING) : encodeClose(code, ""));
    }
    this.#orderly = true;
    this.#endWithin(this.#shared.options.close_ms ?? CLOSE_MS);
    this.#finish();
  }

  failed(code: number, problem: string): void {
    this.#reader.end();
    this.#peer_done = true;
    this.#code = code === TOO_BIG ? TOO_LONG : code;
    if (code === TOO_BIG && !this.#closing) this.#events?.tooLong(problem);
    if (!this.#closing) {
      this.#closing = true;
      this.#push(encodeClose(code, problem));
    }
    this.#endWhenStill(this.#shared.options.close_ms ?? CLOSE_MS);
  }

  sendPing(): void {
    if (this.#pinged || this.#closing) return;
    this.#pinged = true;
    this.#push(encodeFrame(PING, NOTHING));
  }

  giveUp(): void {
    this.#code ??= PING_LOST;
    this.close(this.#lost_code, "heartbeat-lost");
    // After the close frame has left: a lost peer does not answer.
    setTimeout(() => this.#destroy(), 0);
  }

  #push(frame: Uint8Array<ArrayBuffer>): void {
    const { turn } = this.#shared;
    this.#run = turn.extend(this.#run, frame);
    if (this.#awaits_turn || this.#writing !== undefined) return;
    this.#awaits_turn = true;
    turn.add(this);
  }

  endTurn(): void {
    this.#awaits_turn = false;
    if (this.#writing === undefined) this.#flush();
  }

  /** Writes the queue, and then what was queued meanwhile. */
  #flush(): void {
    const { turn } = this.#shared;
    for (let stream; (stream = this.#stream) !== undefined;) {
      if (this.#writing === undefined) {
        this.#writing = turn.bytesOf(this.#run, this.#takes_at_once);
        this.#run = undefined;
      }
      const bytes = this.#writing;
      if (bytes === undefined) break;
      this.#takes_at_once = stream.send(firstPiece(bytes));
      if (!this.#takes_at_once) return turn.giveAway(bytes);
      this.#writing = afterPiece(bytes);
    }
    if (this.#peer_done) this.#finish();
  }

  written(): void {
    if (this.#writing !== undefined) this.#writing = afterPiece(this.#writing);
    this.#flush();
  }

  /** Ends the connection, as a server does after its close frame has left (RFC 6455, 7.1.1). */
  #finish(): void {
    const stream = this.#stream;
    if (stream === undefined || this.bufferedAmount > 0) return;
    if (this.#orderly) return this.#destroy();
    // A peer that violated the protocol may still be sending: a reset would discard our close frame.
    stream.closeWrite().catch(() => {});
  }

  #endWithin(wait_ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#destroy(), wait_ms);
  }

  /**
   * Ends the connection once the peer has been silent for `FAILED_MS`, or after `most_ms`. Unread bytes at the end
   * cause a reset, which discards our close frame at a peer that is still sending (RFC 6455, 7.1.1).
   */
  #endWhenStill(most_ms: number, is_second = false): void {
    this.#receives = false;
    clearTimeout(this.#timer);
    // It takes two checks: after a stall of this thread the first may run before arrived bytes are read.
    const wait_ms = Math.min(FAILED_MS / 2, most_ms);
    this.#timer = setTimeout(() => {
      const goes_on = most_ms > wait_ms && (this.#receives || !is_second);
      if (goes_on) this.#endWhenStill(most_ms - wait_ms, !this.#receives);
      else this.#destroy();
    }, wait_ms);
  }

  #destroy(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#wake?.();
    if (stream !== undefined) closeQuietly(stream);
    this.ended();
  }

  /** Reports the end once, in this socket's turn. */
  ended(): void {
    const onOver = this.#onOver;
    this.#onOver = undefined;
    if (onOver === undefined) return;
    const { heartbeat, ends } = this.#shared;
    heartbeat.delete(this);
    // A bug in one `closed` must not affect the ends of later sockets.
    void ends.later().then(() => {
      clearTimeout(this.#timer);
      const stream = this.#stream;
      this.#stream = this.#run = this.#writing = undefined;
      if (stream !== undefined) closeQuietly(stream);
      onOver();
      this.#events?.closed(this.#code ?? BROKEN);
    });
  }
}

/** The heartbeats after which a silent peer gets a ping: clearly after our own PING. */
const PING_HEARTBEATS = 1.5;
/** The heartbeats without any bytes after which a peer counts as lost, as on native sockets. */
const LOST_HEARTBEATS = 3;
/** The longest time between two checks of the sockets, in ms. */
const BEAT_MS = 1_000;

/** One socket with a heartbeat. */
interface Beating {
  /** Time of the last received bytes, by the clock of the heartbeat. */
  readonly received_ms: number;
  /** Sends a ping; called once until something is received. */
  sendPing(): void;
  /** Gives up the peer: nothing was received for three heartbeats. */
  giveUp(): void;
}

class Heartbeat {
  readonly #sockets = new Set<Beating>();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(heartbeat_ms: number, nowMs: () => number) {
    const every_ms = Math.min(BEAT_MS, heartbeat_ms / 2);
    let looked_ms = nowMs();
    this.#timer = setInterval(() => {
      const now_ms = nowMs();
      const held_up = now_ms - looked_ms > 2 * every_ms;
      looked_ms = now_ms;
      // After a stall, arrived bytes are still unread, so no socket is judged yet.
      if (held_up) return;
      for (const socket of this.#sockets) {
        const silent_ms = now_ms - socket.received_ms;
        if (silent_ms < PING_HEARTBEATS * heartbeat_ms) continue;
        if (silent_ms < LOST_HEARTBEATS * heartbeat_ms) socket.sendPing();
        else socket.giveUp();
      }
    }, every_ms);
    Deno.unrefTimer(this.#timer);
  }

  add(socket: Beating): void {
    this.#sockets.add(socket);
  }

  delete(socket: Beating): void {
    this.#sockets.delete(socket);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
