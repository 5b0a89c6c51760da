/** What all sockets of our own share; one socket is `own_socket.ts`. */
import type { SocketOptions } from "./client_socket.ts";
import { Heartbeat } from "./heartbeat.ts";
import { Turns } from "../../shared/turns/turns.ts";
import { WireTurn } from "./wire_turn.ts";

/** How many sockets may end in one turn: a crowd that goes at once must not stop the others. */
const ENDS_A_TURN = 16;

/** What all sockets of one process share. */
export class OwnShared {
  readonly turn = new WireTurn();
  readonly turns: Turns;
  readonly ends = new Turns(ENDS_A_TURN);
  readonly heartbeat: Heartbeat;
  readonly options: SocketOptions;
  /** The bytes that have been read of all sockets and wait for their turn. */
  waiting_bytes = 0;

  constructor(options: SocketOptions) {
    this.turns = new Turns(undefined, options.now_ms);
    this.heartbeat = new Heartbeat(options.heartbeat_ms);
    this.options = options;
  }
}
