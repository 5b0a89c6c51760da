/** The commands of a room's document: their names, and how their data is read. `apply.ts` applies them. */
import { createHash } from "node:crypto";
import { isId, JSON_DEPTH_MAX, nestsTooDeep } from "@arqon/proto";
import { BAN_REASON_UNITS_MAX } from "../../../shared/records/bans.ts";
import {
  invalidCommand,
  type Members,
  optionalInteger,
  optionalText,
  parsed,
} from "../../desk/command_data.ts";
import type { AnswerOwn, AskedCommand, OwnCommand, OwnCommands } from "../../desk/request.ts";
import type { BanScope, Conditions, RoomCommand } from "./command.ts";

/** Bounds of requests, from the config. */
export interface RequestLimits {
  /** Longest key of an entry, in bytes. */
  readonly key_bytes: number;
  /** Default lease of a lock, in ms. */
  readonly lock_ttl_ms: number;
  readonly lock_ttl_max_ms: number;
}

/** Longest user id that a token can have. */
const USER_ID_BYTES_MAX = 128;
/** Longest `ttl_ms` of a ban: ten years. Omit `ttl_ms` for a ban without expiry. */
const BAN_TTL_MAX_MS = 315_360_000_000;

/**
 * The key under which a command is remembered: users choose their command_ids independently. Hashed, so that it takes
 * 22 bytes of the document.
 */
function commandKey(user_id: string, command_id: string): string | undefined {
  if (command_id === "") return undefined;
  const digest = createHash("sha256").update(JSON.stringify([user_id, command_id])).digest();
  return digest.subarray(0, 16).toString("base64url");
}

function conditionsOf({ command, user_id, connection_id, trace_id }: AskedCommand): Conditions {
  const { expect_version, after_version, fence, epoch, command_id } = command;
  const command_key = commandKey(user_id, command_id);
  const from = { user_id, connection_id, trace_id };
  return { from, expect_version, after_version, fence, epoch, command_key };
}

function neededKey(name: string, members: Members, key_bytes: number): string {
  const key = optionalText(members, "key", key_bytes);
  if (key === undefined) throw invalidCommand(`${name} needs {"key":…}`);
  return key;
}

/** The value of an entry, which will be nested in other JSON; undefined without one. */
function readValue(members: Members): string | undefined {
  const value = members.get("value");
  if (value === undefined || !nestsTooDeep(value)) return value;
  throw invalidCommand(`"value" is nested more than ${JSON_DEPTH_MAX} levels deep`);
}

/** The user that the `command` is about. */
function readUserId(members: Members, command: string): string {
  const user_id = optionalText(members, "user_id", USER_ID_BYTES_MAX);
  if (user_id === undefined) throw invalidCommand(`${command} needs {"user_id":…}`);
  if (!user_id.isWellFormed()) throw invalidCommand('"user_id" must be well-formed Unicode');
  return user_id;
}

function readConnectionId(members: Members): string {
  const connection_id = parsed(members, "connection_id");
  if (typeof connection_id === "string" && isId(connection_id)) return connection_id;
  throw invalidCommand('"connection_id" must be 1 to 64 of [A-Za-z0-9_~:=-]');
}

/** A reason for people; "" without one. */
function readReason(members: Members): string {
  const reason = parsed(members, "reason") ?? "";
  const fits = typeof reason === "string" && reason.length <= BAN_REASON_UNITS_MAX &&
    reason.isWellFormed();
  if (fits) return reason;
  throw invalidCommand(`"reason" must be a string of at most ${BAN_REASON_UNITS_MAX} characters`);
}

/** The scope of a ban; by default the whole tenant. Throws `invalid-command`. */
export function readScope(members: Members): BanScope {
  const scope = parsed(members, "scope") ?? "tenant";
  if (scope === "tenant" || scope === "room") return scope;
  throw invalidCommand('"scope" must be "tenant" or "room"');
}

function readSet(members: Members, key_bytes: number) {
  const key = optionalText(members, "key", key_bytes);
  const value = readValue(members);
  if (key === undefined || value === undefined) {
    throw invalidCommand('room.set needs {"key":…,"value":…}');
  }
  return { kind: "set", key, value } as const;
}

function readKick(members: Members) {
  const user = members.has("user_id");
  if (user === members.has("connection_id")) {
    throw invalidCommand('room.kick needs either {"user_id":…} or {"connection_id":…}');
  }
  const target = user ? readUserId(members, "room.kick") : readConnectionId(members);
  const target_kind = user ? "user" as const : "connection" as const;
  return { kind: "kick", target_kind, target, reason: readReason(members) } as const;
}

type Without<Command> = Command extends Conditions ? Omit<Command, keyof Conditions> : never;

/** The commands; `run` executes one in its room. */
export function roomCommands(
  { key_bytes, lock_ttl_ms, lock_ttl_max_ms }: RequestLimits,
  run: (command: RoomCommand) => AnswerOwn,
): OwnCommands {
  const command = (
    members: readonly string[],
    read: (members: Members, name: string) => Without<RoomCommand>,
  ): OwnCommand => ({
    members,
    read: (asked) => run({ ...read(asked.members, asked.name), ...conditionsOf(asked) }),
  });
  return {
    "room.get": command(["key", "events_after"], (members) => ({
      kind: "get",
      key: optionalText(members, "key", key_bytes),
      events_after: optionalInteger(members, "events_after", 0, Number.MAX_SAFE_INTEGER),
    })),
    "room.set": command(["key", "value"], (members) => readSet(members, key_bytes)),
    "room.delete": command(["key"], (members, name) => ({
      kind: "delete",
      key: neededKey(name, members, key_bytes),
    })),
    "room.lock": command(["ttl_ms"], (members) => ({
      kind: "lock",
      ttl_ms: optionalInteger(members, "ttl_ms", 1, lock_ttl_max_ms) ??
        Math.min(lock_ttl_ms, lock_ttl_max_ms),
    })),
    "room.unlock": command([], () => ({ kind: "unlock" })),
    "room.kick": command(["user_id", "connection_id", "reason"], readKick),
    "room.ban": command(["user_id", "reason", "ttl_ms", "scope"], (members, name) => ({
      kind: "ban",
      user_id: readUserId(members, name),
      reason: readReason(members),
      ttl_ms: optionalInteger(members, "ttl_ms", 1, BAN_TTL_MAX_MS),
      scope: readScope(members),
    })),
    "room.unban": command(["user_id", "scope"], (members, name) => ({
      kind: "unban",
      user_id: readUserId(members, name),
      scope: readScope(members),
    })),
  };
}
