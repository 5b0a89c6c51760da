/** Reads the stored messages of a durable room (docs/durable.md): `@arqon/sdk/history`. */
export { history, replay } from "./subscription/replay.ts";
export type { HistoryOptions, ReplayOptions, RoomHistory } from "./subscription/replay.ts";
