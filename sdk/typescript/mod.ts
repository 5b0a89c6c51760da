/**
 * The ArqonBus client for Deno, Node 22 and browsers: web-platform globals only.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 *
 * const getToken = async () => await (await fetch("/my-token")).text();
 * await using bus = await connect({ url: "wss://bus.example.com", getToken });
 * const room = bus.room("lobby");
 * await room.publish("chat", { text: "hello" });
 * for await (const message of room.subscribe()) console.log(message.sender, message.json());
 * ```
 */
export { connect, Connection } from "./connection.ts";
export type { ConnectOptions, SocketLike, Status, TokenRequest } from "./options.ts";
export type { WebSocketConstructor } from "./options.ts";
export type { PlatformEvents } from "./platform_events.ts";
export { ed25519Signer } from "./signing.ts";
export type { Signer } from "./signing.ts";
export { Room } from "./room.ts";
export type { CommandOptions, CommandResult, Data, PublishOptions } from "./room_request.ts";
export { standardCodec } from "./codec.ts";
export type { Codec, StandardIssue, StandardResult, StandardSchema } from "./codec.ts";
export { TypedRoom, typedRoom } from "./typed_room.ts";
export type {
  TypedMessage,
  TypedPublishOptions,
  TypedSubscribeOptions,
  TypedSubscription,
} from "./typed_room.ts";
export { holdLock, withLock } from "./held_lock.ts";
export type { HeldLock, HoldLockOptions } from "./held_lock.ts";
export type { Listener, MessageHandler } from "./listener.ts";
export type { Overflow } from "./message_buffer.ts";
export type {
  BanOptions,
  BanScope,
  GetOptions,
  KickOptions,
  KickTarget,
  LockOptions,
  RoomEvent,
  RoomLock,
  RoomPosition,
  RoomRead,
  RoomState,
  RoomValue,
  UnbanOptions,
} from "./room_state.ts";
export type { HistoryOptions, RoomHistory } from "./history.ts";
export type { Position } from "./position.ts";
export type { Json, JsonInput } from "./json.ts";
export type { PresenceSubscription, SubscribeOptions, Subscription } from "./subscription.ts";
export { Presence } from "./presence.ts";
export type { PresenceChanges } from "./presence.ts";
export type { Member, MemberCount } from "./member_table.ts";
export { Message } from "./message.ts";
export { parseAddress } from "./address.ts";
export type { Address } from "./address.ts";
export type { Backoff } from "./backoff.ts";
export { errorFromWire } from "./wire_error.ts";
export { ArqonError } from "@arqon/proto";
export type { Ack, PlainSignal, Reason, Uint64, Welcome } from "@arqon/proto";
