/**
 * One WebSocket client from WELCOME to close: limits, decoding, the FIFO of its operations, and the answers.
 * `operations.ts` runs operations; `outbox.ts` writes to the socket.
 */
import {
  ArqonError,
  decodeClientFrame,
  decodeClientText,
  DecodeError,
  encodeUtf8,
  ERRORS,
  Opcode,
  requestIdOf,
} from "@arqon/proto";
import type { Ack, ClientOperation, CloseCode, Reason, Welcome } from "@arqon/proto";
import { withGrants } from "../auth/authorize.ts";
import type { Grant, Identity } from "../auth/identity.ts";
import type { RoomMessage } from "../fanout/backlog.ts";
import { Fifo } from "./fifo.ts";
import type { OperationSteps } from "./fifo.ts";
import { frameBytes } from "../fanout/frame_bytes.ts";
import type { Frame } from "../fanout/frame_bytes.ts";
import type { Subscriber } from "../fanout/hub.ts";
import { Liveness } from "./liveness.ts";
import type { Outbox } from "../fanout/outbox.ts";
import type { Caller } from "../message/caller.ts";
import type { Observer, SentEnd } from "../message/observers.ts";
import type { Rates, RateTable } from "../rates/rates.ts";
import { ackFrame, errFrame, pingFrame, welcomeFrame } from "./reply_frames.ts";
import type { SentError } from "./reply_frames.ts";
import { ReplyOrder } from "./reply_order.ts";
import { EMPTY_ACK, NO_REQUEST, placeOf, requestOf } from "../message/request_ref.ts";
import type { RequestRef } from "../message/request_ref.ts";
import type { ClientSocket } from "../socket/client_socket.ts";
import { bump, countClose } from "../stats/stats.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { TenantTotals } from "../stats/tenant_stats.ts";
import type { UserUse } from "../../shared/records/user_use.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";
import type { Limits } from "../../shared/config/schema.ts";
import { owned } from "../../shared/containers/byte_arena.ts";

const EMPTY_BODY = new Uint8Array(0);

/** What all connections of a process share: one object, since there may be thousands of connections. */
export interface ConnectionProcess {
  readonly limits: Limits;
  /** The rate limits of users, tenants and the process. */
  readonly rates: Pick<RateTable, "open">;
  readonly stats: ShieldStats;
  readonly now: () => number;
  /** The operations, run in turn by the FIFO. */
  readonly operations: OperationSteps<Queued>;
  /** Ends one subscription at once; `why` is a `LeaveWhy`. */
  readonly leave: (connection: Connection, room_id: string, why: string) => void;
  /** Called once, after the connection has ended for whatever reason. */
  readonly onEnd: (connection: Connection, end: SentEnd) => void;
  readonly onDenied?: NonNullable<Observer["denied"]>;
  /** Called for an error that is a bug, not a refusal. */
  readonly onBug: (connection: Connection, error: unknown) => void;
}

/** One client's identity and socket. */
export interface ConnectionOptions {
  readonly number?: number | undefined;
  /** When it began by the ledger's clock, Unix ms. */
  readonly noted_ms?: number | undefined;
  readonly text: boolean;
  /** The caller: the client's identity, with the headers of its upgrade request. */
  readonly caller: Caller;
  readonly socket: ClientSocket;
  /** The counts of the client's tenant. */
  readonly tenant: TenantTotals;
  /** The object that counts its user's usage; absent: not counted. */
  readonly use?: UserUse | undefined;
}

/** An operation of a connection, on its way through the FIFO. */
export interface Queued {
  readonly connection: Connection;
  readonly operation: ClientOperation;
  readonly size_bytes: number;
  /** The position of its frame in the connection. */
  readonly place: number;
}

/** The state of one client. Made at the upgrade, opened by WELCOME, ended once; then it frees everything. */
export class Connection {
  readonly id: string;
  /** The connection's number in the ledger; 0: there is none. */
  readonly number: number;
  /** When it began by the ledger's clock, Unix ms; 0: there is none. */
  readonly noted_ms: number;
  readonly text: boolean;
  readonly socket: ClientSocket;
  /** The counts of the connection's tenant. */
  readonly tenant: TenantTotals;
  /** The object that counts its usage; undefined: not counted. A connection keeps its first class of users. */
  readonly use: UserUse | undefined;
  readonly subscriptions = new Map<string, Subscriber>();
  /** Whether it has received rooms without a subscription of their own; read for each message. */
  receives_unnamed = false;
  /** The caller of operations; another object after each REFRESH. */
  caller: Caller;
  /** Grants beyond its tokens; undefined: none. */
  more_grants: readonly Grant[] | undefined = undefined;
  readonly liveness: Liveness;
  /** The position of the frame whose operation takes effect now, or did last. */
  place = 0;

  readonly #process: ConnectionProcess;
  readonly #rates: Rates;
  #outbox: Outbox | undefined;
  // Made on demand: most connections need none, and an empty Map takes 220 bytes.
  #commands: Map<string, Promise<void>> | undefined;
  #fifo: Fifo<Queued> | undefined;
  #order: ReplyOrder<Frame> | undefined;
  #places = 0;
  #ended = false;
  /** When something was last sent, in whole ms as in `Liveness`; see `sent_ms`. */
  #sent_after_ms = 0;
  #protocol_errors = 0;
  /** When the current frame was received; undefined between frames. */
  #received_ms: number | undefined;

  constructor(process: ConnectionProcess, options: ConnectionOptions) {
    this.#process = process;
    this.id = options.caller.connection_id;
    this.number = options.number ?? 0;
    this.noted_ms = options.noted_ms ?? 0;
    this.text = options.text;
    this.caller = options.caller;
    this.socket = options.socket;
    this.tenant = options.tenant;
    this.use = options.use;
    this.liveness = new Liveness(process.now());
    this.#rates = process.rates.open(this.identity, this.created_ms);
  }

  get identity(): Identity {
    return this.caller.identity;
  }

  /** Sets the client's grants beyond its tokens. */
  grant(more: readonly Grant[]): void {
    const before = new Set(this.more_grants);
    const { identity } = this;
    const own = { ...identity, grants: identity.grants?.filter((grant) => !before.has(grant)) };
    this.more_grants = more;
    this.caller = { ...this.caller, identity: withGrants(own, more) };
  }

  /** Ends a subscription at once, regardless of the client's pending operations, and drops its queued messages. */
  leave(room_id: string, why = "unsubscribed"): void {
    this.#outbox?.forget(room_id);
    this.#process.leave(this, room_id, why);
  }

  get created_ms(): number {
    return this.liveness.began_ms;
  }

  /** When something was last sent; too early by at most the time between two `noteSent`. */
  get sent_ms(): number {
    return this.created_ms + this.#sent_after_ms;
  }

  /** The time in Unix ms. One reading of the clock serves all immediate effects of a frame. */
  get now_ms(): number {
    return this.#received_ms ?? this.#process.now();
  }

  /** The last running command in each room, as they run sequentially. */
  get commands(): Map<string, Promise<void>> {
    return this.#commands ??= new Map();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Unanswered operations. */
  get pending(): number {
    return this.#order?.pending ?? 0;
  }

  /** Whether WELCOME has been sent. */
  get opened(): boolean {
    return this.#outbox !== undefined;
  }

  /** The outbox; undefined before `open`. */
  get outbox(): Outbox | undefined {
    return this.#outbox;
  }

  /** Greets the client, once the socket is open. Nothing can be sent before. */
  open(outbox: Outbox, welcome: Welcome): void {
    this.#outbox = outbox;
    this.send(welcomeFrame(this.text, welcome));
  }

  /** Sends a frame. With `message`, it may be dropped for a slow client (`backlog.ts`). */
  send(frame: Frame, message?: RoomMessage): void {
    this.#outbox?.send(frame, message);
  }

  /** Updates `sent_ms` for frames sent since the previous call, which was at `before_ms`. */
  noteSent(before_ms: number): void {
    if (this.#outbox?.takeSent() !== true) return;
    this.#sent_after_ms = Math.max(this.#sent_after_ms, Math.trunc(before_ms - this.created_ms));
  }

  /** Allows messages of one turn to share a frame from now on; text connections have no such frame. */
  useBatches(): void {
    if (!this.text) this.#outbox?.useBatches();
  }

  /** Sends frame after frame, each when the queue is empty, until `next` returns undefined. */
  sendLater(next: () => Frame | undefined): void {
    this.#outbox?.sendLater(next);
  }

  /**
   * Counts an operation as pending: it waits in the FIFO, for the Spine or for the Brain. Returns its position, for
   * `release`.
   */
  hold(size_bytes: number, place: number = this.place): number {
    this.#process.stats.pending_operations++;
    // A client that only publishes without requesting ACKs needs none.
    this.#order ??= new ReplyOrder(this);
    this.#order.open(place, size_bytes);
    return place;
  }

  /** Undoes one `hold` of the same size and position, after the answer: ERRs may wait for it. */
  release(size_bytes: number, place: number): void {
    this.#process.stats.pending_operations--;
    this.#order?.close(place, size_bytes);
  }

  ping(): void {
    this.liveness.onAsked(this.#process.now());
    this.send(pingFrame(this.text, EMPTY_BODY));
  }

  /** Handles one frame from the socket. Never throws. */
  receive(data: string | Uint8Array): void {
    if (this.#ended) return;
    step(AT.frame);
    const { stats, limits, now } = this.#process;
    const now_ms = now();
    const place = ++this.#places;
    this.liveness.onReceived(now_ms);
    const size_bytes = typeof data === "string" ? frameBytes(data) : data.length;
    stats.ingress_bytes += size_bytes;
    this.tenant.ingress_bytes += size_bytes;
    if (size_bytes > limits.max_frame_bytes) {
      return this.#onLargeFrame(data, size_bytes, place);
    }
    const too_fast = this.#rates.take(size_bytes, now_ms);
    let operation: ClientOperation;
    try {
      operation = decodeOperation(data, this.text, limits);
    } catch (error) {
      return this.#onDecodeError(error, place);
    }
    bump(stats.ingress_ops, operation.kind);
    if (operation.kind === "publish") this.tenant.ingress_messages++;
    else if (operation.kind === "pong") this.liveness.answered();
    const queued = { connection: this, operation, size_bytes, place };
    if (too_fast === undefined) return this.#enqueue(queued, now_ms);
    this.refuse(requestOf(operation), too_fast, place);
    // Further frames wait at the client, if the socket can pause.
    const rest_ms = this.#rates.restMs(too_fast);
    if (rest_ms > 0) this.socket.rest(rest_ms);
    if (this.#rates.floods) {
      this.flooded(`${limits.rate_refusals} more operations refused than taken, without a pause`);
    }
  }

  /** Ends the connection because it sends too much. */
  flooded(detail: string): void {
    this.fail(new ArqonError("flooding", detail));
  }

  /** Refuses the frame at a position; a reason whose outcome is `close` also ends the connection. */
  refuse(request: RequestRef, error: unknown, place: number): void {
    if (this.#ended) return;
    const refusal = this.#refusal(error);
    const close = ERRORS[refusal.reason].close;
    // Remaining refusals are sent before a close: no answer can follow that they could overtake.
    if (close !== 0) this.#order?.flush();
    const { code, reason, message, retry_after_ms } = refusal;
    this.#countReject(reason);
    this.#process.onDenied?.(this, placeOf(request)?.room ?? "", refusal, error);
    if (request.ack_requested || request.request_id !== 0) {
      this.ack({
        ...EMPTY_ACK,
        request_id: request.request_id,
        code,
        reason,
        message,
        retry_after_ms,
        result: causeOf(refusal),
      });
    } else {
      const { room, action } = placeOf(request) ?? refusal;
      const sent = { code, reason, message, retry_after_ms, room, action };
      this.err(sent, close === 0 ? place : 0);
    }
    if (close !== 0) this.close(close, reason);
  }

  /** Handles a refusal that answers no request: it ends the connection, or a part of it. */
  fail(error: unknown): void {
    this.refuse(NO_REQUEST, error, this.place);
  }

  ack(ack: Ack): void {
    this.send(ackFrame(this.text, ack));
  }

  /** Sends an ERR once everything before its position has been answered. */
  err(error: SentError, place: number): void {
    const frame = errFrame(this.text, error);
    const order = this.#order;
    if (order === undefined) return this.send(frame);
    order.err(place, frame);
    const { pending_operations } = this.#process.limits;
    if (order.held > pending_operations) {
      this.flooded(`${order.held} refusals wait for the answers before them`);
    }
  }

  /** Closes in order: queued frames are sent first. */
  close(code: CloseCode, reason: string): void {
    if (this.#ended) return;
    this.#order?.flush();
    this.#outbox?.flush();
    const unsent_bytes = this.#outbox?.unsent_bytes ?? 0;
    this.socket.close(code, reason);
    this.end(code, reason, unsent_bytes);
  }

  /** Closes the connection because the process stops: the client reconnects elsewhere within `spread_ms`. */
  sendAway(spread_ms: number): void {
    this.close(1012, `restart;spread_ms=${spread_ms}`);
  }

  /** Ends the connection of a client that does not read: its backlog is dropped. */
  overflow(): void {
    if (this.#ended) return;
    this.#countReject("slow-consumer");
    this.#process.stats.slow_reader.disconnected++;
    const unsent_bytes = this.#outbox?.unsent_bytes ?? 0;
    this.socket.close(4429, "slow-consumer");
    this.end(4429, "slow-consumer", unsent_bytes);
  }

  /** Ends the connection whose socket threw. Its client reconnects. */
  broken(error: unknown): void {
    if (this.#ended) return;
    this.#process.onBug(this, error);
    this.#countReject("internal");
    const unsent_bytes = this.#outbox?.unsent_bytes ?? 0;
    this.socket.close(1012, "internal");
    this.end(1012, "internal", unsent_bytes);
  }

  /** Frees everything, once, when the socket has closed or is about to. `reason` is what the client received. */
  end(code: number, reason = "", unsent_bytes: number = this.#outbox?.unsent_bytes ?? 0): void {
    if (this.#ended) return;
    this.#ended = true;
    const queued_from = this.#outbox?.queued_from ?? 0;
    countClose(this.#process.stats, code);
    this.#fifo?.end();
    this.#rates.close(this.#process.now());
    this.#outbox?.end();
    this.#process.onEnd(this, { code, reason, unsent_bytes, queued_from });
  }

  #countReject(reason: Reason): void {
    bump(this.#process.stats.rejects, reason);
    this.tenant.rejects++;
  }

  #onLargeFrame(data: string | Uint8Array, size_bytes: number, place: number): void {
    const { max_frame_bytes, close_frame_bytes } = this.#process.limits;
    const detail = `a frame of ${size_bytes} bytes; at most ${max_frame_bytes}`;
    const fatal = size_bytes > close_frame_bytes;
    const error = new ArqonError(fatal ? "frame-too-large" : "too-large", detail);
    // A text of that size is not parsed for its id.
    this.#onDecodeError(error, place, typeof data === "string" ? undefined : requestIdOf(data));
  }

  #onDecodeError(
    error: unknown,
    place: number,
    request_id = error instanceof DecodeError ? error.request_id : undefined,
  ): void {
    const request = request_id === undefined ? NO_REQUEST : { request_id, ack_requested: false };
    this.refuse(request, error, place);
    const counted = error instanceof ArqonError && ERRORS[error.reason].counted;
    if (counted && ++this.#protocol_errors >= this.#process.limits.protocol_errors) {
      this.fail(new ArqonError("too-many-protocol-errors"));
    }
  }

  #enqueue(queued: Queued, now_ms: number): void {
    const { operation, size_bytes, place } = queued;
    const { limits, operations } = this.#process;
    const { pending = 0, pending_bytes = 0 } = this.#order ?? {};
    const full = pending >= limits.pending_operations ||
      pending_bytes + size_bytes > limits.pending_bytes;
    if (full) {
      const error = new ArqonError("too-many-pending", `${pending} wait`, { retry_after_ms: 100 });
      return this.refuse(requestOf(operation), error, place);
    }
    this.#received_ms = now_ms;
    try {
      // The FIFO is made with the first operation: an idle client needs no memory for it.
      (this.#fifo ??= new Fifo(operations)).push(queued);
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

/** The cause in an ACK's refusal: for a refused token, which refusal it was. */
function causeOf({ reason, cause }: ArqonError): Uint8Array {
  if (reason !== "refresh-refused" || !(cause instanceof ArqonError)) return EMPTY_ACK.result;
  return encodeUtf8(JSON.stringify({ reason: cause.reason }));
}

/** Decodes one frame. Throws `DecodeError` with the problem. */
export function decodeOperation(
  data: string | Uint8Array,
  text: boolean,
  limits: Limits,
): ClientOperation {
  if (typeof data !== "string") {
    // A message is only read in place; parts of other frames may be stored.
    const frame = data[0] === Opcode.PUB ? data : owned(data);
    if (!text) return decodeClientFrame(frame, limits);
    const detail = "a binary frame on a text connection (arqon.v1.json)";
    throw new DecodeError("malformed-frame", detail, requestIdOf(frame));
  }
  const operation = decodeClientText(data, limits);
  if (text || operation.kind === "subscribe") return operation;
  throw new DecodeError(
    "malformed-frame",
    'a text frame; on a binary connection only {"op":"sub",…} may be text',
    requestOf(operation).request_id || undefined,
  );
}
