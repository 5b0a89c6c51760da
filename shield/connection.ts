/**
 * One WebSocket client from WELCOME to close: limits, decoding, the FIFO that all its operations
 * pass, and the answers. What an operation means is `operations.ts`; sockets out are `outbox.ts`.
 */
import {
  ArqonError,
  DecodeError,
  encodeAck,
  encodeErr,
  encodePing,
  encodeTextAck,
  encodeTextErr,
  encodeTextPing,
  encodeTextWelcome,
  encodeWelcome,
  ERRORS,
} from "@arqon/proto";
import type { Ack, ClientOperation, CloseCode, Reason, Welcome } from "@arqon/proto";
import type { Config } from "../shared/config/schema.ts";
import type { ConnectionOptions, ConnectionProcess } from "./connection_options.ts";
import type { Identity } from "./identity.ts";
import type { RoomMessage } from "./backlog.ts";
import { decodeOperation } from "./decode_operation.ts";
import { Fifo } from "./fifo.ts";
import { frameBytes } from "./frame_bytes.ts";
import type { Frame } from "./frame_bytes.ts";
import type { Subscriber } from "./hub.ts";
import { Liveness } from "./liveness.ts";
import type { Queued } from "./operation_fifo.ts";
import type { Outbox } from "./outbox.ts";
import type { Caller, HeaderPair } from "./policy/overseer.ts";
import type { Attendance } from "./presence/attendance.ts";
import type { Rates } from "./rates.ts";
import { EMPTY_ACK, NO_REQUEST, requestOf } from "./request_ref.ts";
import type { RequestRef } from "./request_ref.ts";
import type { ClientSocket } from "./socket/client_socket.ts";
import { bump, countClose } from "./stats.ts";
import type { TenantTotals } from "./tenant_stats.ts";

/** `[limits]` of the config; each name ends with its unit. */
export type Limits = Config["limits"];

const EMPTY_BODY = new Uint8Array(0);

/** State of one client. Born at the upgrade, opened by WELCOME, ended once; frees all it held. */
export class Connection {
  readonly id: string;
  readonly text: boolean;
  readonly socket: ClientSocket;
  /** Its tenant's. */
  readonly tenant: TenantTotals;
  /** The room ids this connection hears. */
  readonly subscriptions = new Map<string, Subscriber>();
  /** Another one after each REFRESH. */
  caller: Caller;
  readonly liveness: Liveness;

  readonly #process: ConnectionProcess;
  readonly #rates: Rates;
  readonly #freePlace: () => void;
  #outbox: Outbox | undefined;
  // Most connections need none of these, and an empty Map takes 220 bytes.
  #attendances: Map<string, Attendance> | undefined;
  #commands: Map<string, Promise<void>> | undefined;
  #fifo: Fifo<Queued, readonly HeaderPair[]> | undefined;
  #pending = 0;
  #pending_bytes = 0;
  #ended = false;
  /** See `sent_ms`; whole ms, as in `Liveness`. */
  #sent_after_ms = 0;
  #protocol_errors = 0;
  /** When the frame came that is being taken in; undefined between frames. */
  #received_ms: number | undefined;

  constructor(process: ConnectionProcess, options: ConnectionOptions) {
    this.#process = process;
    this.id = options.caller.connection_id;
    this.text = options.text;
    this.caller = options.caller;
    this.socket = options.socket;
    this.tenant = options.tenant;
    this.#freePlace = options.release;
    this.liveness = new Liveness(process.now());
    this.#rates = process.rates.open(this.identity, this.created_ms);
  }

  get identity(): Identity {
    return this.caller.identity;
  }

  get created_ms(): number {
    return this.liveness.began_ms;
  }

  /** When something was sent last; may be as much too early as is between two calls of `noteSent`. */
  get sent_ms(): number {
    return this.created_ms + this.#sent_after_ms;
  }

  /** Unix ms. One look at the clock serves all that a frame does at once. */
  get now_ms(): number {
    return this.#received_ms ?? this.#process.now();
  }

  /** Its presence, by the room ids in which it has one. */
  get attendances(): Map<string, Attendance> {
    return this.#attendances ??= new Map();
  }

  /** Its presence in one room, if it has any there. */
  attendance(room_id: string): Attendance | undefined {
    return this.#attendances?.get(room_id);
  }

  /** The last command under way by room: one at a time. */
  get commands(): Map<string, Promise<void>> {
    return this.#commands ??= new Map();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Operations that are not answered yet. */
  get pending(): number {
    return this.#pending;
  }

  /** WELCOME has been sent. */
  get opened(): boolean {
    return this.#outbox !== undefined;
  }

  /** The way out; undefined before it is `opened`. */
  get outbox(): Outbox | undefined {
    return this.#outbox;
  }

  /** The socket is open: greets the client. Nothing can be sent before. */
  open(outbox: Outbox, welcome: Welcome): void {
    this.#outbox = outbox;
    this.send(this.text ? encodeTextWelcome(welcome) : encodeWelcome(welcome));
  }

  /** With `message`, the frame may be left out for a client that reads too slowly (`backlog.ts`). */
  send(frame: Frame, message?: RoomMessage): void {
    this.#outbox?.send(frame, message);
  }

  /** Brings `sent_ms` up to date: what was sent since the call before, which was at `before_ms`. */
  noteSent(before_ms: number): void {
    if (this.#outbox?.takeSent() !== true) return;
    this.#sent_after_ms = Math.max(this.#sent_after_ms, Math.trunc(before_ms - this.created_ms));
  }

  /** From now on messages of one turn may share a frame; a text connection has none for that. */
  useBatches(): void {
    if (!this.text) this.#outbox?.useBatches();
  }

  /** Sends frame after frame, each when nothing else waits, until `next` gives undefined. */
  sendLater(next: () => Frame | undefined): void {
    this.#outbox?.sendLater(next);
  }

  /** Counts an operation as pending: it waits in the FIFO, for the Spine or for the Brain. */
  hold(size_bytes: number): void {
    this.#pending++;
    this.#pending_bytes += size_bytes;
    this.#process.stats.pending_operations++;
  }

  /** Undoes one `hold` of the same size. */
  release(size_bytes: number): void {
    this.#pending--;
    this.#pending_bytes -= size_bytes;
    this.#process.stats.pending_operations--;
  }

  ping(): void {
    this.liveness.asked(this.#process.now());
    this.send(this.text ? encodeTextPing(EMPTY_BODY) : encodePing(EMPTY_BODY));
  }

  /** One frame from the socket. Never throws. */
  receive(data: string | ArrayBuffer): void {
    if (this.#ended) return;
    const { stats, limits, now } = this.#process;
    const { tenant } = this;
    const now_ms = now();
    this.liveness.heard(now_ms);
    const size_bytes = typeof data === "string" ? frameBytes(data) : data.byteLength;
    stats.ingress_bytes += size_bytes;
    tenant.ingress_bytes += size_bytes;
    if (size_bytes > limits.max_frame_bytes) return this.#onLargeFrame(size_bytes);
    const too_fast = this.#rates.take(size_bytes, now_ms);
    let operation: ClientOperation;
    try {
      operation = decodeOperation(data, this.text, limits);
    } catch (error) {
      return this.#onDecodeError(error);
    }
    bump(stats.ingress_ops, operation.kind);
    if (operation.kind === "publish") tenant.ingress_messages++;
    else if (operation.kind === "pong") this.liveness.answered();
    if (too_fast === undefined) return this.#enqueue(operation, size_bytes, now_ms);
    this.refuse(requestOf(operation), too_fast);
    // What it sends next waits at its own end, where the socket can do that.
    this.socket.rest(too_fast.retry_after_ms);
    if (this.#rates.floods) {
      this.flooded(`${limits.rate_refusals} more operations refused than taken, without a pause`);
    }
  }

  /** It sends more than anybody could take: ends it. */
  flooded(detail: string): void {
    this.fail(new ArqonError("flooding", detail));
  }

  /** Answers a refusal; a reason whose outcome is `close` also ends the connection. */
  refuse(request: RequestRef, error: unknown): void {
    if (this.#ended) return;
    const refusal = this.#refusal(error);
    const { code, reason, message, retry_after_ms } = refusal;
    this.#countReject(reason);
    if (request.ack_requested || request.request_id !== 0) {
      this.ack({
        ...EMPTY_ACK,
        request_id: request.request_id,
        code,
        reason,
        message,
        retry_after_ms,
      });
    } else {
      this.err({ code, reason, message, retry_after_ms });
    }
    const close = ERRORS[reason].close;
    if (close !== 0) this.close(close, reason);
  }

  /** A refusal that answers no request. */
  fail(error: unknown): void {
    this.refuse(NO_REQUEST, error);
  }

  ack(ack: Ack): void {
    this.send(this.text ? encodeTextAck(ack) : encodeAck(ack));
  }

  err(error: { code: number; reason: string; message: string; retry_after_ms: number }): void {
    this.send(this.text ? encodeTextErr(error) : encodeErr(error.code, error.message));
  }

  /** Orderly: what is queued goes out first. */
  close(code: CloseCode, reason: string): void {
    if (this.#ended) return;
    this.#outbox?.flush();
    this.socket.close(code, reason);
    this.end(code);
  }

  /** The process stops: reconnect elsewhere, at a random time within `spread_ms`. */
  sendAway(spread_ms: number): void {
    this.close(1012, `restart;spread_ms=${spread_ms}`);
  }

  /** The client does not read: nothing more is sent, the backlog is dropped. */
  overflow(): void {
    if (this.#ended) return;
    this.#countReject("slow-consumer");
    this.#process.stats.slow_reader.disconnected++;
    this.socket.close(4429, "slow-consumer");
    this.end(4429);
  }

  /** The socket has closed, or is about to: frees everything, once. */
  end(code: number): void {
    if (this.#ended) return;
    this.#ended = true;
    countClose(this.#process.stats, code);
    this.#fifo?.end();
    this.#rates.close(this.#process.now());
    this.#outbox?.end();
    this.#process.onEnd(this, code);
    this.#freePlace();
  }

  #countReject(reason: Reason): void {
    bump(this.#process.stats.rejects, reason);
    this.tenant.rejects++;
  }

  #onLargeFrame(size_bytes: number): void {
    const { max_frame_bytes, close_frame_bytes } = this.#process.limits;
    const detail = `a frame of ${size_bytes} bytes; at most ${max_frame_bytes}`;
    const fatal = size_bytes > close_frame_bytes;
    this.#onDecodeError(new ArqonError(fatal ? "frame-too-large" : "too-large", detail));
  }

  #onDecodeError(error: unknown): void {
    const request = error instanceof DecodeError && error.request_id !== undefined
      ? { request_id: error.request_id, ack_requested: false }
      : NO_REQUEST;
    this.refuse(request, error);
    const counted = error instanceof ArqonError && ERRORS[error.reason].counted;
    if (counted && ++this.#protocol_errors >= this.#process.limits.protocol_errors) {
      this.fail(new ArqonError("too-many-protocol-errors"));
    }
  }

  #enqueue(operation: ClientOperation, size_bytes: number, now_ms: number): void {
    const { limits, fifo } = this.#process;
    const full = this.#pending >= limits.pending_operations ||
      this.#pending_bytes + size_bytes > limits.pending_bytes;
    if (full) {
      const error = new ArqonError("too-many-pending", `${this.#pending} wait`, {
        retry_after_ms: 100,
      });
      return this.refuse(requestOf(operation), error);
    }
    this.#received_ms = now_ms;
    try {
      // With the first operation: who only waits needs no memory for it.
      (this.#fifo ??= new Fifo(fifo)).push({ connection: this, operation, size_bytes });
    } finally {
      this.#received_ms = undefined;
    }
  }

  #refusal(error: unknown): ArqonError {
    if (error instanceof ArqonError) return error;
    this.#process.onBug(this, error);
    return new ArqonError("internal");
  }
}
