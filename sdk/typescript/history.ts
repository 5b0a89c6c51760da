/**
 * What a durable room has stored, to read and to begin with: `@arqon/sdk/history`. A program that does not import
 * it does not load it. What a room stores is in docs/durable.md.
 */
export { history } from "./request/history.ts";
export type { HistoryOptions, RoomHistory } from "./request/history.ts";
export { replay } from "./subscription/replay.ts";
export type { ReplayOptions } from "./subscription/replay.ts";
