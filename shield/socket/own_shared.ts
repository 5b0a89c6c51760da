/** What all sockets of our own share; one socket is `own_socket.ts`. */
import type { SocketOptions } from "./client_socket.ts";
import { Heartbeat } from "./heartbeat.ts";
import { Turns } from "../../shared/turns/turns.ts";
import { WireTurn } from "./wire_turn.ts";

const LARGE_READ_BYTES = 65_536;
/** The most large buffers that wait for a use. */
const SPARE_BUFFERS_MAX = 16;

/** How many sockets may end in one turn: a crowd that goes at once must not stop the others. */
const ENDS_A_TURN = 16;

/** What all sockets of one process share. */
export class OwnShared {
  readonly turn = new WireTurn();
  readonly turns = new Turns();
  readonly ends = new Turns(ENDS_A_TURN);
  readonly heartbeat: Heartbeat;
  readonly options: SocketOptions;
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];

  constructor(options: SocketOptions) {
    this.heartbeat = new Heartbeat(options.heartbeat_ms);
    this.options = options;
  }

  takeLarge(): Uint8Array<ArrayBuffer> {
    return this.#spare.pop() ?? new Uint8Array(LARGE_READ_BYTES);
  }

  giveLarge(buffer: Uint8Array<ArrayBuffer>): void {
    if (buffer.length < LARGE_READ_BYTES || this.#spare.length >= SPARE_BUFFERS_MAX) return;
    this.#spare.push(buffer);
  }
}
