/**
 * The way out to one client: a queue bounded in bytes in front of Deno's native socket. The native
 * `send` takes everything and never pushes back, and bytes given to it cannot be taken back, so at
 * most `NATIVE_BYTES` are handed over and the rest waits here. The only signal that the native
 * buffer has room again is `bufferedAmount`, hence the pump. Not for reading: `connection.ts` does.
 */
import { frameBytes } from "./frame_bytes.ts";
import type { Frame } from "./frame_bytes.ts";
import type { ShieldStats } from "./stats.ts";

const NATIVE_BYTES = 65_536;
const PUMP_MS = 5;

/** Polls every outbox that has a backlog; there is no timer while nobody has one. */
export class Pump {
  readonly #waiting = new Set<Outbox>();
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
export interface OutboxOptions {
  socket: WebSocket;
  pump: Pump;
  stats: ShieldStats;
  /** Bytes that may wait, native buffer included. */
  unsent_bytes_max: number;
  /** Called once, when a frame would exceed `unsent_bytes_max`; the frame is not sent. */
  onOverflow: () => void;
}

interface Queued {
  readonly frame: Frame;
  readonly size_bytes: number;
}

/** Frames leave in the order of `send`. */
export class Outbox {
  readonly #options: OutboxOptions;
  #queue: Queued[] = [];
  #head = 0;
  #queued_bytes = 0;
  /** Where frames come from that wait until nothing else does. */
  #later: (() => Frame | undefined)[] = [];
  #ended = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Sends now if the socket has room, else queues; beyond the bound it ends and calls `onOverflow`. */
  send(frame: Frame): void {
    if (this.#ended) return;
    const { socket, stats } = this.#options;
    // Pumping here too: by its timer alone, a client would get no more than 64 KiB every 5 ms.
    if (this.pump() && socket.bufferedAmount < NATIVE_BYTES) return this.#native(frame);
    const size_bytes = frameBytes(frame);
    const waiting_bytes = this.#queued_bytes + socket.bufferedAmount;
    if (waiting_bytes + size_bytes > this.#options.unsent_bytes_max) {
      this.end();
      return this.#options.onOverflow();
    }
    this.#queue.push({ frame, size_bytes });
    this.#queued_bytes += size_bytes;
    stats.unsent_bytes += size_bytes;
    this.#options.pump.add(this);
  }

  /**
   * Sends frame after frame, each when nothing else waits, until `next` gives undefined. They do not
   * count as waiting: `next` makes or keeps them, and bounds them.
   */
  sendLater(next: () => Frame | undefined): void {
    if (this.#ended) return;
    this.#later.push(next);
    if (!this.pump()) this.#options.pump.add(this);
  }

  /** Hands over what fits; true when nothing is left to wait for. */
  pump(): boolean {
    const { socket } = this.#options;
    while (this.#head < this.#queue.length && socket.bufferedAmount < NATIVE_BYTES) {
      this.#handOver();
    }
    if (this.#queue.length > 0) return false;
    while (this.#later.length > 0 && socket.bufferedAmount < NATIVE_BYTES) {
      const frame = this.#later[0]?.();
      if (frame === undefined) this.#later.shift();
      else this.#native(frame);
    }
    return this.#later.length === 0;
  }

  /** Hands over everything that was sent (an orderly close follows), not what was to be sent later. */
  flush(): void {
    while (this.#head < this.#queue.length) this.#handOver();
    this.end();
  }

  /** Forgets the backlog; nothing is sent from now on. */
  end(): void {
    this.#options.stats.unsent_bytes -= this.#queued_bytes;
    this.#queue = [];
    this.#head = 0;
    this.#queued_bytes = 0;
    this.#later = [];
    this.#ended = true;
    this.#options.pump.remove(this);
  }

  #native(frame: Frame): void {
    // Our frames never live in shared memory, which `send` would refuse.
    this.#options.socket.send(frame as string | Uint8Array<ArrayBuffer>);
  }

  #handOver(): void {
    const { frame, size_bytes } = this.#queue[this.#head++] as Queued;
    this.#queued_bytes -= size_bytes;
    this.#options.stats.unsent_bytes -= size_bytes;
    this.#native(frame);
    // An empty queue keeps nothing alive that has been sent.
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head > 256 && this.#head * 2 > this.#queue.length) {
      // Array.shift is linear; compacting at the half keeps it amortised constant.
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }
}
