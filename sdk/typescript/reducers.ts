/**
 * Rooms that are programs: `@arqon/sdk/reducers`. Calls, values as they change, and calls that are seen at once. A
 * program that does not import it does not load it. What a reducer is, and what a call comes to, is in
 * docs/rooms-as-programs.md, values are in docs/room-values.md.
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
import { strictText } from "@arqon/proto";
import {
  callRoom,
  type Calls,
  type CallsOf,
  type EventsOf,
  type ReducedCalls,
  type RoomTypes,
  type ValuesOf,
} from "./reducers/calls.ts";
import type { Message } from "./message/message.ts";
import { type ServedModule, servedModule } from "./reducers/served_module.ts";
import { WatchedValues, type WatchOptions } from "./reducers/watched_values.ts";
import type { Room } from "./room/room.ts";
import type { JsonInput } from "./wire/json.ts";

export type { Called, CallOptions, Calls, RoomTypes } from "./reducers/calls.ts";
export { optimistic } from "./reducers/optimistic.ts";
export type { OptimisticOptions, OptimisticRoom } from "./reducers/optimistic.ts";
export type { ServedModule } from "./reducers/served_module.ts";
export type { ReducedValue, ValueChanges } from "./reducers/values_view.ts";
export type { ValuesChanged, WatchedValues, WatchOptions } from "./reducers/watched_values.ts";

/** A room that is a program. */
export interface ReducedRoom<Known extends Calls | RoomTypes> extends ReducedCalls<CallsOf<Known>> {
  readonly state: {
    /**
     * Watches the values that the room's class shows below a prefix, all of them without one: they are read, then
     * their changes are heard, also over reconnects. It is over with `invalid-command` where the room shows none.
     */
    watch(prefix?: string, options?: WatchOptions): WatchedValues<ValuesOf<Known>>;
  };
  /**
   * The module that is the room, metered, where the room's class says `reducer_public`. Rejects with `invalid-command`
   * where it does not.
   */
  module(signal?: AbortSignal): Promise<ServedModule>;
  /**
   * What a message of the room says: its type and data, from JSON where it is such, else a text, else bytes. Undefined
   * for a message of the system. Nothing checks that the room tells what its types say.
   */
  event(message: Message): EventsOf<Known> | undefined;
}

function eventOf({ type, data, signal }: Message) {
  if (signal !== undefined) return undefined;
  const text = textOf(data);
  if (text === undefined) return { type, data };
  try {
    return { type, data: JSON.parse(text) };
  } catch {
    return { type, data: text };
  }
}

function textOf(data: Uint8Array): string | undefined {
  try {
    return strictText(data);
  } catch {
    return undefined;
  }
}

/**
 * The same room, whose reducer knows these commands; or is what `arq reducer types` has made of its schema, so that
 * names, data, answers, events and values are checked by the compiler.
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
