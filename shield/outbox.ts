/**
 * The way out to one client: a queue bounded in bytes in front of Deno's native socket. The native
 * `send` takes everything and never pushes back, and bytes given to it cannot be taken back, so at
 * most `NATIVE_BYTES` are handed over and the rest waits here. The only signal that the native
 * buffer has room again is `bufferedAmount`, hence the pump. Not for reading: `connection.ts` does.
 */
import { Backlog } from "./backlog.ts";
import type { BacklogOptions, RoomMessage } from "./backlog.ts";
import { isBatchable, TurnEnd } from "./batch.ts";
import type { Frame } from "./frame_bytes.ts";
import type { ClientSocket } from "./socket/client_socket.ts";
import type { ShieldStats } from "./stats.ts";

const NATIVE_BYTES = 65_536;
const PUMP_MS = 5;

/** Polls every outbox that has a backlog; there is no timer while nobody has one. */
export class Pump {
  readonly #waiting = new Set<Outbox>();
  /** The end of the present turn, for those who send batches. */
  readonly turn_end: TurnEnd = new TurnEnd();
  #timer: ReturnType<typeof setInterval> | undefined;

  add(outbox: Outbox): void {
    this.#waiting.add(outbox);
    this.#timer ??= setInterval(() => this.#turn(), PUMP_MS);
  }

  remove(outbox: Outbox): void {
    this.#waiting.delete(outbox);
    if (this.#waiting.size > 0 || this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #turn(): void {
    for (const outbox of this.#waiting) if (outbox.pump()) this.remove(outbox);
  }
}

/** One client's socket and bounds. */
export interface OutboxOptions extends BacklogOptions {
  socket: Pick<ClientSocket, "send" | "bufferedAmount">;
  pump: Pump;
  stats: ShieldStats;
  /** Called once, when a frame would exceed `unsent_bytes_max`; the frame is not sent. */
  onOverflow: () => void;
}

/** Frames leave in the order of `send`. */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #backlog: Backlog;
  /** Where frames come from that wait until nothing else does. */
  #later: (() => Frame | undefined)[] = [];
  #batches = false;
  /** MSG frames that leave as one. While there are any after `send`, nothing else waits. */
  #run: Uint8Array[] = [];
  #run_bytes = 0;
  #run_bytes_max = 0;
  #awaits_turn = false;
  #ended = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#backlog = new Backlog(options);
  }

  /** From now on MSG frames of one turn leave as BATCH frames of at most 64 KiB. */
  useBatches(): void {
    this.#batches = true;
  }

  /**
   * Sends now (a MSG in a batch: with this turn) if the socket has room, else queues; beyond the
   * bound it ends and calls `onOverflow`. With `message`, it may be left out instead.
   */
  send(frame: Frame, message?: RoomMessage): void {
    if (this.#ended) return;
    const { socket, pump } = this.#options;
    // Pumping here too: by its timer alone, a client would get no more than 64 KiB every 5 ms.
    if (this.#run.length > 0 || this.pump() && socket.bufferedAmount < NATIVE_BYTES) {
      this.#put(frame);
      if (this.#run.length === 0 || this.#awaits_turn) return;
      this.#awaits_turn = true;
      return pump.turn_end.add(this);
    }
    if (!this.#backlog.push(frame, message, socket.bufferedAmount)) {
      this.end();
      return this.#options.onOverflow();
    }
    pump.add(this);
  }

  /**
   * Sends frame after frame, each when nothing else waits, until `next` gives undefined. They do not
   * count as waiting: `next` makes or keeps them, and bounds them.
   */
  sendLater(next: () => Frame | undefined): void {
    if (this.#ended) return;
    this.#endRun();
    this.#later.push(next);
    if (!this.pump()) this.#options.pump.add(this);
  }

  /** Hands over what fits; true when nothing is left to wait for. */
  pump(): boolean {
    const { socket } = this.#options;
    if (this.#backlog.is_empty && this.#later.length === 0) return true;
    while (!this.#backlog.is_empty && socket.bufferedAmount < NATIVE_BYTES) this.#handOver();
    if (this.#backlog.is_empty) {
      while (this.#later.length > 0 && socket.bufferedAmount < NATIVE_BYTES) {
        const frame = this.#later[0]?.();
        if (frame === undefined) this.#later.shift();
        else this.#put(frame);
      }
    }
    this.#endRun();
    return this.#backlog.is_empty && this.#later.length === 0;
  }

  /** Hands over everything that was sent (an orderly close follows), not what was to be sent later. */
  flush(): void {
    while (!this.#backlog.is_empty) this.#handOver();
    this.#endRun();
    this.end();
  }

  /** Forgets the backlog; nothing is sent from now on. */
  end(): void {
    this.#backlog.clear();
    this.#run = [];
    this.#later = [];
    this.#ended = true;
    this.#options.pump.remove(this);
  }

  /** The turn's messages leave. */
  endTurn(): void {
    this.#awaits_turn = false;
    this.#endRun();
  }

  #handOver(): void {
    const frame = this.#backlog.shift();
    if (frame !== undefined) this.#put(frame);
  }

  /** Next to leave: at once, or with the frames that follow. */
  #put(frame: Frame): void {
    if (!this.#batches || !isBatchable(frame)) {
      this.#endRun();
      return this.#native(frame);
    }
    if (this.#run_bytes + frame.length > this.#run_bytes_max) this.#endRun();
    if (this.#run.length === 0) {
      this.#run_bytes_max = NATIVE_BYTES - this.#options.socket.bufferedAmount;
    }
    this.#run.push(frame);
    this.#run_bytes += frame.length;
    if (this.#run_bytes >= this.#run_bytes_max) this.#endRun();
  }

  #endRun(): void {
    const run = this.#run;
    const [first] = run;
    if (first === undefined) return;
    this.#run = [];
    this.#run_bytes = 0;
    if (run.length === 1) return this.#native(first);
    const { stats, pump } = this.#options;
    stats.batches++;
    stats.batched_messages += run.length;
    this.#native(pump.turn_end.batchOf(run));
  }

  #native(frame: Frame): void {
    // Our frames never live in shared memory, which `send` would refuse.
    this.#options.socket.send(frame as string | Uint8Array<ArrayBuffer>);
  }
}
