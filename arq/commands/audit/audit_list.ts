/**
 * `arq audit list`: shows who did what through the admin API; with `--follow` also what is done from now on.
 */
import { plural } from "../../../shared/plural.ts";
import { type Admin, askAdmin, findAdmin } from "../../bus/admin.ts";
import { busAgo } from "../../bus/bus_clock.ts";
import { EXIT, printable } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { listOf, membersOf } from "../../answers/policy_text.ts";
import type { Flags } from "../../program/flags.ts";

type Entry = Readonly<Record<string, unknown>>;

/** Entries of one answer. */
const PAGE = 1_000;
/** Pause between two requests for new entries. */
const LOOK_MS = 1_000;
const TARGET_UNITS = 100;

function filtersOf({ tenant, actor, action, outcome }: Flags<"limit">): URLSearchParams {
  const given = Object.entries({ tenant, actor, action, outcome });
  return new URLSearchParams(
    given.flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as [string, string]]
    ),
  );
}

/** The line of one entry, for people. */
function lineOf(entry: Entry): string {
  const { at_ms, seq, outcome, action, tenant, by, by_tenant, from, path, reason, count } = entry;
  const who = by === null ? "a stranger" : `${by}@${by_tenant}`;
  const times = Number(count) > 1 ? ` ×${count}` : "";
  const why = reason === null ? "" : ` (${reason})`;
  const about = Object.entries(membersOf(entry["about"]))
    .map(([name, value]) => `${name}=${value}`).join(" ");
  const target = `${path} ${about}`.trim().slice(0, TARGET_UNITS);
  return [
    new Date(Number(at_ms)).toISOString(),
    `#${seq}`,
    `${outcome}${why}${times}`,
    `${action}`,
    `tenant=${tenant ?? "-"}`,
    `by=${who}`,
    `from=${from === "" ? "-" : from}`,
    target,
  ].join("  ");
}

async function show(io: Io, { json }: Flags<"limit">, entries: readonly Entry[]): Promise<void> {
  const lines = entries.map((entry) =>
    json === true ? `${JSON.stringify(entry)}\n` : `${printable(lineOf(entry))}\n`
  );
  await print(io.stdout, lines.join(""));
}

interface Page {
  readonly entries: readonly Entry[];
  /** The place to go on from; null when there are no more entries. */
  readonly next: number | null;
}

async function pageOf(io: Io, admin: Admin, query: URLSearchParams): Promise<Page> {
  const answer = await askAdmin(io, admin, { method: "GET", path: `/v1/audit?${query}` });
  const next = answer["next"];
  return {
    entries: listOf(answer["entries"]).map(membersOf),
    next: typeof next === "number" ? next : null,
  };
}

/** Prints new entries until Ctrl-C. */
async function follow(io: Io, admin: Admin, flags: Flags<"limit">, from: number): Promise<number> {
  for (let after = from;;) {
    const query = filtersOf(flags);
    query.set("after", String(after));
    query.set("limit", String(PAGE));
    const page = await pageOf(io, admin, query);
    await show(io, flags, page.entries);
    const is_more = page.entries.length === PAGE;
    after = page.next ?? after;
    if (is_more) continue;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, LOOK_MS);
      io.signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
    io.signal.throwIfAborted();
  }
}

/** Prints entries, oldest first. Says on stderr how many there are. */
export async function auditList(io: Io, flags: Flags<"limit">): Promise<number> {
  const admin = await findAdmin(io, flags);
  const found: Entry[] = [];
  const query = filtersOf(flags);
  if (flags.since !== undefined) {
    query.set("since_ms", String(await busAgo(io, admin, flags.since)));
  }
  const newest = flags.follow === true
    ? await pageOf(io, admin, new URLSearchParams({ limit: "1" }))
    : undefined;
  for (let next: number | null = null;;) {
    query.set("limit", String(Math.min(PAGE, flags.limit - found.length)));
    if (next !== null) query.set("before", String(next));
    const page: Page = await pageOf(io, admin, query);
    found.push(...page.entries);
    next = page.next;
    if (next === null || found.length >= flags.limit) break;
  }
  await show(io, flags, found.toReversed());
  if (newest !== undefined) {
    const shown = Math.max(...found.map(({ seq }) => Number(seq)), 0);
    return await follow(io, admin, flags, Math.max(shown, Number(newest.entries[0]?.["seq"] ?? 0)));
  }
  const more = found.length >= flags.limit ? "; --limit shows more" : "";
  const some = plural(found.length, "entry", "entries");
  await print(io.stderr, `${some}${more}\n`);
  return EXIT.ok;
}
