/**
 * Rooms that are programs: `@arqon/sdk/reducers`. Calls, live values, and optimistic calls. Only programs that import
 * it load it. docs/rooms-as-programs.md describes reducers and the outcomes of calls, docs/room-values.md values.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { reduced } from "@arqon/sdk/reducers";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * const auction = reduced<{ open: [number, null]; bid: [number, number] }>(bus.room("auction-1"));
 * using values = auction.state.watch();
 * values.changed(({ changes }) => console.log(changes));
 * await values.ready;
 * const { answer } = await auction.call("bid", 100);
 * console.log(answer, values.read("highest"));
 * ```
 */
import { utf8OrUndefined } from "@arqon/proto";
import { callRoom, servedModule } from "./reducers/calls.ts";
import type { Calls, EventsOf, ReducedRoom, RoomTypes } from "./reducers/calls.ts";
import type { Message } from "./message/message.ts";
import { WatchedValues } from "./reducers/watched_values.ts";
import type { Room } from "./room/room.ts";
import type { JsonInput } from "./request/room_request.ts";

export type { Called, CallOptions, Calls, ReducedRoom, RoomTypes } from "./reducers/calls.ts";
export { optimistic } from "./reducers/optimistic.ts";
export type { OptimisticOptions, OptimisticRoom } from "./reducers/optimistic.ts";
export type { ServedModule } from "./reducers/calls.ts";
export type { ReducedValue, ValueChanges } from "./reducers/watched_values.ts";
export type { ValuesChanged, WatchedValues, WatchOptions } from "./reducers/watched_values.ts";

function eventOf({ type, data, signal }: Message) {
  if (signal !== undefined) return undefined;
  const text = utf8OrUndefined(data);
  try {
    return { type, data: JSON.parse(text ?? "") };
  } catch {
    // It is no JSON, or no text.
    return { type, data: text ?? data };
  }
}

/**
 * The same room with the types of its reducer: its commands, or the types that `arq reducer types` generates from its
 * schema, so that the compiler checks names, data, answers, events and values.
 */
export function reduced<
  Known extends Calls | RoomTypes = Record<string, [JsonInput | Uint8Array | undefined, unknown]>,
>(room: Room): ReducedRoom<Known> {
  return {
    id: room.id,
    call: (command, ...[data, options]) => callRoom(room, command, data, options),
    state: { watch: (prefix = "", options = {}) => new WatchedValues(room, prefix, options) },
    module: (signal) => servedModule(room, signal),
    event: (message) => eventOf(message) as EventsOf<Known> | undefined,
  };
}
