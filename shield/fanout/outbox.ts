/**
 * The outgoing queue of one client, limited in bytes, in front of Deno's native socket. The native `send` accepts
 * everything without back-pressure, and its bytes cannot be recalled, so at most `NATIVE_BYTES` are passed on and the
 * rest waits here. Only `bufferedAmount` shows when the native buffer has room, hence the pump. `connection.ts` reads.
 */
import { Backlog, type BacklogOptions, type RoomMessage } from "./backlog.ts";
import type { Frame } from "./frame_bytes.ts";
import type { ClientSocket } from "../socket/client_socket.ts";
import type { ShieldStats } from "../stats/stats.ts";
import { encodeBatch, Opcode } from "@arqon/proto";
import { inPieces } from "../../shared/turns/slices.ts";

const NATIVE_BYTES = 65_536;
const PUMP_MS = 5;
/** The most bytes of WebSocket's own header of a frame; some sockets count it. */
const HEAD_BYTES = 10;
/** The most UTF-8 bytes of a string's unit. */
const UNIT_BYTES = 3;

/** Outboxes that one slice fills, up to 64 KiB each. */
const A_PIECE = 16;

/** The outboxes of a tenant that have a backlog. */
interface Waiting {
  readonly outboxes: Set<Outbox>;
  /** Whether a pass over all of them is running. */
  is_pumped: boolean;
}

/** Polls every outbox that has a backlog, in slices of its tenant; while none has one, there is no timer. */
export class Pump {
  readonly #waiting = new Map<string, Waiting>();
  /** The end of the current turn, for connections with batches. */
  readonly turn_end: TurnEnd = new TurnEnd();
  #timer: ReturnType<typeof setInterval> | undefined;

  add(outbox: Outbox): void {
    const own = this.#waiting.get(outbox.tenant_id) ?? { outboxes: new Set(), is_pumped: false };
    this.#waiting.set(outbox.tenant_id, own);
    own.outboxes.add(outbox);
    this.#timer ??= setInterval(() => this.#turn(), PUMP_MS);
  }

  remove(outbox: Outbox): void {
    const own = this.#waiting.get(outbox.tenant_id);
    if (own?.outboxes.delete(outbox) !== true || own.outboxes.size > 0) return;
    this.#waiting.delete(outbox.tenant_id);
    if (this.#waiting.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #turn(): void {
    for (const [tenant_id, own] of this.#waiting) {
      if (own.is_pumped) continue;
      const rest = inPieces(tenant_id, this.#pumpAll([...own.outboxes]), A_PIECE);
      own.is_pumped = rest !== undefined;
      void rest?.finally(() => own.is_pumped = false);
    }
  }

  *#pumpAll(outboxes: readonly Outbox[]): Iterable<void> {
    for (const outbox of outboxes) {
      if (outbox.pump()) this.remove(outbox);
      yield;
    }
  }
}

/** One client's socket and limits; they live as long as the client. */
export interface OutboxOptions extends BacklogOptions {
  readonly socket: Pick<ClientSocket, "send" | "bufferedAmount">;
  readonly pump: Pump;
  /** The tenant whose slices its backlog is sent in. */
  readonly tenant_id: string;
  readonly stats: ShieldStats;
  /** Called once, when a frame would exceed `unsent_bytes_max`; the frame is not sent. */
  onOverflow(): void;
  /** Called when the socket has thrown; nothing more is sent. */
  onBroken(error: unknown): void;
  /** Called whenever everything that had to wait has left. */
  onDrained?(): void;
}

/** The outgoing queue of one client. Frames leave in the order of `send`. */
export class Outbox {
  // These members duplicate the options: with thousands of receivers, each further object on the way to a socket is
  // another cache miss.
  readonly #socket: OutboxOptions["socket"];
  readonly #pump: Pump;
  readonly #stats: ShieldStats;
  readonly #options: OutboxOptions;
  /** The queues are made on demand: most clients never have a backlog. */
  #backlog: Backlog | undefined;
  /** The sources of frames that are sent when the queue is empty. */
  #later: (() => Frame | undefined)[] | undefined;
  #batches = false;
  /** The MSG frames that will leave as one frame. If a `send` leaves a run here, the queue is empty. */
  #run: Run | undefined;
  #run_bytes_max = 0;
  /** An upper bound of the bytes in the socket: those at the last reading, and all sent since. */
  #held_bytes_max = 0;
  #awaits_turn = false;
  #has_sent = false;
  /** The number of sent frames, for operators; a frame in a batch counts, too. */
  sent = 0;
  #ended = false;
  #queued_from = 0;

  constructor(options: OutboxOptions) {
    this.#socket = options.socket;
    this.#pump = options.pump;
    this.#stats = options.stats;
    this.#options = options;
  }

  get tenant_id(): string {
    return this.#options.tenant_id;
  }

  /** Bytes that are queued here, or not yet taken by the kernel. */
  get unsent_bytes(): number {
    return (this.#backlog?.bytes ?? 0) + this.#socket.bufferedAmount;
  }

  /** The ledger's position of the oldest queued frame; 0: none is queued, or there is no ledger. */
  get queued_from(): number {
    return this.#queued_from || (this.#backlog?.position ?? 0);
  }

  /** The queued messages of a room; undefined: the queue is empty. */
  waits(room_id: string): { from: number; listed: Set<number> | undefined } | undefined {
    const backlog = this.#backlog;
    return backlog && { from: backlog.position, listed: backlog.positionsOf(room_id) };
  }

  /** Whether a frame that is sent in this turn goes to the socket without queueing. */
  get is_direct(): boolean {
    return !this.#ended && (this.#run !== undefined || this.pump() && this.#hasRoom());
  }

  /** Whether MSG frames may share a frame. */
  get has_batches(): boolean {
    return this.#batches;
  }

  /** True if more than half of the limit is waiting: then the sender should wait, too. */
  get is_behind(): boolean {
    const backlog = this.#backlog;
    return backlog !== undefined && backlog.bytes > this.#options.unsent_bytes_max / 2;
  }

  /** Sends MSG frames of one turn as BATCH frames of at most 64 KiB from now on. */
  useBatches(): void {
    this.#batches = true;
  }

  /**
   * Sends a frame now (a MSG in a batch: with this turn) if the socket has room, otherwise queues it. Above the limit,
   * the outbox ends and calls `onOverflow`; a frame with a `message` may be dropped instead.
   */
  send(frame: Frame, message?: RoomMessage): void {
    if (this.#ended) return;
    this.#has_sent = true;
    this.sent++;
    // Pumping here, too: with only the timer, a client would get at most 64 KiB every 5 ms.
    if (this.#run !== undefined || this.pump() && this.#hasRoom()) {
      this.#put(frame);
      if (this.#run === undefined || this.#awaits_turn) return;
      this.#awaits_turn = true;
      return this.#pump.turn_end.add(this);
    }
    const backlog = this.#backlog ??= new Backlog(this.#options);
    if (!backlog.push(frame, message, this.#socket.bufferedAmount)) {
      this.#queued_from = backlog.position || (this.#options.position?.() ?? 0);
      this.end();
      return this.#options.onOverflow();
    }
    this.#pump.add(this);
  }

  /** Whether anything was sent since the last call. */
  takeSent(): boolean {
    const has_sent = this.#has_sent;
    this.#has_sent = false;
    return has_sent;
  }

  /**
   * Sends frame after frame, each when the queue is empty, until `next` returns undefined. Such frames do not count as
   * waiting: `next` makes or stores them, and limits them.
   */
  sendLater(next: () => Frame | undefined): void {
    if (this.#ended) return;
    this.#endRun();
    (this.#later ??= []).push(next);
    if (!this.pump()) this.#pump.add(this);
  }

  /** Leaves out a room's queued messages, if its class allows that. */
  forget(room_id: string): void {
    this.#backlog?.forget(room_id);
  }

  /** Passes on the frames that fit; true if the queue is empty afterwards. */
  pump(): boolean {
    if (this.#backlog === undefined && this.#later === undefined) return true;
    while (this.#backlog?.is_empty === false && this.#hasRoom()) this.#handOver(this.#backlog);
    if (this.#backlog?.is_empty !== false) {
      while (this.#later !== undefined && this.#later.length > 0 && this.#hasRoom()) {
        const frame = this.#later[0]?.();
        if (frame === undefined) this.#later?.shift();
        else {
          this.sent++;
          this.#put(frame);
        }
      }
    }
    this.#endRun();
    if (!this.#isDrained()) return false;
    this.#options.onDrained?.();
    return true;
  }

  /** Passes on all queued frames before an orderly close, except those of `sendLater`. */
  flush(): void {
    const backlog = this.#backlog;
    while (backlog?.is_empty === false) this.#handOver(backlog);
    this.#endRun();
    this.end();
  }

  /** Drops the backlog; nothing is sent from now on. */
  end(): void {
    this.#queued_from = this.queued_from;
    this.#backlog?.clear();
    this.#run = this.#later = this.#backlog = undefined;
    this.#ended = true;
    this.#pump.remove(this);
  }

  endTurn(): void {
    this.#awaits_turn = false;
    this.#endRun();
  }

  /** Whether the queue is empty; if so, the queues free their memory. */
  #isDrained(): boolean {
    if (this.#later?.length === 0) this.#later = undefined;
    if (this.#backlog?.is_empty === true) this.#backlog = undefined;
    return this.#backlog === undefined && this.#later === undefined;
  }

  /** Whether the socket has less than `NATIVE_BYTES`. It is only read if it may have more. */
  #hasRoom(): boolean {
    if (this.#held_bytes_max < NATIVE_BYTES) return true;
    this.#held_bytes_max = this.#socket.bufferedAmount;
    return this.#held_bytes_max < NATIVE_BYTES;
  }

  #handOver(backlog: Backlog): void {
    const frame = backlog.shift();
    if (frame !== undefined) this.#put(frame);
  }

  /** Sends the next frame: at once, or together with the following ones. */
  #put(frame: Frame): void {
    if (this.#ended) return;
    if (!this.#batches || !isBatchable(frame)) {
      this.#endRun();
      return this.#native(frame);
    }
    if (this.#run !== undefined && !this.#fitsRun(this.#run.bytes + frame.length)) this.#endRun();
    if (this.#run === undefined) this.#run_bytes_max = NATIVE_BYTES - this.#held_bytes_max;
    const run = this.#run = this.#pump.turn_end.extend(this.#run, frame);
    if (!this.#fitsRun(run.bytes + 1)) this.#endRun();
  }

  /** Whether the socket has room for a run of that size. */
  #fitsRun(bytes: number): boolean {
    if (bytes <= this.#run_bytes_max) return true;
    this.#held_bytes_max = this.#socket.bufferedAmount;
    this.#run_bytes_max = NATIVE_BYTES - this.#held_bytes_max;
    return bytes <= this.#run_bytes_max;
  }

  #endRun(): void {
    const run = this.#run;
    if (run === undefined) return;
    this.#run = undefined;
    if (run.length > 1) {
      this.#stats.batches++;
      this.#stats.batched_messages += run.length;
    }
    this.#native(run.toFrame());
  }

  #native(frame: Frame): void {
    const bytes_max = typeof frame === "string" ? UNIT_BYTES * frame.length : frame.length;
    this.#held_bytes_max += HEAD_BYTES + bytes_max;
    try {
      // Frames of this program never lie in shared memory, which `send` would refuse.
      this.#socket.send(frame as string | Uint8Array<ArrayBuffer>);
    } catch (error) {
      // A fan-out continues with its other receivers.
      this.end();
      this.#options.onBroken(error);
    }
  }
}

// Messages of one turn in one frame. A send to a socket costs 5 to 7 µs whatever its size, so a connection that
// requested it gets the messages of one event-loop turn as one BATCH.

/** Whether the frame is a MSG of the binary form; all others are sent alone. */
function isBatchable(frame: Frame): frame is Uint8Array {
  return typeof frame !== "string" && frame[0] === Opcode.MSG;
}

interface TurnMember {
  /** Called at the end of the turn: sends the connection's messages. Must not throw. */
  endTurn(): void;
}

/**
 * MSG frames that leave as one frame; a run is known by its last frame. Connections that get the same
 * messages share a run, so the run and its BATCH are made once, however many connections get it.
 */
export class Run {
  /** How many messages the run has. */
  readonly length: number;
  readonly bytes: number;
  readonly #frame: Uint8Array;
  readonly #before: Run | undefined;
  #next: Run | undefined;
  #batch: Uint8Array | undefined;

  constructor(frame: Uint8Array, before?: Run) {
    this.#frame = frame;
    this.#before = before;
    this.length = (before?.length ?? 0) + 1;
    this.bytes = (before?.bytes ?? 0) + frame.length;
  }

  /** Whether the run is this frame and no other. */
  isOnly(frame: Uint8Array): boolean {
    return this.#before === undefined && this.#frame === frame;
  }

  /** This run with one more frame. Each message is sent to all its receivers before the next one. */
  extend(frame: Uint8Array): Run {
    const next = this.#next;
    if (next !== undefined && next.#frame === frame) return next;
    return this.#next = new Run(frame, this);
  }

  /** The frame of the run: its only frame, or a BATCH of all. */
  toFrame(): Uint8Array {
    if (this.#before === undefined) return this.#frame;
    return this.#batch ??= encodeBatch(Run.#envelopesOf(this));
  }

  static #envelopesOf(last: Run): Uint8Array[] {
    const envelopes = new Array<Uint8Array>(last.length);
    let run: Run | undefined = last;
    for (let at = last.length; run !== undefined; run = run.#before) {
      envelopes[--at] = run.#frame.subarray(1);
    }
    return envelopes;
  }
}

/** The end of the current turn, for all connections of the process. */
export class TurnEnd {
  /** The members; the first `#count` are those of this turn. The lists are reused, since new ones are garbage. */
  #members: (TurnMember | undefined)[] = [];
  #spare: (TurnMember | undefined)[] = [];
  #count = 0;
  /** The last run that was started: until the turn ends, other connections start with the same. */
  #begun: Run | undefined;
  /** The callback of every turn. One made in `add` would be garbage of each call, called or not. */
  readonly #onEnd = () => this.#end();

  /** Calls the member's `endTurn` once, when this turn's jobs have run. */
  add(member: TurnMember): void {
    this.#members[this.#count++] = member;
    if (this.#count === 1) queueMicrotask(this.#onEnd);
  }

  /** The run with one more frame; without a run, a new one. */
  extend(run: Run | undefined, frame: Uint8Array): Run {
    if (run !== undefined) return run.extend(frame);
    if (this.#begun?.isOnly(frame) === true) return this.#begun;
    return this.#begun = new Run(frame);
  }

  #end(): void {
    const members = this.#members;
    const count = this.#count;
    this.#members = this.#spare;
    this.#spare = members;
    this.#count = 0;
    for (let at = 0; at < count; at++) {
      members[at]?.endTurn();
      members[at] = undefined;
    }
    this.#begun = undefined;
  }
}
