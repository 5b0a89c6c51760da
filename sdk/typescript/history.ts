/** Reads the stored messages of a durable room (docs/durable.md): `@arqon/sdk/history`. */
export { history } from "./request/history.ts";
export type { HistoryOptions, RoomHistory } from "./request/history.ts";
export { replay } from "./subscription/replay.ts";
export type { ReplayOptions } from "./subscription/replay.ts";
