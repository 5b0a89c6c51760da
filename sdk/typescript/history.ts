/** What a durable room has stored (docs/durable.md): `@arqon/sdk/history`. */
export { history } from "./request/history.ts";
export type { HistoryOptions, RoomHistory } from "./request/history.ts";
export { replay } from "./subscription/replay.ts";
export type { ReplayOptions } from "./subscription/replay.ts";
