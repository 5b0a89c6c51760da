/** A lock of a room that is renewed while it is held (docs/presence.md#locks). */
import { ArqonError, ruleOf } from "@arqon/proto";
import { type LockKeeping, portOf, type Room } from "./room.ts";
import type { RoomLock } from "../state/room_state.ts";
import { onAbort, sleep } from "../time/clock.ts";

/** Options of `holdLock`. */
export interface HoldLockOptions {
  /** How long the lease is, in ms; default 30,000, at most 600,000. Renewed at about a third. */
  readonly ttl_ms?: number;
  /**
   * How long to wait for another holder's lock, in ms; default 0, then `locked` names the holder. It polls, with pauses
   * of up to a second: the order of several waiting clients is random.
   */
  readonly wait_ms?: number;
  /** Aborting ends the wait; a held lock is released by `release`. */
  readonly signal?: AbortSignal;
  /** Time limit of each request, in ms; default `ConnectOptions.request_timeout_ms`. */
  readonly timeout_ms?: number;
}

/** The part of a room that locks and unlocks. */
export type LockRoom = Pick<Room, "lock" | "unlock">;

const TTL_MS = 30_000;
/** The first and the longest pause between polls for another holder's lock, in ms; pauses double. */
const ASK_MS = 50;
const ASK_MAX_MS = 1_000;
/** A renewal that failed temporarily is retried after this part of the lease. */
const RETRY_SHARE = 0.1;

/** A new command id: a command repeated over a reconnect is applied once. */
export function newCommandId(): string {
  return crypto.getRandomValues(new BigUint64Array(2)).join("-");
}

/** Whether a retry may succeed: the error is not about the lock. */
function isPassing(error: unknown): boolean {
  return error instanceof ArqonError && error.reason !== "locked" &&
    ruleOf(error.reason).client !== "never-retry";
}

/** Locks and renews until `release` or loss. Rejects with `locked` after `wait_ms`. */
export function holdLock(room: Room, options: HoldLockOptions = {}): Promise<HeldLock> {
  return keepLock(room, options, portOf(room));
}

/**
 * Holds the lock while `work` runs, and releases it at the end. The result of `work` is returned even if the lock was
 * lost meanwhile: use `lock.signal` and the fence against that.
 *
 * ```ts
 * import { connect, withLock } from "@arqon/sdk";
 * import { roomState } from "@arqon/sdk/state";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * const room = bus.room("jobs");
 * await withLock(room, { ttl_ms: 10_000 }, async ({ fence, signal }) => {
 *   const state = roomState(room);
 *   const { value } = await state.get("count", { signal });
 *   await state.set("count", Number(value) + 1, { fence });
 * });
 * ```
 */
export async function withLock<Result>(
  room: Room,
  options: HoldLockOptions,
  work: (lock: HeldLock) => Result | Promise<Result>,
): Promise<Result> {
  const lock = await holdLock(room, options);
  try {
    return await work(lock);
  } finally {
    await lock.release();
  }
}

/** As `holdLock`, with the connection's parts. */
export async function keepLock(
  room: LockRoom,
  { ttl_ms = TTL_MS, wait_ms = 0, ...options }: HoldLockOptions,
  keeping: LockKeeping,
): Promise<HeldLock> {
  if (!(wait_ms >= 0)) {
    throw new TypeError(`wait_ms is ${wait_ms}; expected a number of at least 0`);
  }
  const { elapsed, random } = keeping;
  const over_ms = elapsed() + wait_ms;
  for (let pause_ms = ASK_MS;; pause_ms = Math.min(2 * pause_ms, ASK_MAX_MS)) {
    const begun_ms = elapsed();
    try {
      // A new id each time: with the same one the Brain would repeat its answer.
      const grant = await room.lock({ ...options, ttl_ms, command_id: newCommandId() });
      return new HeldLock(room, grant, { ttl_ms, end_ms: begun_ms + ttl_ms }, keeping);
    } catch (error) {
      const left_ms = over_ms - elapsed();
      if (!(error instanceof ArqonError) || error.reason !== "locked" || left_ms <= 0) throw error;
      // Polls when the known lease ends, and when the wait ends.
      const lease_ms = error.retry_after_ms || Infinity;
      const jitter_ms = pause_ms * (0.5 + 0.5 * random());
      await sleep(Math.min(left_ms, lease_ms, jitter_ms), keeping.signal, options.signal);
      options.signal?.throwIfAborted();
      keeping.signal.throwIfAborted();
    }
  }
}

/** A held lock of a room, renewed until `release`. */
export class HeldLock implements AsyncDisposable {
  /** The fencing token: pass it to everything that the lock guards. */
  readonly fence: number;
  readonly #room: LockRoom;
  readonly #keeping: LockKeeping;
  readonly #ttl_ms: number;
  readonly #stop = new AbortController();
  readonly #lost = new AbortController();
  /** When the lease ends, in ms of `elapsed`, counted from before the request. */
  #end_ms: number;
  readonly #forget: () => void;
  #until_ms: number;
  #released: Promise<void> | undefined;

  /** Use `holdLock`. */
  constructor(
    room: LockRoom,
    { fence, until_ms }: RoomLock,
    { ttl_ms, end_ms }: { readonly ttl_ms: number; readonly end_ms: number },
    keeping: LockKeeping,
  ) {
    this.fence = fence;
    this.#room = room;
    this.#keeping = keeping;
    this.#ttl_ms = ttl_ms;
    this.#end_ms = end_ms;
    this.#until_ms = until_ms;
    this.#forget = onAbort(keeping.signal, this.#over);
    keeping.renewals.add(this.#moved);
    if (keeping.signal.aborted) this.#over();
    void this.#keep();
  }

  /** When the lease ends, Unix ms by the Brain's clock; each renewal moves it. */
  get until_ms(): number {
    return this.#until_ms;
  }

  /**
   * Aborted, with an ArqonError, when the lock is lost: the refusal of the renewal, `fence-mismatch` if the lease has
   * expired, or the connection's end. `release` does not abort it.
   */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Releases the lock. Never rejects: a lock that cannot be unlocked expires with its lease. */
  release(): Promise<void> {
    return this.#released ??= this.#release();
  }

  /** As `release`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  async #release(): Promise<void> {
    if (this.#lost.signal.aborted) return;
    this.#halt();
    try {
      await this.#room.unlock(this.fence, { command_id: newCommandId() });
    } catch (error) {
      // Already expired, or unreachable: the lease will expire.
      this.#lost.abort(error);
    }
  }

  async #keep(): Promise<void> {
    const { elapsed, random } = this.#keeping;
    const { signal } = this.#stop;
    let share = 1 / 3;
    while (!signal.aborted) {
      await sleep(this.#ttl_ms * share * (0.8 + 0.2 * random()), signal);
      const renewed = await this.#renew();
      const left_share = Math.max(0, this.#end_ms - elapsed()) / this.#ttl_ms;
      share = renewed ? 1 / 3 : Math.min(RETRY_SHARE, left_share);
    }
  }

  /** Renews the lock. False if that failed: the lock may be lost. */
  async #renew(): Promise<boolean> {
    const { signal } = this.#stop;
    if (signal.aborted) return false;
    const begun_ms = this.#keeping.elapsed();
    const timeout_ms = this.#end_ms - begun_ms;
    if (timeout_ms <= 0) {
      this.#lose(new ArqonError("fence-mismatch", "the lease has run out"));
      return false;
    }
    try {
      const { fence } = this;
      const ttl_ms = this.#ttl_ms;
      this.#until_ms = (await this.#room.lock({ fence, ttl_ms, timeout_ms, signal })).until_ms;
      this.#end_ms = Math.max(this.#end_ms, begun_ms + ttl_ms);
      return true;
    } catch (error) {
      if (!signal.aborted && !isPassing(error)) this.#lose(error);
      return false;
    }
  }

  /** Renews the lock on the next connection, so that the Brain records it as the holder's. */
  readonly #moved = async (): Promise<void> => void await this.#renew();

  readonly #over = (): void => this.#lose(this.#keeping.signal.reason);

  #lose(error: unknown): void {
    this.#halt();
    this.#lost.abort(error);
  }

  #halt(): void {
    this.#stop.abort();
    this.#keeping.renewals.delete(this.#moved);
    this.#forget();
  }
}
