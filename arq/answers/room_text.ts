/** Members, locks and changes of a room as text for people. No text can control the terminal. Pure. */
import { plural } from "../../shared/plural.ts";
import { printable, shortened } from "../terminal/exit.ts";
import { filled, type Members, membersOf, when } from "./policy_text.ts";

/** A value as text: JSON, unless it is a text. */
export const shownValue = (value: unknown): string =>
  printable(shortened(typeof value === "string" ? value : JSON.stringify(value) ?? ""));

/** The number of members: `3 connections of 2 users`. */
export function countText({ connections, users }: Members): string {
  // A bus may answer anything, and converting an object may throw.
  const numberOf = (value: unknown) => typeof value === "number" ? value : NaN;
  return `${plural(numberOf(connections), "connection")} of ${plural(numberOf(users), "user")}`;
}

/** The line of a member: `user connection since metadata`; the first two are left out if it has none. */
export function memberLine(member: Members): string {
  const { user_id, connection_id, meta } = member;
  // The JSON text of a string keeps its quotes, so the metadata "x" and x differ.
  const meta_text = meta !== undefined && meta !== null ? shownValue(JSON.stringify(meta)) : "";
  return filled("{user}[ {connection}][ {joined_ms}][ {meta_text}]\n", {
    ...member,
    user: shownValue(user_id),
    connection: shownValue(connection_id),
    meta_text,
  });
}

/** The text `locked by …` of a lock; "" when there is no lock. */
export function lockText(lock: unknown): string {
  const members = membersOf(lock);
  if (members["fence"] === undefined) return "";
  return filled("locked[ by {holder}], fence {fence}, lease until {until_ms}", members);
}

/** The line of a ban: `mallory tenant until 2026-… by mod: spam`. */
export function banLine(ban: Members): string {
  const place = ban["scope"] === "room" ? filled("[room {room_id}]", ban) : "";
  const end = ban["until_ms"] === 0 ? "without end" : filled("until {until_ms}", ban);
  return filled("{user_id} {place} {end}[ by {by}][: {reason}]\n", {
    ...ban,
    place: place || ban["scope"],
    end,
  });
}

/** Members of a change that the line shows after version and operation, in this order. */
const CHANGE_MEMBERS = ["key", "value", "user_id", "connection_id", "holder", "scope", "cause"];

function unquoted(name: string, json: string): string {
  if (name === "value" || !json.startsWith('"')) return shownValue(json);
  return shownValue(JSON.parse(json));
}

/** The line of a change of state: `4 set topic "tea" by ann`. `event` has JSON text as it was written. */
export function changeText(event: ReadonlyMap<string, string>): string {
  const parts = ["version", "op", ...CHANGE_MEMBERS].flatMap((name) => {
    const json = event.get(name);
    // A lock names its holder, so its connection would be redundant.
    const redundant = name === "connection_id" && event.has("holder");
    return json === undefined || redundant ? [] : [unquoted(name, json)];
  });
  if (event.get("truncated") === "true") parts.push("(too long to show)");
  const fence = event.get("fence");
  if (fence !== undefined) parts.push(`fence ${shownValue(fence)}`);
  const until = when(Number(event.get("until_ms")));
  if (until !== "") parts.push(`until ${until}`);
  const by = unquoted("by", event.get("by") ?? "");
  if (by !== "") parts.push(`by ${by}`);
  const reason = event.get("reason");
  if (reason !== undefined) parts.push(`(${unquoted("reason", reason)})`);
  return parts.join(" ");
}
