/** The state of a room (docs/presence.md): `@arqon/sdk/state`. */
export { roomState } from "./room/stateful_room.ts";
export type { StateChanges, StatefulRoom } from "./room/stateful_room.ts";
export type { GetOptions, RoomEvent, RoomRead, RoomState, RoomValue } from "./state/room_state.ts";
