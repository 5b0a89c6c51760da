/** The hooks: each binds one store of a room, or of the connection, to a component below the client's provider. */
"use client";
import { createContext, createElement, useCallback, useContext, useEffect } from "react";
import { type ReactElement, type ReactNode, useSyncExternalStore } from "react";
import { type PresenceView, type RoomStores, type RoomView, whenReady } from "@arqon/sdk/stores";
import type { BusClient, LockStore, LockView, MessagesOptions } from "@arqon/sdk/stores";
import type { MessageStore, MessagesView, PresenceOptions, PresenceStore } from "@arqon/sdk/stores";
import type { StateStore, StateView, Store } from "@arqon/sdk/stores";
import type { ValuesView, Watch, Watched } from "@arqon/sdk/stores";
import type { Json, Status } from "@arqon/sdk";

const Client = createContext<BusClient | undefined>(undefined);

/** The props of `ArqonProvider`. */
export interface ProviderProps {
  /** The result of `createClient`, called once, outside of components. */
  readonly client: BusClient;
  readonly children?: ReactNode;
}

/** Provides the client to the components below it, and keeps its connection open while mounted. */
export function ArqonProvider({ client, children }: ProviderProps): ReactElement {
  useEffect(() => client.connection.subscribe(() => {}), [client]);
  return createElement(Client.Provider, { value: client }, children);
}

/** The client of the nearest provider above. Throws an Error if there is none. */
export function useClient(): BusClient {
  const client = useContext(Client);
  if (!client) throw new Error("no <ArqonProvider> above");
  return client;
}

/** Options of every hook. */
export interface Waiting {
  /** True: the component suspends until the store is ready or has an error. Never on a server. */
  readonly suspense?: boolean;
}

/** The present view of any store; on a server and while hydrating its initial view. */
export function useStore<View>(store: Store<View>): View {
  return useSyncExternalStore(store.subscribe, store.get, () => store.initial);
}

function useRoomStore<View extends RoomView>(store: Store<View>, { suspense }: Waiting): View {
  const view = useStore(store);
  // A server has no connection, so it would wait forever.
  const waiting = suspense && "document" in globalThis ? whenReady(store) : undefined;
  if (waiting) throw waiting;
  return view;
}

/** The status of the connection. */
export function useConnection(): Status {
  return useStore(useClient().connection);
}

/** The stores of a room, its `publish`, and `use` for everything else. Does not subscribe to the room. */
export function useRoom(id: string): RoomStores {
  return useClient().room(id);
}

/** Options of `useMessages`. */
export type MessagesHookOptions = MessagesOptions & Waiting;

/** The result of `useMessages`. */
export type Messages = MessagesView & Pick<MessageStore, "more"> & Pick<RoomStores, "publish">;

/** The messages of a room, with functions that load older ones and publish. */
export function useMessages(id: string, options: MessagesHookOptions = {}): Messages {
  const room = useRoom(id);
  const store = room.messages(options);
  return { ...useRoomStore(store, options), more: store.more, publish: room.publish };
}

/** Options of `usePresence`. */
export interface PresenceHookOptions<Meta> extends Waiting {
  /** The initial metadata of this member. */
  readonly initial?: Meta;
  /** The shortest interval between sent updates, in ms; default 100. */
  readonly throttle_ms?: number;
  /** True: receive the list of members without being one. */
  readonly observer?: boolean;
}

/** The result of `usePresence`. */
export type Presence<Meta> = PresenceView<Meta> & Pick<PresenceStore<Meta>, "update">;

/** The other members of a room, and this client's metadata; this client is a member while mounted. */
export function usePresence<Meta = Json>(
  id: string,
  options: PresenceHookOptions<Meta> = {},
): Presence<Meta> {
  const { presence, members } = useRoom(id);
  const store = (options.observer ? members : presence) as unknown as PresenceStore<Meta>;
  const { initial, throttle_ms } = options;
  const begin = () => store.begin({ initial, throttle_ms } as PresenceOptions);
  // Before the store's effect, so that the subscription begins with these options.
  useEffect(begin, [store, throttle_ms]);
  try {
    return { ...useRoomStore(store, options), update: store.update };
  } catch (waiting) {
    begin();
    throw waiting;
  }
}

/** The result of `useRoomState`. */
export type State = StateView & Pick<StateStore, "set" | "delete">;

/** All keys of a room's state, with functions that write: a write is visible at once, and undone if refused. */
export function useRoomState(id: string, options: Waiting = {}): State {
  const { state } = useRoom(id);
  return { ...useRoomStore(state, options), set: state.set, delete: state.delete };
}

/**
 * One key of a room's state, with a function that writes it. The component only renders again for this key.
 * `fallback` is the value of a missing key; the type `Value` is not checked.
 */
export function useRoomValue<Value extends Json>(
  id: string,
  key: string,
  fallback: Value,
): [value: Value, set: (value: Value) => Promise<void>] {
  const { state } = useRoom(id);
  const of = ({ state }: StateView) => (Object.hasOwn(state, key) ? state[key] : undefined);
  const value = useSyncExternalStore(state.subscribe, () => of(state.get()), () => undefined);
  const set = useCallback((value: Value) => {
    const done = state.set(key, value);
    // The store's view has the error, too, so a caller that does not await gets no unhandled rejection.
    done.catch(() => {});
    return done;
  }, [state, key]);
  return [value === undefined ? fallback : value as Value, set];
}

/** The result of `useLock`. */
export type Lock = LockView & Pick<LockStore, "acquire" | "release">;

/** The lock of a room: its holder, whether this client holds it, and functions that acquire and release it. */
export function useLock(id: string, options: Waiting = {}): Lock {
  const { lock } = useRoom(id);
  return { ...useRoomStore(lock, options), acquire: lock.acquire, release: lock.release };
}

/**
 * The live visible values of a room with a reducer. `watch` is a function outside of the component, such as
 * `(room) => reduced<Sale>(room).state.watch()`; it determines the types of the values.
 */
export function useReduced<Values extends Watched>(
  id: string,
  watch: Watch<Values>,
  options: Waiting = {},
): ValuesView<Values> {
  return useRoomStore(useRoom(id).values(watch), options);
}
