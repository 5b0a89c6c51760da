/** Members, locks and changes of a room as text for people, which drives no terminal. Pure. */
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";
import { type Members, membersOf } from "./policy_text.ts";

/** Longer values are cut on a terminal. */
const SHOWN_CHARS_MAX = 2_000;
/** The latest time that a Date can hold, in Unix ms. */
const DATE_MS_MAX = 8.64e15;

function shown(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? "";
  return printable(
    text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}…` : text,
  );
}

/** A time in Unix ms as UTC text; "" for 0 and for a value that is no time. */
export function whenText(value: unknown): string {
  const is_time = typeof value === "number" && value > 0 && value <= DATE_MS_MAX;
  return is_time ? new Date(value).toISOString() : "";
}

/** How many are in a room: `3 connections of 2 users`. */
export function countText({ connections, users }: Members): string {
  // A bus may answer anything, and converting an object may throw.
  const numberOf = (value: unknown) => typeof value === "number" ? value : NaN;
  return `${plural(numberOf(connections), "connection")} of ${plural(numberOf(users), "user")}`;
}

/** The line of a member: `user connection since metadata`; of one that leaves the first two. */
export function memberLine(member: Members): string {
  const { user_id, connection_id, joined_ms, meta } = member;
  const parts = [shown(user_id), shown(connection_id), whenText(joined_ms)];
  // The JSON text of a string keeps its quotes, which tells metadata "x" from metadata x.
  if (meta !== undefined && meta !== null) parts.push(shown(JSON.stringify(meta)));
  return `${parts.filter((part) => part !== "").join(" ")}\n`;
}

/** The text `locked by …` of a lock; "" when there is no lock. */
export function lockText(lock: unknown): string {
  const { holder, until_ms, fence } = membersOf(lock);
  if (fence === undefined) return "";
  const by = holder === undefined ? "" : ` by ${shown(holder)}`;
  return `locked${by}, fence ${shown(fence)}, lease until ${whenText(until_ms)}`;
}

/** The line of a ban: `mallory tenant until 2026-… by mod: spam`. */
export function banLine(ban: Members): string {
  const { user_id, scope, room_id, until_ms, reason, by } = ban;
  const place = scope === "room" && room_id !== undefined ? `room ${shown(room_id)}` : shown(scope);
  const end = until_ms === 0 ? "without end" : `until ${whenText(until_ms)}`;
  const who = isGiven(by) ? ` by ${shown(by)}` : "";
  const why = isGiven(reason) ? `: ${shown(reason)}` : "";
  return `${shown(user_id)} ${place} ${end}${who}${why}\n`;
}

const isGiven = (text: unknown) => text !== undefined && text !== "";

/** Seconds in the form that `--ttl` takes: `1h`, `90s`. */
export function ttlText(seconds: number): string {
  for (const [unit, size] of [["d", 86_400], ["h", 3_600], ["m", 60]] as const) {
    if (seconds % size === 0) return `${seconds / size}${unit}`;
  }
  return `${seconds}s`;
}

/** Members of a change that the line shows after version and operation, in this order. */
const CHANGE_MEMBERS = ["key", "value", "user_id", "connection_id", "holder", "scope", "cause"];

function unquoted(name: string, json: string): string {
  if (name === "value" || !json.startsWith('"')) return shown(json);
  return shown(JSON.parse(json));
}

/** The line of a change of state: `4 set topic "tea" by ann`. `event` has JSON text, as it was written. */
export function changeText(event: ReadonlyMap<string, string>): string {
  const parts = ["version", "op", ...CHANGE_MEMBERS].flatMap((name) => {
    const json = event.get(name);
    // A lock names its holder, so the connection would say the same again.
    const redundant = name === "connection_id" && event.has("holder");
    return json === undefined || redundant ? [] : [unquoted(name, json)];
  });
  if (event.get("truncated") === "true") parts.push("(too long to show)");
  const fence = event.get("fence");
  if (fence !== undefined) parts.push(`fence ${shown(fence)}`);
  const until = whenText(Number(event.get("until_ms")));
  if (until !== "") parts.push(`until ${until}`);
  const by = unquoted("by", event.get("by") ?? "");
  if (by !== "") parts.push(`by ${by}`);
  const reason = event.get("reason");
  if (reason !== undefined) parts.push(`(${unquoted("reason", reason)})`);
  return parts.join(" ");
}
