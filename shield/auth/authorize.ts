/**
 * Authorization of an identity: grants, tenant, reserved event types, signals, commands. Pure decisions; `bans.ts` has
 * bans, `signature.ts` signatures; expiry and limits are checked elsewhere.
 */
import { ArqonError, matchesRoomPattern } from "@arqon/proto";
import { fullCommandName } from "../../shared/records/command_name.ts";
import { reservedRoom } from "../../shared/rooms/reserved.ts";
import type { Action, Grant, Identity, Role } from "./identity.ts";

/** The prefixes of event types that only the Shield, the Brain and backends may send. */
const RESERVED_TYPES = ["PRESENCE_", "ROOM_", "SYSTEM_"];

/** True when the token's grants allow `action` in `room`; a token without grants allows everything. */
export function canAct(identity: Pick<Identity, "grants">, action: Action, room: string): boolean {
  const reserved = reservedRoom(room);
  if (reserved !== undefined) {
    const { of, grants } = reserved;
    const isChecked = (one: Grant) => one.is_checked === true && one.room === room;
    if (identity.grants?.some(isChecked)) return action === "subscribe";
    return action === "subscribe" && of !== undefined && grants !== undefined &&
      grants.every((needed) => canAct(identity, needed, of));
  }
  if (identity.grants === undefined) return true;
  for (const grant of identity.grants) {
    if (grant.actions.includes(action) && matchesRoomPattern(grant.room, room)) return true;
  }
  return false;
}

/** An identity with grants beyond its token; an identity whose token has no grants may do everything. */
export function withGrants(identity: Identity, more: readonly Grant[] = []): Identity {
  if (identity.grants === undefined || more.length === 0) return identity;
  return { ...identity, grants: [...identity.grants, ...more] };
}

/** The refusal of an action without a grant. `room` must be a checked id: the client sees it. */
export function notGranted(action: Action, room: string): ArqonError {
  return new ArqonError("not-granted", `${action} in ${room}`, { room, action });
}

/** Throws `not-granted` (403). `room` must be a checked id: it is shown to the client. */
export function requireGrant(
  identity: Pick<Identity, "grants">,
  action: Action,
  room: string,
): void {
  if (!canAct(identity, action, room)) throw notGranted(action, room);
}

/**
 * True when one of the token's grants allows `action` in every room that a pattern, which ends in `*`, can match; a
 * token without grants allows everything. Several grants that cover the pattern only together do not.
 */
export function canActInAll(
  { grants }: Pick<Identity, "grants">,
  action: Action,
  pattern: string,
): boolean {
  if (grants === undefined) return true;
  const prefix = pattern.slice(0, -1);
  return grants.some(({ room, actions }) =>
    actions.includes(action) && room.endsWith("*") && matchesRoomPattern(room, prefix)
  );
}

/** Throws `tenant-mismatch` (403) when an envelope names a tenant other than the token's. */
export function requireTenant(identity: Pick<Identity, "tenant_id">, named: string): void {
  if (named !== "" && named !== identity.tenant_id) throw new ArqonError("tenant-mismatch");
}

/** Whether the event is one of those that only the bus and backends may send. */
export function isReservedType(type: string): boolean {
  return RESERVED_TYPES.some((prefix) => type.startsWith(prefix));
}

/** Throws `reserved-type` (403) if a `user` sends a type with a reserved prefix. */
export function requireEventType(role: Role, type: string): void {
  if (role !== "user") return;
  for (const prefix of RESERVED_TYPES) {
    if (type.startsWith(prefix)) throw new ArqonError("reserved-type", `${prefix}*`);
  }
}

/** Throws `signal-forbidden` (403): a `user` never sends a SystemSignal. */
export function requireSignalRole(role: Role): void {
  if (role === "user") throw new ArqonError("signal-forbidden", "no SystemSignal with role user");
}

/** Commands that affect other users or list bans. */
const MODERATION = /^room\.(?:kick|ban|unban|bans)$/;

/** Whether a command bans or unbans. */
export const isModeration = (name: string) => MODERATION.test(fullCommandName(name));

/**
 * The actions of commands of capabilities by their full names, where they are not `command`. A command of `nobody` is
 * sent by Shields only, for an admin and after their own check.
 */
export type CommandActions = Readonly<Record<string, Action | "nobody">>;

/** Throws `command-forbidden` (403) when the role may not send a command of that name. */
export function requireCommandRole(role: Role, name: string, own: CommandActions = {}): void {
  if (role === "user" && isModeration(name) || own[fullCommandName(name)] === "nobody") {
    throw new ArqonError("command-forbidden", name);
  }
}

/** The action that a grant must allow for a command in its room. */
export function commandAction(name: string, own: CommandActions = {}): Action {
  const action = own[fullCommandName(name)];
  return action === undefined || action === "nobody" ? "command" : action;
}

/** Throws `role-forbidden` (403) unless the identity has exactly this role (admin API). */
export function requireRole(identity: Pick<Identity, "role">, role: Role): void {
  if (identity.role !== role) throw new ArqonError("role-forbidden", `this needs role ${role}`);
}

/**
 * Whether `next` continues `current` on the same connection (REFRESH): same issuer, subject and
 * tenant. Throws `refresh-mismatch` (401, closes with 4401).
 */
export function requireSameUser(current: Identity, next: Identity): void {
  if (current.user_key !== next.user_key || current.tenant_id !== next.tenant_id) {
    throw new ArqonError("refresh-mismatch", "another subject or tenant");
  }
}
