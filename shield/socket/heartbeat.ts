/**
 * WebSocket pings to silent peers, and which peers have left them unanswered: for sockets that have no
 * heartbeat of their own. The PING frames of this protocol are `liveness.ts`.
 */

/** After how many heartbeats a silent peer gets a ping: clearly after our own PING. */
const PING_HEARTBEATS = 1.5;
/** After how many heartbeats without any bytes a peer counts as gone, as on native sockets. */
const LOST_HEARTBEATS = 3;
/** The longest time between two looks at the sockets, in ms. */
const BEAT_MS = 1_000;

/** One socket with a heartbeat. */
export interface Beating {
  /** When something came last; ms of `performance.now`. */
  readonly heard_ms: number;
  /** Sends a ping; called once until something comes. */
  sendPing(): void;
  /** Gives the peer up, as nothing came for three heartbeats. */
  giveUp(): void;
}

/** The heartbeat of all sockets of one kind. */
export class Heartbeat {
  readonly #sockets = new Set<Beating>();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(heartbeat_ms: number) {
    const every_ms = Math.min(BEAT_MS, heartbeat_ms / 2);
    let looked_ms = performance.now();
    this.#timer = setInterval(() => {
      const now_ms = performance.now();
      const held_up = now_ms - looked_ms > 2 * every_ms;
      looked_ms = now_ms;
      // What came while this process got no CPU has not been read yet, and no socket is judged before
      // that.
      if (held_up) return;
      for (const socket of this.#sockets) {
        const silent_ms = now_ms - socket.heard_ms;
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
