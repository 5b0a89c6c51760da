/** The steps of `arq policy logs`, `rollback`, `remove`, `reset` and `deploy` besides their request. */
import {
  historyTable,
  listOf,
  logLine,
  membersOf,
  nodeTrouble,
} from "../../answers/policy_text.ts";
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { canAsk, confirmed } from "../../terminal/input.ts";
import { CommandError, EXIT, printable } from "../../terminal/exit.ts";
import { type Ended, type Io, note, print } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { plural } from "../../../shared/plural.ts";
import { readNdjson } from "../../terminal/ndjson.ts";
import { time } from "../../answers/figures.ts";

/** The versions between the one in force and an earlier one. */
interface WayBack {
  /** The earlier version as the bus reports it. */
  readonly target: Readonly<Record<string, unknown>>;
  /** The versions after it, oldest first; the last one is in force. */
  readonly taken_back: readonly Readonly<Record<string, unknown>>[];
}

/** The way back to a version. Undefined: it is unknown or in force; the bus then reports that better. */
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

/** The text before a rollback: who made the version when, and each change that is undone, newest first. */
export function wayBackText({ target, taken_back }: WayBack): string {
  const { version, at_ms, by, change } = target;
  const is_made = typeof at_ms === "number" && at_ms > 0;
  const made = is_made
    ? `made ${time(at_ms)} by ${by} (${change})`
    : "from before the first change";
  const far = `version ${version} is ${plural(taken_back.length, "change")} back, ${made}`;
  return `${printable(far)}; it undoes:\n${historyTable(taken_back)}`;
}

/**
 * Before a rollback to a named version: shows all changes that it undoes. If there are several, a person at a terminal
 * is asked. Throws `CommandError` for a no.
 */
export async function showWayBack(
  admin: Admin,
  { tenant, to, yes, json }: Flags<"tenant">,
): Promise<void> {
  if (to === undefined || json === true) return;
  const way = wayBack(await admin.get("/v1/policies", { tenant }), to);
  if (way === undefined) return;
  const { io } = admin;
  await print(io.stderr, wayBackText(way));
  const { length } = way.taken_back;
  if (length < 2 || yes === true || !canAsk()) return;
  if (await confirmed(io, `Take ${length} changes of tenant ${tenant} back?`)) return;
  throw new CommandError("nothing was changed");
}

/** The exit code of a change: 1, with the reason, while the answering node does not enforce it. */
export async function changeExit(
  { here, version }: Readonly<Record<string, unknown>>,
  _given: unknown,
  io: Io,
): Promise<number> {
  const trouble = nodeTrouble(here, version);
  if (trouble === "") return EXIT.ok;
  await note(io, trouble);
  return EXIT.failure;
}

/** Prints the lines that the node keeps, or follows the log until `--count` is reached or Ctrl-C. */
export async function policyLogs(io: Io, flags: Flags<"tenant">): Promise<Ended> {
  const admin = await findAdmin(io, flags);
  const text = (line: string) => flags.json === true ? `${line}\n` : logLine(JSON.parse(line));
  const stream = (follow: boolean) =>
    admin.stream("/v1/policies/logs", { tenant: flags.tenant, follow });
  if (flags.follow !== true) {
    const lines: string[] = [];
    for await (const { bytes } of readNdjson(await stream(false), admin.admin_url)) {
      lines.push(new TextDecoder().decode(bytes));
    }
    const last = lines.slice(-(flags.count ?? lines.length));
    if (last.length === 0) {
      const none = `the policies of tenant ${flags.tenant} have logged nothing on this node`;
      await print(io.stderr, `${none} since it started\n`);
    }
    await print(io.stdout, last.map(text).join(""));
    return EXIT.ok;
  }
  const followed = await stream(true);
  await print(io.stderr, `Following the policies of tenant ${flags.tenant}\n`);
  let left = flags.count ?? Infinity;
  await admin.follow(async () => {
    for await (const { bytes } of readNdjson(followed, admin.admin_url)) {
      await print(io.stdout, text(new TextDecoder().decode(bytes)));
      if (--left === 0) return true;
    }
    return false;
  });
}
