/** The state of a room, `roomState`, and the repair of missed changes. */
import { ask, type CommandOptions, type JsonInput, patiently } from "../request/room_request.ts";
import type { GetOptions, RoomEvent, RoomPosition, RoomState } from "../state/room_state.ts";
import type { RoomValue } from "../state/room_state.ts";
import { ROOM_UPDATE, StateRepair } from "../state/state_repair.ts";
import { loopOver } from "../subscription/subscription.ts";
import type { SubscribeOptions, Subscription } from "../subscription/subscription.ts";
import { requireIn } from "../message/message.ts";
import { portOf, Room } from "./room.ts";

/** The changes of a room's state, beginning with the whole state. */
export interface StateChanges
  extends
    AsyncIterableIterator<RoomEvent, undefined>,
    Pick<Subscription, "ready" | "close">,
    Disposable {}

/** The state of one room, created by `roomState`. It caches nothing: create any number of them. */
export interface StatefulRoom {
  /** Reads one key, or the whole state. Any Brain that has applied `after_version` may answer. */
  get(key: string, options?: GetOptions): Promise<RoomValue>;
  get(key?: undefined, options?: GetOptions): Promise<RoomState>;
  /** Writes one key; with `expect_version` only if the room has not changed since. */
  set(key: string, value: JsonInput, options?: CommandOptions): Promise<RoomPosition>;
  /** Removes one key. */
  delete(key: string, options?: CommandOptions): Promise<RoomPosition>;
  /**
   * Follows the state. The first event is the whole state, `op: "state"`; then each change follows once and in order.
   * If a change is no longer available, or this loop was too slow, the next event is the whole state again. It takes
   * the options of `Room.subscribe`, and ends like that, but throws after a kick or a ban; reading the state needs the
   * grant `command`, and is retried for a minute.
   */
  changes(options?: SubscribeOptions): StateChanges;
}

/**
 * The state of a room. From the first call on a connection, all its loops get each change of a room's state, a message
 * `ROOM_UPDATE`, once and in order: changes missed by a GAP or a reconnect are fetched. Without that call, they get the
 * delivered changes, and a GAP means that some may be missing.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { roomState } from "@arqon/sdk/state";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * const state = roomState(bus.room("jobs"));
 * await state.set("topic", "tea");
 * console.log((await state.get("topic")).value);
 * ```
 */
export function roomState(room: Room): StatefulRoom {
  mended(room);
  return {
    get: (key?: string, { events_after, ...options }: GetOptions = {}) =>
      ask<RoomValue & RoomState>(room, "room.get", { key, events_after }, options),
    set: (key, value, options = {}) => ask(room, "room.set", { key, value }, options),
    delete: (key, options = {}) => ask(room, "room.delete", { key }, options),
    changes: (options) => followState(room, options),
  };
}

function mended(room: Room) {
  const port = portOf(room);
  return port.subscriptions.mend((entry, options) =>
    new StateRepair(new Room(entry.room, port), entry, options)
  );
}

/** As `StatefulRoom.changes`; readings of the state are retried for `patience_ms`. */
export function followState(
  room: Room,
  options: SubscribeOptions = {},
  patience_ms?: number,
): StateChanges {
  const repairOf = mended(room);
  const source = room.subscribe(options);
  repairOf(room.id)?.follow();
  const { signal } = options;
  const whole = async (after_version = 0) => {
    const get = () => ask<object>(room, "room.get", {}, { after_version, signal });
    const state = await patiently(get, signal, patience_ms);
    return { op: "state", by: "", at_ms: Date.now(), ...state } as RoomEvent;
  };
  return loopOver(source, changesOf(source, whole));
}

async function* changesOf(
  source: Subscription,
  whole: (after_version?: number) => Promise<RoomEvent>,
): AsyncGenerator<RoomEvent, undefined> {
  await source.ready;
  let last = await whole();
  yield last;
  for await (const message of source) {
    requireIn(source.room, message);
    const dropped = message.signal?.reason.endsWith("dropped here");
    if (message.sender !== "" || !dropped && message.type !== ROOM_UPDATE) continue;
    const event = dropped ? undefined : message.json<RoomEvent>();
    const { epoch, version } = last;
    if (event?.epoch === epoch && event.version <= version) continue;
    const follows = event?.op === "state" || event?.first ||
      (event?.epoch === epoch && event.version === version + 1);
    const next = follows ? event! : await whole(event?.version);
    if (next.epoch === epoch && next.version === version) continue;
    yield last = next;
  }
}
