/**
 * The plan and the result of a client of `deno task bench sdk`. The clients are `client.ts` and `client.py`,
 * which reads the same JSON.
 */

/**
 * The part of the software that a client uses: the language's WebSocket library alone, the library and a
 * decoder of frames, or the SDK.
 */
export const PARTS = ["raw", "decoded", "sdk"] as const;
/** One of these parts. */
export type Part = typeof PARTS[number];

/**
 * The load of a client. Messages come one by one, each after the one before was acknowledged; or as many as
 * possible, which the Shield puts together in BATCH frames. With `publish` the client sends them and awaits
 * the ACKs.
 */
export const LOADS = ["receive single", "receive many", "publish"] as const;
/** One of these loads. */
export type Load = typeof LOADS[number];

/** The plan of a client, which is its first argument, as JSON. */
export interface ClientPlan {
  readonly url: string;
  readonly token: string;
  readonly room_id: string;
  readonly part: Part;
  readonly load: Load;
  /** Number of messages at the beginning that do not count, while compilers get warm. */
  readonly warmup: number;
  /** Number of messages that count. */
  readonly messages: number;
  /** Size of a message's data. */
  readonly size_bytes: number;
}

/** The result that a client prints at the end. Before, when it is subscribed, it prints `{"ready":true}`. */
export interface ClientResult {
  readonly messages: number;
  /** Number of frames in which the messages came or went. */
  readonly frames: number;
  /** CPU time of the whole process for these messages: every thread, kernel included. */
  readonly cpu_us: number;
  readonly wall_us: number;
}

/** Publishes that are under way at a time. */
export const WINDOW = 256;
