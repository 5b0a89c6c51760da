/**
 * The state of a room: `@arqon/sdk/state`. A program that does not import it does not load it. What a state is, and
 * what its versions are for, is in docs/presence.md.
 */
export { roomState } from "./room/stateful_room.ts";
export type { StateChanges, StatefulRoom } from "./room/stateful_room.ts";
export type { GetOptions, RoomEvent, RoomRead, RoomState, RoomValue } from "./state/room_state.ts";
