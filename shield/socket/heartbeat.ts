/**
 * WebSocket pings to peers that are silent, and who has left them without an answer: for sockets that
 * have no heartbeat of their own. Not the PING frames of this protocol, which are `liveness.ts`.
 */

/** A silent peer gets a ping after so many heartbeats, clearly after our own PING. */
const PING_HEARTBEATS = 1.5;
/** A peer of which nothing at all came for so many heartbeats is gone, as on native sockets. */
const LOST_HEARTBEATS = 3;
/** They are looked at this often, at least. */
const BEAT_MS = 1_000;

/** One socket. */
export interface Beating {
  /** When something came last; ms of `performance.now`. */
  readonly heard_ms: number;
  /** Sends a ping, once until something comes. */
  sendPing(): void;
  /** Nothing came for three heartbeats. */
  giveUp(): void;
}

/** All sockets of one kind. */
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
      // What has come while this process got no CPU is not read yet: nobody is judged before it is.
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
