/**
 * The values that a room with a reducer shows, as a store. It works with what `reduced(room).state.watch()` gives, which
 * the program brings along: a page without such rooms loads nothing of it.
 */
import type { Room } from "../room/room.ts";
import { asArqonError } from "../wire/wire_error.ts";
import type { RoomHub } from "./room_hub.ts";
import { Cell, type RoomView } from "./store.ts";

/** What is watched. */
export interface Watched {
  readonly version: number;
  readonly is_current: boolean;
  readonly ended: Promise<void>;
  changed(listener: () => void): () => void;
  close(): void;
}

/** Begins to watch a room; the same function each time, since its stores are found by it. */
export type Watch<Values extends Watched> = (room: Room) => Values;

/** The values of a room, as of now. */
export interface ValuesView<Values extends Watched> extends RoomView {
  /** To read from; undefined before the first values. The same object all the time: `version` says that it has changed. */
  readonly values: Values | undefined;
  /** The entry of the room's log whose values these are. */
  readonly version: number;
}

/** Watched values while somebody subscribes to the store. */
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
    this.#hub.client.use(async (bus) => {
      if (over.signal.aborted) return;
      const values = this.#watch(bus.room(this.#hub.id));
      over.signal.addEventListener("abort", () => values.close());
      values.changed(() => {
        const { version } = values;
        if (!over.signal.aborted) this.show({ values, version, ready: true, error: undefined });
      });
      await values.ended;
    }).catch((error) => {
      if (!over.signal.aborted) this.show({ error: asArqonError(error) });
    });
    return () => over.abort();
  }
}
