/**
 * The data of a command: one JSON object whose members are read one by one. All functions throw `invalid-command` (400)
 * with the member and what is expected. Capabilities define the commands.
 */
import { ArqonError, utf8Size } from "@arqon/proto";
import type { PlainCommand } from "@arqon/proto";
import { objectMembers } from "./json_text.ts";

/** The members of a JSON object: name to compact JSON text. */
export type Members = ReadonlyMap<string, string>;

/** More members than any command has: data with more is refused before all are read. */
const MEMBERS_MAX = 32;
const JSON_TYPE = /^application\/json\s*(;.*)?$/i;
const FULL_RETRY_MS = 250;
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The error of an invalid command. */
export function invalidCommand(detail: string, cause?: unknown): ArqonError {
  return new ArqonError("invalid-command", detail, { cause });
}

/** The error `too-many-pending` (429), with the retry time. */
export function tooManyPending(detail: string): ArqonError {
  return new ArqonError("too-many-pending", detail, { retry_after_ms: FULL_RETRY_MS });
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

/** The value of a member; undefined if it is missing. */
export function parsed(members: Members, name: string): unknown {
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
