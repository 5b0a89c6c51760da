/** The hooks: each binds one store of a room, or of the connection, to a component. */
"use client";
import { useCallback, useEffect, useSyncExternalStore } from "react";
import { whenReady } from "@arqon/sdk/stores";
import type { LockStore, LockView, MessagesOptions, MessageStore } from "@arqon/sdk/stores";
import type { MessagesView, PresenceOptions, PresenceStore } from "@arqon/sdk/stores";
import type { PresenceView, RoomStores, RoomView } from "@arqon/sdk/stores";
import type { StateStore, StateView, Store } from "@arqon/sdk/stores";
import type { ValuesView, Watch, Watched } from "@arqon/sdk/stores";
import type { Json, Status } from "@arqon/sdk";
import { useClient } from "./provider.ts";

/** How a hook begins. */
export interface Waiting {
  /** True: the component suspends until the store is ready or has an error. Never on a server. */
  readonly suspense?: boolean;
}

/** What any store shows, as of now; on a server and while hydrating what it shows initially. */
export function useStore<View>(store: Store<View>): View {
  return useSyncExternalStore(store.subscribe, store.get, () => store.initial);
}

function useRoomStore<View extends RoomView>(store: Store<View>, { suspense }: Waiting): View {
  const view = useStore(store);
  // A server has no connection, and would wait in vain.
  const waiting = suspense && "document" in globalThis ? whenReady(store) : undefined;
  if (waiting) throw waiting;
  return view;
}

/** What the connection is doing. */
export function useConnection(): Status {
  return useStore(useClient().connection);
}

/** The stores of a room, its `publish`, and `use` for all the rest. Does not subscribe to the room. */
export function useRoom(id: string): RoomStores {
  return useClient().room(id);
}

/** What `useMessages` takes. */
export type MessagesHookOptions = MessagesOptions & Waiting;

/** What `useMessages` gives. */
export type Messages = MessagesView & Pick<MessageStore, "more"> & Pick<RoomStores, "publish">;

/** The messages of a room, how to get older ones, and how to publish. */
export function useMessages(id: string, options: MessagesHookOptions = {}): Messages {
  const room = useRoom(id);
  const store = room.messages(options);
  return { ...useRoomStore(store, options), more: store.more, publish: room.publish };
}

/** What `usePresence` takes. */
export interface PresenceHookOptions<Meta> extends Waiting {
  /** What others see at first. */
  readonly initial?: Meta;
  /** The shortest time between two updates that are sent, in ms; default 100. */
  readonly throttle_ms?: number;
  /** True: know who is there without being a member. */
  readonly observer?: boolean;
}

/** What `usePresence` gives. */
export type Presence<Meta> = PresenceView<Meta> & Pick<PresenceStore<Meta>, "update">;

/** Who else is in a room, and what they see of this client, a member while this is mounted. */
export function usePresence<Meta = Json>(
  id: string,
  options: PresenceHookOptions<Meta> = {},
): Presence<Meta> {
  const { presence, members } = useRoom(id);
  const store = (options.observer ? members : presence) as unknown as PresenceStore<Meta>;
  const { initial, throttle_ms } = options;
  const begin = () => store.begin({ initial, throttle_ms } as PresenceOptions);
  // Before the effect of the store, which says what is begun with.
  useEffect(begin, [store, throttle_ms]);
  try {
    return { ...useRoomStore(store, options), update: store.update };
  } catch (waiting) {
    begin();
    throw waiting;
  }
}

/** What `useRoomState` gives. */
export type State = StateView & Pick<StateStore, "set" | "delete">;

/** All keys of a room's state, and how to write them: shown at once, taken back when refused. */
export function useRoomState(id: string, options: Waiting = {}): State {
  const { state } = useRoom(id);
  return { ...useRoomStore(state, options), set: state.set, delete: state.delete };
}

/**
 * One key of a room's state, and how to write it. The component renders again for this key alone.
 * `fallback` is shown while there is none; nothing checks that a value is a `Value`.
 */
export function useRoomValue<Value extends Json>(
  id: string,
  key: string,
  fallback: Value,
): [value: Value, set: (value: Value) => Promise<void>] {
  const { state } = useRoom(id);
  const of = ({ state }: StateView) => (Object.hasOwn(state, key) ? state[key] : undefined);
  const value = useSyncExternalStore(
    state.subscribe,
    () => of(state.get()),
    () => undefined,
  );
  const set = useCallback((value: Value) => {
    const done = state.set(key, value);
    // The store's view tells it, too: who does not wait has no uncaught error.
    done.catch(() => {});
    return done;
  }, [state, key]);
  return [value === undefined ? fallback : value as Value, set];
}

/** What `useLock` gives. */
export type Lock = LockView & Pick<LockStore, "acquire" | "release">;

/** The lock of a room: whether this client holds it, who does, and how to get it. */
export function useLock(id: string, options: Waiting = {}): Lock {
  const { lock } = useRoom(id);
  return { ...useRoomStore(lock, options), acquire: lock.acquire, release: lock.release };
}

/**
 * The values that a room with a reducer shows, as they change. `watch` is a function outside of the component, such as
 * `(room) => reduced<Sale>(room).state.watch()`: its types are those of the values.
 */
export function useReduced<Values extends Watched>(
  id: string,
  watch: Watch<Values>,
  options: Waiting = {},
): ValuesView<Values> {
  return useRoomStore(useRoom(id).values(watch), options);
}
