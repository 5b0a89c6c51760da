/**
 * A ban as it is in the bucket `ARQON_BANS`: the Brain writes it, every Shield watches. Only the
 * stored form; who may ban is the Brain's business, what a ban does is `shield/auth/bans.ts`.
 */
import { isId } from "@arqon/proto";
import { z } from "zod";
import type { KvKey } from "../spine/contract/spine.ts";
import { requireFormat } from "./stored.ts";

/** The bucket of all tenants' bans. */
export const BANS_BUCKET = "ARQON_BANS";
/** Stands in place of a room id for the whole tenant. No room can have this id. */
export const EVERY_ROOM = "*";
/** Longest reason, in UTF-16 units. */
export const BAN_REASON_UNITS_MAX = 256;
/** Longest user id, in UTF-8 bytes; no token has a longer one. */
const USER_BYTES_MAX = 128;
/** The latest moment that a Date can hold. */
const TIME_MS_MAX = 8_640_000_000_000_000;

/** Whether a token can have this text as its `sub`. */
export const isUserId = (text: string): boolean =>
  text !== "" && text.isWellFormed() && new TextEncoder().encode(text).length <= USER_BYTES_MAX;

const Stored = z.strictObject({
  format: z.literal(1),
  user_id: z.string().refine(isUserId, { error: "expected 1 to 128 bytes" }),
  room_id: z.string().refine((id) => id === EVERY_ROOM || isId(id), {
    error: 'expected a room id or "*"',
  }),
  until_ms: z.int().min(0).max(TIME_MS_MAX),
  reason: z.string().max(BAN_REASON_UNITS_MAX),
  by: z.string().max(BAN_REASON_UNITS_MAX),
  created_ms: z.int().min(0).max(TIME_MS_MAX),
});

/** One user kept out of one room or of the whole tenant, whatever issuer vouches for the user id. */
export interface Ban {
  readonly user_id: string;
  /** The room; `EVERY_ROOM`: the whole tenant. */
  readonly room_id: string;
  /** When the ban ends, Unix ms, at most what a Date can hold; 0: never. */
  readonly until_ms: number;
  /** The reason for people, the banned one included; at most `BAN_REASON_UNITS_MAX`. */
  readonly reason: string;
  /** User id of who banned. */
  readonly by: string;
  /** Unix ms. */
  readonly created_ms: number;
}

/** The key of a user's ban in the bucket. `room_id` may be `EVERY_ROOM`. */
export function banKey(tenant_id: string, room_id: string, user_id: string): KvKey {
  return [tenant_id, room_id, user_id];
}

/** The tenant, room and user of a key in the bucket; undefined when it is no ban's key. */
export function parseBanKey(
  key: KvKey,
): { tenant_id: string; room_id: string; user_id: string } | undefined {
  const [tenant_id = "", room_id = "", user_id = ""] = key;
  const room = room_id === EVERY_ROOM || isId(room_id);
  if (key.length !== 3 || !isId(tenant_id) || !room || !isUserId(user_id)) return undefined;
  return { tenant_id, room_id, user_id };
}

/** The stored form. Throws TypeError, with what is wrong, for a ban that no reader would take. */
export function encodeBan(ban: Ban): Uint8Array {
  const { user_id, room_id, until_ms, reason, by, created_ms } = ban;
  const stored = { format: 1, user_id, room_id, until_ms, reason, by, created_ms };
  const parsed = Stored.safeParse(stored);
  if (!parsed.success) throw new TypeError(`not a ban: ${problemText(parsed.error)}`);
  return new TextEncoder().encode(JSON.stringify(stored));
}

/**
 * Reads a stored ban. Throws TypeError that says what is wrong, or `incompatible-version`: nothing is guessed at. The caller
 * compares whether it is stored under its own key.
 */
export function decodeBan(bytes: Uint8Array): Ban {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new TypeError("not a ban: it is not JSON", { cause });
  }
  requireFormat(value, "ban");
  const parsed = Stored.safeParse(value);
  if (!parsed.success) throw new TypeError(`not a ban: ${problemText(parsed.error)}`);
  const { format: _format, ...ban } = parsed.data;
  return ban;
}

/** Whether the ban still holds at that moment (Unix ms). */
export function isActive({ until_ms }: Pick<Ban, "until_ms">, now_ms: number): boolean {
  return until_ms === 0 || now_ms < until_ms;
}

function problemText({ issues }: z.ZodError): string {
  return issues.map(({ path, message }) => `${path.join(".") || "it"}: ${message}`).join("; ");
}
