/**
 * React hooks for ArqonBus, on the stores of `@arqon/sdk/stores`; for React 18 and 19. A hook's room is subscribed
 * while a component that uses it is mounted, and a component only renders again for the values that it uses.
 *
 * ```ts
 * import { createElement } from "react";
 * import { ArqonProvider, createClient, useMessages } from "@arqon/react";
 *
 * const getToken = async () => await (await fetch("/my-token")).text();
 * const client = createClient({ url: "wss://bus.example.com", getToken });
 *
 * function Count() {
 *   return useMessages("lobby").messages.length;
 * }
 *
 * const app = createElement(ArqonProvider, { client }, createElement(Count));
 * console.log(app); // for createRoot(…).render(app)
 * ```
 */
"use client";
export { createClient } from "@arqon/sdk/stores";
export type { BusClient, RoomStores, Store } from "@arqon/sdk/stores";
export { ArqonProvider, useClient, useConnection, useMessages } from "./room_hooks.ts";
export { useRoom, useStore } from "./room_hooks.ts";
export { useLock, usePresence, useReduced, useRoomState, useRoomValue } from "./room_hooks.ts";
export type { Messages, Presence, PresenceHookOptions, State } from "./room_hooks.ts";
export type { Lock, MessagesHookOptions, ProviderProps, Waiting } from "./room_hooks.ts";
