/**
 * Reads a command from a stamped envelope of the Spine. Pure. The Shield has authorized the command; this file
 * validates it. `command_data.ts` reads its data.
 */
import { createHash } from "node:crypto";
import { ArqonError, readEnvelope } from "@arqon/proto";
import type { PlainCommand, PlainEnvelope } from "@arqon/proto";
import { PastAsk } from "../../../shared/records/reducer_past.ts";
import type { BansQuery } from "../desk/ban_query.ts";
import { callData } from "./call_data.ts";
import type { Conditions, RoomAddress, RoomCommand, Sender } from "./command.ts";
import {
  dataMembers,
  invalidCommand,
  optionalInteger,
  optionalText,
  readConnectionId,
  readKey,
  readReason,
  readScope,
  readUserId,
  readValue,
  shown,
} from "./command_data.ts";
import type { Members } from "./command_data.ts";

/** The commands that a Brain serves, with the members that their data may have. */
const MEMBERS = {
  "room.get": ["key", "events_after"],
  "room.set": ["key", "value"],
  "room.delete": ["key"],
  "room.lock": ["ttl_ms"],
  "room.unlock": [],
  "room.kick": ["user_id", "connection_id", "reason"],
  "room.ban": ["user_id", "reason", "ttl_ms", "scope"],
  "room.unban": ["user_id", "scope"],
  "room.bans": ["scope", "limit", "after"],
  "presence.list": ["limit", "after"],
  "presence.count": [],
  "room.call": ["command", "data"],
  "room.values": ["prefix", "after"],
  "room.module": ["from"],
  "room.past": ["ask"],
} as const satisfies Record<string, readonly string[]>;

/** A command for the reducer of a room. */
export interface Call {
  readonly command: string;
  readonly data: Uint8Array;
  /** The idempotency key; "": a repetition is a new command. */
  readonly id: string;
  readonly user_id: string;
}

/** A read of a reducer's visible values. */
export interface ValuesRead {
  /** Prefix of their keys; "": all. */
  readonly prefix: string;
  /** The last key of the previous page; "": the first page. */
  readonly after: string;
}

/** The full name of a command that this Brain serves. */
export type CommandName = keyof typeof MEMBERS;

/** A query for the members of a room; it reads no document. */
export type PresenceQuery =
  | { readonly kind: "list"; readonly limit: number; readonly after: string | undefined }
  | { readonly kind: "count" };

/** A parsed request. */
export type Request =
  | { readonly about: "room"; readonly command: RoomCommand }
  | { readonly about: "presence"; readonly query: PresenceQuery }
  | { readonly about: "bans"; readonly query: BansQuery }
  | { readonly about: "call"; readonly call: Call }
  | { readonly about: "values"; readonly query: ValuesRead }
  /** The room's module, from a byte on. */
  | { readonly about: "module"; readonly from: number }
  | { readonly about: "past"; readonly ask: PastAsk };

/** The fields of an envelope that the Brain reads. */
export interface CommandEnvelope {
  readonly trace_id: string;
  readonly sender_id: string;
  readonly command: PlainCommand;
}

/** Bounds of requests, from the config. */
export interface RequestLimits {
  /** Longest key of an entry, in bytes. */
  readonly key_bytes: number;
  /** Default lease of a lock, in ms. */
  readonly lock_ttl_ms: number;
  readonly lock_ttl_max_ms: number;
  /** Members in one page of a list. */
  readonly page_members: number;
}

/** Longest `ttl_ms` of a ban: ten years. Omit `ttl_ms` for a ban without expiry. */
const BAN_TTL_MAX_MS = 315_360_000_000;
const CURSOR_BYTES_MAX = 128;
/** Longest name of a command for a reducer. */
const CALL_BYTES_MAX = 256;
/** Longest key of a value of a reducer. */
const VALUE_KEY_BYTES_MAX = 256;
/** The most bans in one page, and the default. */
const PAGE_BANS_MAX = 1_000;
const PAGE_BANS = 100;
/** Longest cursor of a list of bans: a room, a slash, a user. */
const BANS_CURSOR_BYTES_MAX = 256;

/**
 * Reads the envelope of a command. Throws a DecodeError (400), or `invalid-field` if the envelope has another room than
 * its subject.
 */
export function readCommandEnvelope(payload: Uint8Array, at: RoomAddress): CommandEnvelope {
  const envelope: PlainEnvelope = readEnvelope(payload);
  if (envelope.tenant_id !== at.tenant_id || envelope.room_id !== at.room_id) {
    throw new ArqonError("invalid-field", "tenant_id and room_id differ from the subject");
  }
  if (envelope.command === undefined) throw invalidCommand("the envelope carries no command");
  const { trace_id, sender_id, command } = envelope;
  return { trace_id, sender_id, command };
}

/** The full name of the command; undefined if this Brain does not serve it. */
export function commandName(name: string): CommandName | undefined {
  const full = name.includes(".") ? name : `room.${name}`;
  return Object.hasOwn(MEMBERS, full) ? full as CommandName : undefined;
}

/**
 * The key under which a command is remembered: users choose their command_ids independently. Hashed, so that it takes
 * 22 bytes of the document.
 */
function commandKey(sender_id: string, command_id: string): string | undefined {
  if (command_id === "") return undefined;
  const digest = createHash("sha256").update(JSON.stringify([sender_id, command_id])).digest();
  return digest.subarray(0, 16).toString("base64url");
}

function readKick(members: Members, conditions: Conditions): RoomCommand {
  const user = members.has("user_id");
  if (user === members.has("connection_id")) {
    throw invalidCommand('room.kick needs either {"user_id":…} or {"connection_id":…}');
  }
  const target = user ? readUserId(members, "room.kick") : readConnectionId(members);
  const target_kind = user ? "user" : "connection";
  return { kind: "kick", target_kind, target, reason: readReason(members), ...conditions };
}

function readBan(members: Members, conditions: Conditions): RoomCommand {
  return {
    kind: "ban",
    user_id: readUserId(members, "room.ban"),
    reason: readReason(members),
    ttl_ms: optionalInteger(members, "ttl_ms", 1, BAN_TTL_MAX_MS),
    scope: readScope(members),
    ...conditions,
  };
}

/** Throws when a command carries conditions that cannot apply to it. */
function requireUnconditional(name: CommandName, command: PlainCommand, what: string): void {
  const { expect_version, after_version, fence } = command;
  if (expect_version === 0 && after_version === 0 && fence === 0) return;
  throw invalidCommand(`${name} takes neither versions nor a fence: ${what} none`);
}

function readBans(members: Members, command: PlainCommand): BansQuery {
  requireUnconditional("room.bans", command, "a list of bans has");
  return {
    scope: members.has("scope") ? readScope(members) : undefined,
    limit: optionalInteger(members, "limit", 1, PAGE_BANS_MAX) ?? PAGE_BANS,
    after: optionalText(members, "after", BANS_CURSOR_BYTES_MAX),
  };
}

function readCall(members: Members, command: PlainCommand, user_id: string): Call {
  requireUnconditional("room.call", command, "a call has");
  const name = optionalText(members, "command", CALL_BYTES_MAX);
  if (name === undefined) throw invalidCommand('room.call needs {"command":…}');
  if (!name.isWellFormed()) throw invalidCommand('"command" must be well-formed Unicode');
  const { command_id: id } = command;
  return { command: name, data: callData(members.get("data")), id, user_id };
}

function readValues(members: Members, command: PlainCommand): ValuesRead {
  requireUnconditional("room.values", command, "reading has");
  const textOf = (name: string) => {
    const text = optionalText(members, name, VALUE_KEY_BYTES_MAX) ?? "";
    if (text.isWellFormed()) return text;
    throw invalidCommand(`"${name}" must be well-formed Unicode`);
  };
  return { prefix: textOf("prefix"), after: textOf("after") };
}

/** An admin's query, composed by the Shield. */
function readPast(members: Members, command: PlainCommand): PastAsk {
  requireUnconditional("room.past", command, "the past has");
  const ask = PastAsk.safeParse(JSON.parse(members.get("ask") ?? "null"));
  if (ask.success) return ask.data;
  throw invalidCommand(`"ask" is no question about a room's past`, ask.error);
}

function readPresence(
  name: "presence.list" | "presence.count",
  members: Members,
  command: PlainCommand,
  { page_members }: RequestLimits,
): PresenceQuery {
  requireUnconditional(name, command, "presence has");
  if (name === "presence.count") return { kind: "count" };
  return {
    kind: "list",
    limit: optionalInteger(members, "limit", 1, page_members) ?? page_members,
    after: optionalText(members, "after", CURSOR_BYTES_MAX),
  };
}

function needKey(name: CommandName, members: Members, key_bytes: number): string {
  const key = readKey(members, key_bytes);
  if (key === undefined) throw invalidCommand(`${name} needs {"key":…}`);
  return key;
}

function readRoomCommand(
  name: Exclude<
    CommandName,
    `presence.${string}` | `room.${"bans" | "call" | "values" | "module" | "past"}`
  >,
  members: Members,
  conditions: Conditions,
  limits: RequestLimits,
): RoomCommand {
  const { key_bytes, lock_ttl_ms, lock_ttl_max_ms } = limits;
  switch (name) {
    case "room.get": {
      const events_after = optionalInteger(members, "events_after", 0, Number.MAX_SAFE_INTEGER);
      return { kind: "get", key: readKey(members, key_bytes), events_after, ...conditions };
    }
    case "room.set": {
      const [key, value] = [readKey(members, key_bytes), readValue(members)];
      if (key === undefined || value === undefined) {
        throw invalidCommand('room.set needs {"key":…,"value":…}');
      }
      return { kind: "set", key, value, ...conditions };
    }
    case "room.delete":
      return { kind: "delete", key: needKey(name, members, key_bytes), ...conditions };
    case "room.lock": {
      const ttl_ms = optionalInteger(members, "ttl_ms", 1, lock_ttl_max_ms) ??
        Math.min(lock_ttl_ms, lock_ttl_max_ms);
      return { kind: "lock", ttl_ms, ...conditions };
    }
    case "room.unlock":
      return { kind: "unlock", ...conditions };
    case "room.kick":
      return readKick(members, conditions);
    case "room.ban":
      return readBan(members, conditions);
    case "room.unban": {
      const user_id = readUserId(members, name);
      return { kind: "unban", user_id, scope: readScope(members), ...conditions };
    }
    default:
      return name satisfies never;
  }
}

/**
 * Reads the request of an envelope. Throws `invalid-command` (400) with what is expected. `connection_id`: the id from
 * the Shield, "" without one.
 */
export function readRequest(
  envelope: CommandEnvelope,
  connection_id: string,
  limits: RequestLimits,
): Request {
  const { command, sender_id, trace_id } = envelope;
  const name = commandName(command.name);
  if (name === undefined) {
    const known = Object.keys(MEMBERS).join(", ");
    throw invalidCommand(`unknown name ${shown(command.name)}; this Brain serves ${known}`);
  }
  const members = dataMembers(name, MEMBERS[name], command);
  switch (name) {
    case "room.call":
      return { about: "call", call: readCall(members, command, sender_id) };
    case "room.values":
      return { about: "values", query: readValues(members, command) };
    case "room.module": {
      requireUnconditional(name, command, "reading has");
      const from = optionalInteger(members, "from", 0, Number.MAX_SAFE_INTEGER) ?? 0;
      return { about: "module", from };
    }
    case "room.past":
      return { about: "past", ask: readPast(members, command) };
    case "presence.list":
    case "presence.count":
      return { about: "presence", query: readPresence(name, members, command, limits) };
    case "room.bans":
      return { about: "bans", query: readBans(members, command) };
    case "room.get":
    case "room.set":
    case "room.delete":
    case "room.lock":
    case "room.unlock":
    case "room.kick":
    case "room.ban":
    case "room.unban":
      break;
    default:
      return name satisfies never;
  }
  const from: Sender = { user_id: sender_id, connection_id, trace_id };
  const { expect_version, after_version, fence, epoch, command_id } = command;
  const command_key = commandKey(sender_id, command_id);
  const conditions = { from, expect_version, after_version, fence, epoch, command_key };
  return { about: "room", command: readRoomCommand(name, members, conditions, limits) };
}
