/**
 * Reads a command from a stamped envelope of the Spine. Pure. The Shield has authorized the command; this file
 * validates it. `command_data.ts` reads its data.
 */
import { createHash } from "node:crypto";
import { ArqonError, readEnvelope } from "@arqon/proto";
import type { PlainCommand, PlainEnvelope } from "@arqon/proto";
import { fullCommandName } from "../../../shared/records/command_name.ts";
import type { SpineHeaders } from "../../../shared/spine/contract/spine_message.ts";
import type { Conditions, RoomAddress, RoomCommand, Sender } from "./command.ts";
import {
  dataMembers,
  invalidCommand,
  optionalInteger,
  readConnectionId,
  readKey,
  readReason,
  readScope,
  readUserId,
  readValue,
  shown,
} from "./command_data.ts";
import type { Members } from "./command_data.ts";

/** The commands of a room's document, with the members that their data may have. */
const MEMBERS = {
  "room.get": ["key", "events_after"],
  "room.set": ["key", "value"],
  "room.delete": ["key"],
  "room.lock": ["ttl_ms"],
  "room.unlock": [],
  "room.kick": ["user_id", "connection_id", "reason"],
  "room.ban": ["user_id", "reason", "ttl_ms", "scope"],
  "room.unban": ["user_id", "scope"],
} as const satisfies Record<string, readonly string[]>;

type CommandName = keyof typeof MEMBERS;

/** A command beside the document, as a client sent it. */
export interface AskedCommand {
  readonly name: string;
  readonly members: Members;
  readonly command: PlainCommand;
  readonly user_id: string;
}

/** Answers a command with the result's JSON. Throws or rejects with the refusal. */
export type AnswerOwn = (
  at: RoomAddress,
  waiting: { readonly deadline_ms: number; readonly headers: SpineHeaders },
) => string | Promise<string>;

/** A command beside the document: of a capability, or of the bans. */
export interface OwnCommand {
  /** The members that its data may have. */
  readonly members: readonly string[];
  /** Any Brain answers it; absent: the room's owner does. */
  readonly is_anywhere?: true;
  /** Reads a request. Throws `invalid-command`. */
  readonly read: (command: AskedCommand) => AnswerOwn;
}

/** These commands by their full names. */
export type OwnCommands = Readonly<Record<string, OwnCommand>>;

/** A parsed request. */
export type Request =
  | { readonly about: "room"; readonly command: RoomCommand }
  | { readonly about: "own"; readonly is_anywhere: boolean; readonly answer: AnswerOwn };

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
}

/** Longest `ttl_ms` of a ban: ten years. Omit `ttl_ms` for a ban without expiry. */
const BAN_TTL_MAX_MS = 315_360_000_000;

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
export function commandName(name: string, own: OwnCommands): string | undefined {
  const full = fullCommandName(name);
  return isRoomCommand(full) || Object.hasOwn(own, full) ? full : undefined;
}

const isRoomCommand = (name: string): name is CommandName => Object.hasOwn(MEMBERS, name);

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

function needKey(name: CommandName, members: Members, key_bytes: number): string {
  const key = readKey(members, key_bytes);
  if (key === undefined) throw invalidCommand(`${name} needs {"key":…}`);
  return key;
}

function readRoomCommand(
  name: CommandName,
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
 * the Shield, "" without one; `own`: the commands beside the document.
 */
export function readRequest(
  envelope: CommandEnvelope,
  connection_id: string,
  limits: RequestLimits,
  own: OwnCommands,
): Request {
  const { command, sender_id, trace_id } = envelope;
  const name = commandName(command.name, own);
  if (name === undefined) {
    const known = [...Object.keys(MEMBERS), ...Object.keys(own)].join(", ");
    throw invalidCommand(`unknown name ${shown(command.name)}; this Brain serves ${known}`);
  }
  if (!isRoomCommand(name)) {
    const { members: known, is_anywhere = false, read } = own[name]!;
    const members = dataMembers(name, known, command);
    const answer = read({ name, members, command, user_id: sender_id });
    return { about: "own", is_anywhere, answer };
  }
  const members = dataMembers(name, MEMBERS[name], command);
  const from: Sender = { user_id: sender_id, connection_id, trace_id };
  const { expect_version, after_version, fence, epoch, command_id } = command;
  const command_key = commandKey(sender_id, command_id);
  const conditions = { from, expect_version, after_version, fence, epoch, command_key };
  return { about: "room", command: readRoomCommand(name, members, conditions, limits) };
}
