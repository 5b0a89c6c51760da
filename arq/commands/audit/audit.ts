/**
 * `arq audit list` and `verify`: shows who did what through the admin API, and checks on this machine that the entries
 * form one chain. The bus only sends the bytes; its judgment is not used.
 */
import { plural } from "../../../shared/plural.ts";
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { EXIT, failed } from "../../terminal/exit.ts";
import { type Ended, type Io, print, sleep } from "../../terminal/io.ts";
import { filled, listOf, type Members, membersOf } from "../../answers/policy_text.ts";
import type { Flags } from "../../program/flags.ts";
import { membersFrom } from "../../bus/request_members.ts";
import { ChainCheck } from "../../../shared/audit/chain.ts";
import { ENTRY_BYTES_MAX } from "../../../shared/audit/entry.ts";
import { openInput } from "../../terminal/input.ts";
import { byteLines } from "../../terminal/ndjson.ts";

const PAGE = 1_000;
/** Pause between two requests for new entries. */
const LOOK_MS = 1_000;
const TARGET_UNITS = 100;

const filtersOf = (flags: Flags) => membersFrom("tenant,actor,action,outcome", flags);

function lineOf(entry: Members): string {
  const { by, tenant, from, path, count } = entry;
  const about = Object.entries(membersOf(entry["about"]))
    .map(([name, value]) => `${name}=${value}`).join(" ");
  return filled(
    "{at_ms}  #{seq}  {outcome}[ ({reason})][ ×{count}]  {action}  tenant={tenant}  by={who}  " +
      "from={from}  {target}\n",
    {
      ...entry,
      tenant: tenant ?? "-",
      from: from || "-",
      count: Number(count) > 1 ? count : "",
      who: by === null ? "a stranger" : filled("{by}@{by_tenant}", entry),
      target: `${path} ${about}`.trim().slice(0, TARGET_UNITS),
    },
  );
}

async function show(io: Io, { json }: Flags<"limit">, entries: readonly Members[]): Promise<void> {
  const lines = entries.map((entry) =>
    json === true ? `${JSON.stringify(entry)}\n` : lineOf(entry)
  );
  await print(io.stdout, lines.join(""));
}

interface Page {
  readonly entries: readonly Members[];
  /** Where to continue; undefined when there are no more entries. */
  readonly next: number | undefined;
}

async function pageOf(admin: Admin, query: Members): Promise<Page> {
  const { entries, next } = await admin.get("/v1/audit", query);
  return {
    entries: listOf(entries).map(membersOf),
    next: typeof next === "number" ? next : undefined,
  };
}

/** Prints new entries until Ctrl-C. */
async function follow(admin: Admin, flags: Flags<"limit">, from: number): Promise<Ended> {
  const { io } = admin;
  for (let after = from;;) {
    const page = await pageOf(admin, { ...filtersOf(flags), after, limit: PAGE });
    await show(io, flags, page.entries);
    const is_more = page.entries.length === PAGE;
    after = page.next ?? after;
    if (is_more) continue;
    await sleep(LOOK_MS, io.signal);
  }
}

/** Prints entries, oldest first. Reports their number on stderr. */
export async function auditList(io: Io, flags: Flags<"limit">): Promise<Ended> {
  const admin = await findAdmin(io, flags);
  const found: Members[] = [];
  const filters = { ...filtersOf(flags), since_ms: await admin.ago(flags.since) };
  const newest = flags.follow === true ? await pageOf(admin, { limit: 1 }) : undefined;
  let before: number | undefined;
  do {
    const limit = Math.min(PAGE, flags.limit - found.length);
    const page: Page = await pageOf(admin, { ...filters, limit, before });
    found.push(...page.entries);
    before = page.next;
  } while (before !== undefined && found.length < flags.limit);
  await show(io, flags, found.toReversed());
  if (newest !== undefined) {
    const shown = Math.max(...found.map(({ seq }) => Number(seq)), 0);
    return await follow(admin, flags, Math.max(shown, Number(newest.entries[0]?.["seq"] ?? 0)));
  }
  const more = found.length >= flags.limit ? "; --limit shows more" : "";
  const some = plural(found.length, "entry", "entries");
  await print(io.stderr, `${some}${more}\n`);
}

/** A longer line is no entry, which the check reports. */
const LINE_BYTES_MAX = 2 * ENTRY_BYTES_MAX;

/** All entries of a bus, page by page, up to the newest. */
async function* entriesOf(admin: Admin, check: ChainCheck): AsyncGenerator<Uint8Array> {
  for (let after = 0;;) {
    let lines = 0;
    const page = await admin.stream("/v1/audit/entries", { after, limit: PAGE });
    for await (const line of byteLines(page, LINE_BYTES_MAX)) {
      lines++;
      yield line;
    }
    const last = check.last?.seq ?? 0;
    // A page may be short because its entries are large, so its length does not show the end.
    if (lines === 0 || last <= after) return;
    after = last;
  }
}

/** Prints what was checked and the newest entry's anchor, or with exit code 1 the first broken entry. */
export async function auditVerify(io: Io, flags: Flags): Promise<Ended> {
  const check = new ChainCheck(flags.anchor);
  const source = flags.file === undefined
    ? entriesOf(await findAdmin(io, flags), check)
    : byteLines(await openInput(io, flags.file), LINE_BYTES_MAX);
  for await (const line of source) {
    check.take(line);
    if (check.broken !== undefined) break;
  }
  const broken = check.end();
  const { first, last, entries } = check;
  const json = { entries, first: first ?? null, last: last ?? null, broken: broken ?? null };
  if (broken !== undefined) {
    if (flags.json === true) return { json, text: "", code: EXIT.failure };
    const before = last === undefined ? "" : `; whole up to entry ${last.seq}`;
    throw failed(
      `the audit log is broken at entry ${broken.seq}: ${broken.problem}${before}`,
      "the Shields' own logs have seq and hash of each entry that they wrote (msg=audit)",
    );
  }
  if (last === undefined) return { json, text: "the audit log is empty\n" };
  const from = first?.seq === 1 ? "" : ` from ${first?.seq} on`;
  const whole = `${plural(entries, "entry", "entries")}${from}, one chain`;
  return { json, text: `${whole}\nanchor: ${last.seq}:${last.hash}\n` };
}
