/**
 * Limits of growing messages: which rooms and producers can have one, and how many. Also the context of the commands in
 * `growing.ts`.
 */
import { ArqonError } from "@arqon/proto";
import { growingRoomOf } from "../../shared/rooms/reserved.ts";
import type { Identity } from "../auth/identity.ts";
import { isSignatureRequired } from "../message/signature.ts";
import type { JudgingContext } from "./policy_verdict.ts";
import type { GrowingBounds } from "./record.ts";
import type { GrowingKey } from "./records.ts";
import type { SettlingContext } from "./message_end.ts";

/** What the commands of growing messages need, with the limits at this moment. */
export interface GrowingContext extends SettlingContext {
  /** Judges the text before readers receive it. */
  readonly overseer: JudgingContext["overseer"];
  readonly bounds: () => GrowingBounds & {
    readonly held_bytes: number;
    readonly room_messages: number;
    readonly tenant_messages: number;
    readonly idle_ms: number;
  };
}

/** Throws when the class of a room has a filter: all readers of a growing message receive the same text. */
export function requireUnfiltered(
  { path }: Pick<GrowingContext, "path">,
  tenant_id: string,
  room_id: string,
): void {
  if (path.classes.of(tenant_id, room_id).filter === undefined) return;
  throw new ArqonError("growing-forbidden", `the class of ${room_id} has a filter`);
}

/** Throws when no message of that room and producer can grow. */
export function requirePossible(
  context: GrowingContext,
  { tenant_id, role }: Identity,
  room_id: string,
): void {
  const { path } = context;
  if (growingRoomOf(room_id) === undefined) {
    throw new ArqonError("invalid-room", `${room_id}: messages grow in rooms with ids of up to 56`);
  }
  requireUnfiltered(context, tenant_id, room_id);
  if (isSignatureRequired(path.signatures.of(tenant_id), role, room_id)) {
    throw new ArqonError("growing-forbidden", `messages of ${room_id} must be signed`);
  }
}

/** Throws `growing-limit` beyond the limit. Concurrent starts, and those of other Shields, may exceed it by a few. */
export async function requirePlace(
  { records, bounds, stats }: GrowingContext,
  { tenant_id, room_id }: GrowingKey,
): Promise<void> {
  const { room_messages, tenant_messages } = bounds();
  const all = [...await records.roomsOf(tenant_id)];
  if (all.filter((one) => one === room_id).length >= room_messages) {
    stats.bound("room_messages");
    throw new ArqonError("growing-limit", `${room_messages} messages grow in ${room_id}`);
  }
  if (all.length >= tenant_messages) {
    stats.bound("tenant_messages");
    throw new ArqonError("growing-limit", `${tenant_messages} messages of the tenant grow`);
  }
}
