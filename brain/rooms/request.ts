/**
 * From a stamped envelope on the Spine to a room command. Pure. Who may send which command was
 * decided by the Shield; here is only whether the command makes sense.
 */
import { createHash } from "node:crypto";
import { ArqonError, readEnvelope } from "@arqon/proto";
import type { PlainCommand, PlainEnvelope } from "@arqon/proto";
import type { RoomCommand } from "./document.ts";
import { objectMembers } from "./json_text.ts";

/** The commands that this Brain serves. */
export type CommandName = "room.get" | "room.set";

/** Where the Spine delivered the command; the envelope must say the same. */
export interface RoomAddress {
  readonly tenantId: string;
  readonly roomId: string;
}

/** What the Brain reads of an envelope. */
export interface CommandEnvelope {
  readonly trace_id: string;
  readonly sender_id: string;
  readonly command: PlainCommand;
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const JSON_TYPE = /^application\/json\s*(;.*)?$/i;
const MEMBERS: Record<CommandName, readonly string[]> = {
  "room.get": ["key"],
  "room.set": ["key", "value"],
};

/** Client text in an error: short, quoted, control characters escaped. */
function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}

/** Throws a DecodeError (400), or `invalid-field` when the envelope is for another room than its subject. */
export function readCommandEnvelope(payload: Uint8Array, at: RoomAddress): CommandEnvelope {
  const envelope: PlainEnvelope = readEnvelope(payload);
  if (envelope.tenant_id !== at.tenantId || envelope.room_id !== at.roomId) {
    throw new ArqonError("invalid-field", "tenant_id and room_id differ from the subject");
  }
  if (envelope.command === undefined) {
    throw new ArqonError("invalid-command", "the envelope carries no command");
  }
  const { trace_id, sender_id, command } = envelope;
  return { trace_id, sender_id, command };
}

/** The full name of a command that this Brain serves, else undefined. */
export function commandName(name: string): CommandName | undefined {
  const full = name.startsWith("room.") ? name : `room.${name}`;
  return full === "room.get" || full === "room.set" ? full : undefined;
}

function readMembers(name: CommandName, command: PlainCommand): Map<string, string> {
  if (command.data.length === 0) return new Map();
  if (command.content_type !== "" && !JSON_TYPE.test(command.content_type)) {
    const type = shown(command.content_type);
    throw new ArqonError("invalid-command", `data must be application/json, not ${type}`);
  }
  let members: Map<string, string>;
  try {
    members = objectMembers(strictUtf8.decode(command.data));
  } catch (cause) {
    const detail = "data must be one JSON object in UTF-8 that names no member twice";
    throw new ArqonError("invalid-command", detail, { cause });
  }
  for (const member of members.keys()) {
    if (MEMBERS[name].includes(member)) continue;
    const known = MEMBERS[name].map((text) => `"${text}"`).join(" and ");
    throw new ArqonError("invalid-command", `data has ${shown(member)}; ${name} knows ${known}`);
  }
  return members;
}

function readKey(members: Map<string, string>, key_bytes: number): string | undefined {
  const text = members.get("key");
  if (text === undefined) return undefined;
  const key: unknown = JSON.parse(text);
  if (typeof key === "string" && key !== "" && new TextEncoder().encode(key).length <= key_bytes) {
    return key;
  }
  throw new ArqonError("invalid-command", `"key" must be a string of 1 to ${key_bytes} bytes`);
}

/** One user's command_id says nothing about another's; hashed, so that it takes 22 bytes of every document. */
function commandKey(sender_id: string, command_id: string): string | undefined {
  if (command_id === "") return undefined;
  const digest = createHash("sha256").update(JSON.stringify([sender_id, command_id])).digest();
  return digest.subarray(0, 16).toString("base64url");
}

/** Throws `invalid-command` (400) with what would be right. `key_bytes` bounds an entry's key. */
export function readRoomCommand(envelope: CommandEnvelope, key_bytes: number): RoomCommand {
  const { command, sender_id } = envelope;
  const name = commandName(command.name);
  if (name === undefined) {
    const detail = `unknown name ${shown(command.name)}; this Brain serves room.get and room.set`;
    throw new ArqonError("invalid-command", detail);
  }
  // A fence that guards nothing must not look as if it did.
  if (command.fence !== 0) throw new ArqonError("invalid-command", "fence: the room has no lock");
  const { expect_version, after_version, epoch } = command;
  const expectation = { expect_version, after_version, epoch };

  const members = readMembers(name, command);
  const key = readKey(members, key_bytes);
  if (name === "room.get") return { kind: "get", key, ...expectation };
  const value = members.get("value");
  if (key === undefined || value === undefined) {
    throw new ArqonError("invalid-command", 'room.set needs {"key":…,"value":…}');
  }
  const command_key = commandKey(sender_id, command.command_id);
  return { kind: "set", key, value, command_key, ...expectation };
}
