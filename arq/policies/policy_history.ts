/**
 * How far back an earlier version of a tenant's policies lies, and which changes a rollback to it undoes,
 * read from the document that the bus tells. Pure.
 */
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";
import { historyTable, listOf, membersOf } from "../answers/policy_text.ts";

/** The versions between the one in force and an earlier one. */
export interface WayBack {
  /** The earlier version as the bus tells it. */
  readonly target: Readonly<Record<string, unknown>>;
  /** The versions after it, oldest first; the last one is in force. */
  readonly taken_back: readonly Readonly<Record<string, unknown>>[];
}

/**
 * The way back to a version. Undefined when the bus does not know the version or it is in force; the bus then
 * says so better.
 */
export function wayBack(
  document: Readonly<Record<string, unknown>>,
  to: number,
): WayBack | undefined {
  const { version, at_ms, by, change, policies } = document;
  const names = listOf(policies).map((policy) => membersOf(policy)["name"]);
  const current = { version, at_ms, by, change, policies: names };
  const all = [...listOf(document["history"]).map(membersOf), current];
  const target = all.find((one) => one["version"] === to);
  const taken_back = all.filter((one) => Number(one["version"]) > to);
  return target === undefined || taken_back.length === 0 ? undefined : { target, taken_back };
}

/**
 * The text before a rollback: when and by whom the version was made, and a line for each change that is
 * undone, newest first.
 */
export function wayBackText({ target, taken_back }: WayBack): string {
  const { version, at_ms, by, change } = target;
  const is_made = typeof at_ms === "number" && at_ms > 0;
  const made = is_made
    ? `made ${new Date(at_ms).toISOString()} by ${by} (${change})`
    : "from before the first change";
  const far = `version ${version} is ${plural(taken_back.length, "change")} back, ${made}`;
  return `${printable(far)}; what is taken back:\n${historyTable(taken_back)}`;
}
