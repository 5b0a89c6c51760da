/**
 * Stores for web pages: the bus as observable values for React (`@arqon/react`), Vue, Svelte or any other framework.
 * They need no framework, and connect when the first store has a subscriber.
 *
 * ```ts
 * import { createClient } from "@arqon/sdk/stores";
 *
 * const getToken = async () => await (await fetch("/my-token")).text();
 * const client = createClient({ url: "wss://bus.example.com", getToken });
 * const lobby = client.room("lobby");
 * const stop = lobby.messages().subscribe(({ messages }) => console.log(messages.length));
 * await lobby.publish("chat", { text: "hello" });
 * stop();
 * ```
 */
export { BusClient, createClient } from "./stores/client.ts";
export type { LockView } from "./stores/state_store.ts";
export type { LockStore } from "./stores/state_store.ts";
export type { MessagesOptions, MessageStore, MessagesView } from "./stores/message_store.ts";
export type { MemberWith, PresenceOptions } from "./stores/presence_store.ts";
export type { PresenceStore, PresenceView } from "./stores/presence_store.ts";
export type { RoomStores } from "./stores/client.ts";
export type { StateStore, StateView } from "./stores/state_store.ts";
export type { ValuesStore, ValuesView, Watch, Watched } from "./stores/state_store.ts";
export { whenReady } from "./stores/store.ts";
export type { RoomView, Store } from "./stores/store.ts";
