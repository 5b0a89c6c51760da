/** The lock of a room as a store: whether this client holds it, and who does. */
import type { ArqonError } from "@arqon/proto";
import { holdLock } from "../room/held_lock.ts";
import type { HeldLock, HoldLockOptions } from "../room/held_lock.ts";
import { asArqonError } from "../wire/wire_error.ts";
import type { RoomHub } from "./room_hub.ts";
import type { StateStore } from "./state_store.ts";
import { Cell } from "./store.ts";
import type { RoomView } from "./store.ts";

/** The lock of a room, as of now. */
export interface LockView extends RoomView {
  /** The fence of the lock while this client holds it; give it to all that the lock guards. */
  readonly fence: number | undefined;
  /** Whether `acquire` is under way. */
  readonly is_waiting: boolean;
  /** User id of who holds the lock, as far as this client has heard; undefined: nobody. */
  readonly holder: string | undefined;
}

/** The lock of a room while somebody subscribes to the store; it is released when nobody does. */
export class LockStore extends Cell<LockView> {
  readonly #hub: RoomHub;
  readonly #state: StateStore;
  #lock: HeldLock | undefined;
  #over = new AbortController();

  constructor(hub: RoomHub, state: StateStore) {
    const nobody = { fence: undefined, holder: undefined, is_waiting: false };
    super({ ...nobody, ready: false, error: undefined });
    this.#hub = hub;
    this.#state = state;
  }

  /**
   * Takes the lock and renews it until `release`. Resolves with whether this client holds it; why it
   * does not is the view's `error`: `locked` while somebody else does, after `wait_ms`.
   */
  readonly acquire = async (options: HoldLockOptions = {}): Promise<boolean> => {
    if (this.#lock) return true;
    if (this.get().is_waiting) return false;
    const { signal } = this.#over;
    this.show({ is_waiting: true, error: undefined });
    let error: ArqonError | undefined;
    try {
      const lock = await this.#hub.client.use((bus) =>
        holdLock(bus.room(this.#hub.id), {
          ...options,
          signal: options.signal ? AbortSignal.any([signal, options.signal]) : signal,
        })
      );
      if (signal.aborted) await lock.release();
      else this.#hold(lock);
    } catch (thrown) {
      error = asArqonError(thrown);
    }
    if (!signal.aborted) this.show({ is_waiting: false, error });
    return this.#lock !== undefined;
  };

  /** Gives the lock back, or ends the waiting for it. */
  readonly release = async (): Promise<void> => {
    this.#over.abort();
    this.#over = new AbortController();
    const lock = this.#lock;
    this.#lock = undefined;
    this.show({ fence: undefined, is_waiting: false });
    await lock?.release();
  };

  #hold(lock: HeldLock): void {
    this.#lock = lock;
    this.show({ fence: lock.fence });
    lock.signal.addEventListener("abort", () => {
      if (this.#lock !== lock) return;
      this.#lock = undefined;
      this.show({ fence: undefined, error: asArqonError(lock.signal.reason) });
    });
  }

  protected start(): () => void {
    const leave = this.#state.subscribe(({ lock, ready, error }) =>
      this.show({ holder: lock?.holder, ready, ...(error ? { error } : {}) })
    );
    return () => {
      leave();
      void this.release();
    };
  }
}
