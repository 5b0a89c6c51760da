/**
 * A ban as stored in the bucket `ARQON_BANS`: the Brain writes it, every Shield watches. Only the stored form: the
 * Brain decides who may ban, `shield/auth/bans.ts` applies bans.
 */
import { isId } from "@arqon/proto";
import { z } from "zod";
import type { KvKey } from "../spine/contract/spine.ts";
import { requireForm, requireStored, type StoredAs, storedBytes } from "./stored.ts";

/** The bucket of all tenants' bans. */
export const BANS_BUCKET = "ARQON_BANS";
/** In place of a room id: the whole tenant. No room can have this id. */
export const EVERY_ROOM = "*";
/** Longest reason, in UTF-16 units. */
export const BAN_REASON_UNITS_MAX = 256;
/** Longest user id, in UTF-8 bytes; no token has a longer one. */
const USER_BYTES_MAX = 128;

/** Whether a token can have this text as its `sub`. */
export const isUserId = (text: string): boolean =>
  text !== "" && text.isWellFormed() && new TextEncoder().encode(text).length <= USER_BYTES_MAX;

/** Unix ms, at most what a Date can hold. */
export const StoredTime = z.int().min(0).max(8_640_000_000_000_000);
const Ban = z.strictObject({
  user_id: z.string().refine(isUserId, { error: "expected 1 to 128 bytes" }),
  /** The room; `EVERY_ROOM`: the whole tenant. */
  room_id: z.string().refine((id) => id === EVERY_ROOM || isId(id), {
    error: 'expected a room id or "*"',
  }),
  /** When the ban ends, Unix ms, at most what a Date can hold; 0: never. */
  until_ms: StoredTime,
  reason: z.string().max(BAN_REASON_UNITS_MAX),
  /** User id of the admin who banned. */
  by: z.string().max(BAN_REASON_UNITS_MAX),
  /** Unix ms. */
  created_ms: StoredTime,
});
const Stored = Ban.extend({ format: z.literal(1) });

/** A user banned from one room or the whole tenant, whichever issuer signed the user's token. */
export type Ban = StoredAs<typeof Ban>;

/** The key of a user's ban in the bucket. `room_id` may be `EVERY_ROOM`. */
export function banKey(tenant_id: string, room_id: string, user_id: string): KvKey {
  return [tenant_id, room_id, user_id];
}

/** The tenant, room and user in a key of the bucket; undefined for any other key. */
export function parseBanKey(
  key: KvKey,
): { tenant_id: string; room_id: string; user_id: string } | undefined {
  const [tenant_id = "", room_id = "", user_id = ""] = key;
  const room = room_id === EVERY_ROOM || isId(room_id);
  if (key.length !== 3 || !isId(tenant_id) || !room || !isUserId(user_id)) return undefined;
  return { tenant_id, room_id, user_id };
}

/** The stored form. Throws TypeError, naming the fault, for a ban that no reader would accept. */
export function encodeBan({ user_id, room_id, until_ms, reason, by, created_ms }: Ban): Uint8Array {
  const stored = { format: 1, user_id, room_id, until_ms, reason, by, created_ms };
  requireForm(stored, Stored, "ban");
  return storedBytes(stored);
}

/** As `requireStored`. The caller checks that the ban is stored under its own key. */
export function decodeBan(bytes: Uint8Array): Ban {
  const { format: _format, ...ban } = requireStored(bytes, Stored, "ban");
  return ban;
}

/** Whether a ban, or a revocation, is active at that time (Unix ms). */
export function isActive({ until_ms }: Pick<Ban, "until_ms">, now_ms: number): boolean {
  return until_ms === 0 || now_ms < until_ms;
}
