/**
 * What a client of `deno task bench sdk` is told to do, and what it says afterwards. The clients are
 * `client.ts` and `client.py`, which reads the same JSON.
 */

/**
 * What the client is made of: the language's WebSocket library alone, that and a decoder of frames, or
 * the SDK.
 */
export const PARTS = ["raw", "decoded", "sdk"] as const;
/** One of them. */
export type Part = typeof PARTS[number];

/**
 * How messages come: each by itself, after the one before was acknowledged; or as many as go, which the
 * Shield puts together in BATCH frames. With `publish` the client sends them and awaits the ACKs.
 */
export const LOADS = ["receive single", "receive many", "publish"] as const;
/** One of them. */
export type Load = typeof LOADS[number];

/** The first argument of a client, as JSON. */
export interface ClientPlan {
  readonly url: string;
  readonly token: string;
  readonly room_id: string;
  readonly part: Part;
  readonly load: Load;
  /** At the beginning, while compilers get warm: not counted. */
  readonly warmup: number;
  /** Counted. */
  readonly messages: number;
  /** Size of a message's data. */
  readonly size_bytes: number;
}

/** What a client prints at the end; before, when it is subscribed, it prints `{"ready":true}`. */
export interface ClientResult {
  readonly messages: number;
  /** Frames in which they came or went. */
  readonly frames: number;
  /** CPU time of the whole process for them: every thread, kernel included. */
  readonly cpu_us: number;
  readonly wall_us: number;
}

/** Publishes that are under way at a time. */
export const WINDOW = 256;
