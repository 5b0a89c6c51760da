/**
 * The data of a command: one JSON object whose members are read one by one. All functions throw `invalid-command` (400)
 * with the member and what is expected. `request.ts` defines the commands.
 */
import { ArqonError, isId, JSON_DEPTH_MAX, nestsTooDeep, utf8Size } from "@arqon/proto";
import type { PlainCommand } from "@arqon/proto";
import { BAN_REASON_UNITS_MAX } from "../../../shared/records/bans.ts";
import type { BanScope } from "./command.ts";
import { objectMembers } from "./json_text.ts";

/** The members of a JSON object: name to compact JSON text. */
export type Members = ReadonlyMap<string, string>;

/** More members than any command has: data with more is refused before all are read. */
const MEMBERS_MAX = 32;
/** Longest user id that a token can have. */
const USER_ID_BYTES_MAX = 128;
const JSON_TYPE = /^application\/json\s*(;.*)?$/i;
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The error of an invalid command. */
export function invalidCommand(detail: string, cause?: unknown): ArqonError {
  return new ArqonError("invalid-command", detail, { cause });
}

/** A client's text for an error: shortened, quoted, control characters escaped. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}

/** The members of a command's data, all of them among `known`; none without data. */
export function dataMembers(
  name: string,
  known: readonly string[],
  command: PlainCommand,
): Members {
  if (command.data.length === 0) return new Map();
  if (command.content_type !== "" && !JSON_TYPE.test(command.content_type)) {
    throw invalidCommand(`data must be application/json, not ${shown(command.content_type)}`);
  }
  let members: Members;
  try {
    members = objectMembers(strictUtf8.decode(command.data), MEMBERS_MAX);
  } catch (cause) {
    const detail =
      `data must be one JSON object in UTF-8 that has at most ${MEMBERS_MAX} members and names no member twice`;
    throw invalidCommand(detail, cause);
  }
  for (const member of members.keys()) {
    if (known.includes(member)) continue;
    const right = known.map((text) => `"${text}"`).join(" and ") || "no member";
    throw invalidCommand(`data has ${shown(member)}; ${name} knows ${right}`);
  }
  return members;
}

/** Throws when a command carries conditions that cannot apply to it. */
export function requireUnconditional(name: string, command: PlainCommand, what: string): void {
  const { expect_version, after_version, fence } = command;
  if (expect_version === 0 && after_version === 0 && fence === 0) return;
  throw invalidCommand(`${name} takes neither versions nor a fence: ${what} none`);
}

function parsed(members: Members, name: string): unknown {
  const text = members.get(name);
  return text === undefined ? undefined : JSON.parse(text);
}

/** A text of 1 to `bytes_max` bytes in UTF-8; undefined if the member is missing. */
export function optionalText(
  members: Members,
  name: string,
  bytes_max: number,
): string | undefined {
  const value = parsed(members, name);
  if (value === undefined) return undefined;
  const short = typeof value === "string" && value !== "" && utf8Size(value) <= bytes_max;
  if (!short) throw invalidCommand(`"${name}" must be a string of 1 to ${bytes_max} bytes`);
  return value;
}

/** An integer from `min` to `max`; undefined if the member is missing. */
export function optionalInteger(
  members: Members,
  name: string,
  min: number,
  max: number,
): number | undefined {
  const value = parsed(members, name);
  if (value === undefined) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max) {
    return value;
  }
  throw invalidCommand(`"${name}" must be a whole number from ${min} to ${max}`);
}

/** The key of an entry; undefined without one. */
export function readKey(members: Members, key_bytes: number): string | undefined {
  return optionalText(members, "key", key_bytes);
}

/** The value of an entry, which will be nested in other JSON; undefined without one. */
export function readValue(members: Members): string | undefined {
  const value = members.get("value");
  if (value === undefined || !nestsTooDeep(value)) return value;
  throw invalidCommand(`"value" is nested more than ${JSON_DEPTH_MAX} levels deep`);
}

/** The user that the `command` is about. */
export function readUserId(members: Members, command: string): string {
  const user_id = optionalText(members, "user_id", USER_ID_BYTES_MAX);
  if (user_id === undefined) throw invalidCommand(`${command} needs {"user_id":…}`);
  if (!user_id.isWellFormed()) throw invalidCommand('"user_id" must be well-formed Unicode');
  return user_id;
}

/** The connection to kick. */
export function readConnectionId(members: Members): string {
  const connection_id = parsed(members, "connection_id");
  if (typeof connection_id === "string" && isId(connection_id)) return connection_id;
  throw invalidCommand('"connection_id" must be 1 to 64 of [A-Za-z0-9_~:=-]');
}

/** A reason for people; "" without one. */
export function readReason(members: Members): string {
  const reason = parsed(members, "reason") ?? "";
  const fits = typeof reason === "string" && reason.length <= BAN_REASON_UNITS_MAX &&
    reason.isWellFormed();
  if (fits) return reason;
  throw invalidCommand(`"reason" must be a string of at most ${BAN_REASON_UNITS_MAX} characters`);
}

/** The scope of a ban; by default the whole tenant. */
export function readScope(members: Members): BanScope {
  const scope = parsed(members, "scope") ?? "tenant";
  if (scope === "tenant" || scope === "room") return scope;
  throw invalidCommand('"scope" must be "tenant" or "room"');
}
