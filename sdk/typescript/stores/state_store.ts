/** Stores of a room's state, its lock, and the visible values of its reducer. */
import type { Room } from "../room/room.ts";
import { asArqonError } from "../wire/wire_error.ts";
import type { RoomHub } from "./room_hub.ts";
import { Cell, type RoomView } from "./store.ts";
import { ArqonError } from "@arqon/proto";
import { type HeldLock, holdLock, type HoldLockOptions, newCommandId } from "../room/held_lock.ts";
import type { Connection } from "../connection/connection.ts";
import type { Json, JsonInput } from "../request/room_request.ts";
import type { RoomEvent, RoomPosition, RoomState } from "../state/room_state.ts";
import { followState, roomState } from "../room/stateful_room.ts";
import type { SubscribeOptions } from "../subscription/subscription.ts";

/** The watched values. */
export interface Watched {
  readonly version: number;
  readonly is_current: boolean;
  readonly ended: Promise<void>;
  changed(listener: () => void): () => void;
  close(): void;
}

/** Starts watching a room; pass the same function each time, because it identifies the store. */
export type Watch<Values extends Watched> = (room: Room) => Values;

/** The present values of a room. */
export interface ValuesView<Values extends Watched> extends RoomView {
  /** The values; undefined before the first ones. Always the same object: `version` changes. */
  readonly values: Values | undefined;
  /** The entry of the room's log that these values belong to. */
  readonly version: number;
}

/** Watched values while the store has a subscriber. */
export class ValuesStore<Values extends Watched> extends Cell<ValuesView<Values>> {
  readonly #hub: RoomHub;
  readonly #watch: Watch<Values>;

  constructor(hub: RoomHub, watch: Watch<Values>) {
    super({ values: undefined, version: 0, ready: false, error: undefined });
    this.#hub = hub;
    this.#watch = watch;
  }

  protected start(): () => void {
    const over = new AbortController();
    const { signal } = over;
    this.#hub.use(async (room) => {
      if (signal.aborted) return;
      const values = this.#watch(room);
      signal.addEventListener("abort", () => values.close());
      values.changed(() => {
        if (signal.aborted) return;
        this.show({ values, version: values.version, ready: true, error: undefined });
      });
      await values.ended;
      throw new ArqonError("disconnected", this.#hub.id);
    }).catch((error) => {
      if (!signal.aborted) this.show({ error: asArqonError(error) });
    });
    return () => over.abort();
  }
}

/** The present lock of a room. */
export interface LockView extends RoomView {
  /** The fencing token while this client holds the lock; pass it to everything that the lock guards. */
  readonly fence: number | undefined;
  /** Whether `acquire` is under way. */
  readonly is_waiting: boolean;
  /** User id of the lock's last known holder; undefined: none. */
  readonly holder: string | undefined;
}

/** The lock of a room while the store has a subscriber; it is released without one. */
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
   * Takes the lock and renews it until `release`. Resolves with whether this client holds it; if not, the view's
   * `error` is the reason: `locked` after `wait_ms` while another client holds it.
   */
  readonly acquire = async (options: HoldLockOptions = {}): Promise<boolean> => {
    if (this.#lock) return true;
    if (this.get().is_waiting) return false;
    const { signal } = this.#over;
    this.show({ is_waiting: true, error: undefined });
    let error: ArqonError | undefined;
    try {
      const lock = await this.#hub.use((room) =>
        holdLock(room, {
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

  /** Releases the lock, or stops waiting for it. */
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
    let before: ArqonError | undefined;
    const leave = this.#state.subscribe(({ lock, ready, error }) => {
      this.show({ holder: lock?.holder, ready, ...(error === before ? {} : { error }) });
      before = error;
    });
    return () => {
      leave();
      void this.release();
    };
  }
}

/** The present state of a room. */
export interface StateView extends RoomView {
  /** All keys; a value stays the same object until it changes. */
  readonly state: Readonly<Record<string, Json>>;
  /** Whether this client has unconfirmed writes. */
  readonly is_pending: boolean;
  /** The present lock; undefined without one. */
  readonly lock: RoomState["lock"];
}

type Confirmed = RoomPosition & Pick<StateView, "state"> & { readonly lock?: StateView["lock"] };

/** A write under way, or one whose change has not arrived yet. */
interface Write {
  readonly key: string;
  /** Undefined: removes the key. */
  readonly value: Json | undefined;
  done?: RoomPosition;
}

/** The state of a room while the store has a subscriber. */
export class StateStore extends Cell<StateView> {
  readonly #hub: RoomHub;
  #confirmed: Confirmed | undefined;
  #writes: Write[] = [];
  #following = new AbortController();

  constructor(hub: RoomHub) {
    super({ state: {}, is_pending: false, lock: undefined, ready: false, error: undefined });
    this.#hub = hub;
  }

  /**
   * Writes a key. The view changes at once; if the bus refuses, the write is undone, and this rejects with the refusal,
   * which is also the view's `error`.
   */
  readonly set = (key: string, value: JsonInput): Promise<void> =>
    this.#write({ key, value: JSON.parse(JSON.stringify(value)) });

  /** Removes a key, as `set` writes it. */
  readonly delete = (key: string): Promise<void> => this.#write({ key, value: undefined });

  async #write(write: Write): Promise<void> {
    const { key, value } = write;
    this.#writes.push(write);
    this.#show();
    const options = { command_id: newCommandId() };
    try {
      write.done = await this.#hub.use((room) =>
        value === undefined
          ? roomState(room).delete(key, options)
          : roomState(room).set(key, value, options)
      );
      this.show({ error: undefined });
    } catch (error) {
      this.#writes = this.#writes.filter((one) => one !== write);
      this.show({ error: asArqonError(error) });
      throw error;
    } finally {
      this.#show();
    }
  }

  protected start(): () => void {
    const leave = this.#hub.join({
      opened: (_, bus, terms) => void this.#follow(bus, terms),
      ended: (error) => this.show({ error }),
    });
    return () => {
      leave();
      this.#following.abort();
      this.#confirmed = undefined;
    };
  }

  async #follow(bus: Connection, terms: SubscribeOptions): Promise<void> {
    this.#following.abort();
    this.#following = new AbortController();
    const signal = AbortSignal.any([terms.signal!, this.#following.signal]);
    try {
      const room = bus.room(this.#hub.id);
      for await (const event of followState(room, { ...terms, signal }, Infinity)) {
        // It lacks a key or value that is too long: the whole state has it.
        if (event.truncated) return void this.#follow(bus, terms);
        this.#apply(event);
        if (event.op === "state") this.show({ ready: true, error: undefined });
        this.#show();
      }
    } catch (error) {
      if (!signal.aborted) this.show({ error: asArqonError(error) });
    }
  }

  /** Applies an event; equal values stay the same objects. */
  #apply(event: RoomEvent): void {
    const { epoch, version, op, key = "", value = null, first } = event;
    const shown = this.get().state;
    const same = (name: string, value: Json) => sameAs(shown[name], value);
    const whole = event as unknown as Pick<StateView, "state" | "lock">;
    const before = first ? undefined : this.#confirmed;
    let state = before?.state ?? {};
    let lock = before?.lock;
    if (op === "state") {
      const kept = Object.entries(whole.state).map(([name, value]) => [name, same(name, value)]);
      [state, lock] = [Object.fromEntries(kept), whole.lock];
    }
    // A computed name never sets the prototype, even for the key `__proto__`.
    if (op === "set") state = { ...state, [key]: same(key, value) };
    if (op === "delete") state = without(state, key);
    if (op === "lock") lock = event as unknown as StateView["lock"];
    if (op === "unlock") lock = undefined;
    this.#confirmed = { state, version, epoch, lock };
  }

  #show(): void {
    const confirmed = this.#confirmed;
    this.#writes = this.#writes.filter(({ done }) =>
      !done || (confirmed?.epoch === done.epoch && confirmed.version < done.version)
    );
    let state = confirmed?.state ?? this.initial.state;
    for (const { key, value } of this.#writes) {
      state = value === undefined ? without(state, key) : { ...state, [key]: value };
    }
    this.show({ state, is_pending: this.#writes.length > 0, lock: confirmed?.lock });
  }
}

type State = StateView["state"];

function without(state: State, key: string): State {
  const { [key]: _, ...rest } = state;
  return rest;
}

/** The previous value if the new one is equal to it. */
function sameAs(before: Json | undefined, after: Json): Json {
  return JSON.stringify(before) === JSON.stringify(after) ? before! : after;
}
