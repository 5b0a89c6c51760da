/**
 * What the processes of a load run tell each other. Only types; `client_main.ts` and `run.ts` act on
 * it.
 */

/** Where a Shield listens. */
export interface Target {
  readonly hostname: string;
  readonly port: number;
}

/** The plan of one client process. */
export interface ClientPlan {
  /** Connections take them in turns. */
  readonly targets: readonly Target[];
  readonly tokens: readonly string[];
  readonly connections: number;
  /** Source addresses, taken in turns. */
  readonly local_addresses: readonly string[];
  /** Everybody is subscribed to it. */
  readonly room_id: string;
}

/** Words to a client process after its plan: `broadcast` sends, `hear` waits for it and answers. */
export interface Word {
  readonly word: "broadcast" | "hear" | "tell" | "drop";
  /** Of the broadcast, from 1. */
  readonly sequence?: number;
}

/** Every connection is there and subscribed, or was refused in the end. */
export interface Ready {
  readonly kind: "ready";
  readonly open: number;
  /** From the first byte to the answer to SUB; encoded `Latencies`. */
  readonly handshakes: string;
  /** Upgrades that were answered with 503 or 429 and repeated. */
  readonly put_off: number;
}

/** Everybody who is there has heard a broadcast, or not in time. */
export interface Heard {
  readonly kind: "heard";
  readonly sequence: number;
  readonly count: number;
  /** From the publish to each delivery, over both processes' clocks; encoded `Latencies`. */
  readonly latencies: string;
}

/** How it stands, and everything that was wrong so far. */
export interface State {
  readonly kind: "state";
  readonly open: number;
  /** Connections that ended by themselves, by code. */
  readonly ended: readonly (readonly [code: number, count: number])[];
  /** PINGs of the Shield that were answered. */
  readonly pings: number;
  /** Broadcasts that came twice, out of order, or from nowhere. */
  readonly strange: number;
}
