/**
 * How far back an earlier version of a tenant's policies lies, and which changes going back to it takes
 * back, out of the document as the bus tells it. Pure.
 */
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";
import { historyTable, listOf, membersOf } from "../answers/policy_text.ts";

/** The way from what is in force back to a version. */
export interface WayBack {
  /** The version as the bus tells it. */
  readonly target: Readonly<Record<string, unknown>>;
  /** The versions after it, the oldest first; the last is in force. */
  readonly taken_back: readonly Readonly<Record<string, unknown>>[];
}

/** Undefined when the bus knows no such version, or it is in force: then the bus has the better words. */
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

/** When it was made and by whom, and a line for each change that is taken back, the newest first. */
export function wayBackText({ target, taken_back }: WayBack): string {
  const { version, at_ms, by, change } = target;
  const is_made = typeof at_ms === "number" && at_ms > 0;
  const made = is_made
    ? `made ${new Date(at_ms).toISOString()} by ${by} (${change})`
    : "from before the first change";
  const far = `version ${version} is ${plural(taken_back.length, "change")} back, ${made}`;
  return `${printable(far)}; what is taken back:\n${historyTable(taken_back)}`;
}
