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
export { connect, Connection } from "./connection/connection.ts";
export { explain } from "./connection/explanation.ts";
export type { Asker, Explainable, ExplainOptions, Explanation } from "./connection/explanation.ts";
export type { Position } from "./durable/position.ts";
export { Message } from "./message/message.ts";
export type { Overflow } from "./message/message_buffer.ts";
export { parseAddress } from "./options/options.ts";
export type { Address, ConnectOptions, PlatformEvents, SocketLike } from "./options/options.ts";
export type { Status, TokenRequest, WebSocketConstructor } from "./options/options.ts";
export { Presence } from "./presence/presence.ts";
export type { Member, MemberCount, PresenceChanges } from "./presence/presence.ts";
export type { CommandOptions, CommandResult, Data, Handed, Json } from "./request/room_request.ts";
export type { JsonInput, Published, PublishOptions } from "./request/room_request.ts";
export { ed25519Signer } from "./request/signing.ts";
export type { Signer } from "./request/signing.ts";
export { standardCodec, TypedRoom, typedRoom } from "./room/typed_room.ts";
export type { Codec, StandardIssue, StandardResult, StandardSchema } from "./room/typed_room.ts";
export type { TypedMessage, TypedPublishOptions } from "./room/typed_room.ts";
export type { TypedSubscribeOptions, TypedSubscription } from "./room/typed_room.ts";
export { holdLock, withLock } from "./room/held_lock.ts";
export type { HeldLock, HoldLockOptions } from "./room/held_lock.ts";
export { Room } from "./room/room.ts";
export type { Listener, MessageHandler } from "./room/room.ts";
export type { BanOptions, BanScope, KickOptions, KickTarget } from "./state/room_state.ts";
export type { LockOptions, RoomLock, RoomPosition, UnbanOptions } from "./state/room_state.ts";
export type { Beginning, PresenceSubscription } from "./subscription/subscription.ts";
export type { SubscribeOptions, Subscription } from "./subscription/subscription.ts";
export type { Backoff } from "./time/clock.ts";
export { errorFromWire } from "./wire/wire_error.ts";
export { ArqonError } from "@arqon/proto";
export type { Ack, PlainSignal, Reason, Uint64, Welcome } from "@arqon/proto";
