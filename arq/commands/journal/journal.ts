/**
 * `arq journal list` and `export`: shows decisions and their reasons, or writes them into a file for `arq policy
 * replay` and other tools.
 */
import { isHole, parseLine } from "../../../shared/journal/record.ts";
import { plural } from "../../../shared/plural.ts";
import { journalLineText } from "../../answers/why_text.ts";
import { type Admin, findAdmin } from "../../bus/admin.ts";
import { journalAnswer, journalBytes } from "../../journal/bus_journal.ts";
import type { JournalPosition, JournalWish } from "../../journal/bus_journal.ts";
import { printable, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, print, sleep } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";
import { membersFrom } from "../../bus/request_members.ts";
import { openOutput } from "../../terminal/input.ts";

const ANSWER_LINES = 10_000;
/** Pause between two requests for new lines, in ms. */
const LOOK_MS = 1_000;

const WISH = "tenant,room,user,connection,trace,message_id,policy,outcome";

async function wishOf(admin: Admin, flags: Flags<"tenant">): Promise<JournalWish> {
  const { tenant } = flags;
  return { tenant, ...membersFrom(WISH, flags), since_ms: await admin.ago(flags.since) };
}

/** Interval between two checks for killed Shields, in ms. */
const KILLED_LOOK_MS = 5_000;
/** How long after its death a Shield is known to be killed, in s: it was silent for a minute, or has started again. */
const KILLED_BACK_S = 120;
/** Lines of such an answer: these holes come first. */
const KILLED_LINES = 200;

/**
 * The holes of killed Shields. They have no place in the journal, so none comes after the last line that was read: they
 * are requested repeatedly, and each is shown once.
 */
class KilledHoles {
  readonly #shown = new Set<string>();
  #looked_ms: number;

  /** Monotonic ms. */
  constructor(passed_ms: number) {
    this.#looked_ms = passed_ms;
  }

  /** Whether a line is something else, or a hole not yet shown. */
  isNew(text: string): boolean {
    if (!text.includes('"killed"')) return true;
    const parsed = parseLine(text);
    if ("problem" in parsed || !isHole(parsed.line)) return true;
    const { node, from_ms, why } = parsed.line.hole;
    if (why !== "killed") return true;
    const key = `${from_ms} ${node}`;
    return !this.#shown.has(key) && this.#shown.add(key) !== undefined;
  }

  /** The new holes, as lines. Rejects when the bus refuses. */
  async look(admin: Admin, wish: JournalWish): Promise<readonly string[]> {
    const passed_ms = admin.io.monotonic_ms();
    if (passed_ms - this.#looked_ms < KILLED_LOOK_MS) return [];
    this.#looked_ms = passed_ms;
    const since_ms = await admin.ago(KILLED_BACK_S);
    const recent = { ...wish, after: undefined, since_ms };
    let text = "";
    for await (const bytes of journalAnswer(admin, recent, KILLED_LINES)) {
      text += new TextDecoder().decode(bytes);
    }
    return text.trimEnd().split("\n").filter((line) =>
      line.includes('"killed"') && isHoleLine(line) && this.isNew(line)
    );
  }
}

function isHoleLine(text: string): boolean {
  const parsed = parseLine(text);
  return "line" in parsed && isHole(parsed.line);
}

/** Prints one answer; returns the number of its lines, and where it ended. */
async function show(
  admin: Admin,
  wish: JournalWish,
  limit: number,
  { is_json, killed }: { readonly is_json: boolean; readonly killed: KilledHoles },
): Promise<{ readonly lines: number; readonly position: JournalPosition }> {
  const answer = journalAnswer(admin, wish, limit);
  let lines = 0;
  for (;;) {
    const { done, value } = await answer.next();
    if (done === true) return { lines, position: value };
    const texts = new TextDecoder().decode(value).trimEnd().split("\n");
    lines += texts.length;
    await printLines(admin.io, texts.filter((text) => killed.isNew(text)), is_json);
  }
}

async function printLines(io: Io, texts: readonly string[], is_json: boolean): Promise<void> {
  const shown = is_json ? texts : texts.map(journalLineText);
  await print(io.stdout, shown.map((text) => `${text}\n`).join(""));
}

/** Prints decisions, oldest first. Reports their number on stderr. */
export async function journalList(io: Io, flags: Flags<"limit" | "tenant">): Promise<Ended> {
  const { newest = false } = flags;
  if (newest && flags.limit > ANSWER_LINES) {
    throw usageError(
      `--limit with --newest is at most ${ANSWER_LINES}`,
      "arq journal export has all",
    );
  }
  const admin = await findAdmin(io, flags);
  const is_json = flags.json === true;
  const killed = new KilledHoles(io.monotonic_ms());
  let wish: JournalWish = { ...await wishOf(admin, flags), ...newest && { newest: "1" } };
  let shown = 0;
  for (let is_end = false; !is_end && (shown < flags.limit || flags.follow === true);) {
    const limit = Math.min(
      ANSWER_LINES,
      flags.follow === true && wish.newest === undefined ? Infinity : flags.limit - shown,
    );
    const { lines, position } = await show(admin, wish, limit, { is_json, killed });
    shown += lines;
    wish = { ...wish, newest: undefined, after: position.next };
    is_end = position.is_end;
    if (!is_end || flags.follow !== true) continue;
    is_end = false;
    const holes = await killed.look(admin, wish);
    shown += holes.length;
    await printLines(io, holes, is_json);
    await sleep(LOOK_MS, io.signal);
  }
  const more = shown >= flags.limit ? "; --limit shows more" : "";
  await print(io.stderr, `${plural(shown, "line")}${more}\n`);
}

const NEWLINE = 0x0a;

/** Writes the lines. Whatever ends it, the file has whole lines, and stderr reports their number. */
export async function journalExport(
  io: Io,
  flags: Flags<"out" | "payloads" | "tenant">,
): Promise<Ended> {
  const admin = await findAdmin(io, flags);
  const wish = { ...await wishOf(admin, flags), has_payloads: flags.payloads };
  const sink = await openOutput(io, flags.out);
  let lines = 0;
  let is_empty = true;
  const tell = (is_whole: boolean) => {
    if (flags.json === true) return print(io.stderr, `${JSON.stringify({ lines, is_whole })}\n`);
    const what = is_whole ? "written to" : "were written before it ended, to";
    return print(io.stderr, `${plural(lines, "line")} ${what} ${printable(flags.out)}\n`);
  };
  try {
    for await (const bytes of journalBytes(admin, wish)) {
      is_empty = false;
      await sink.write(bytes);
      for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines++;
    }
    await sink.finish();
  } catch (error) {
    await sink.abandon(!is_empty);
    if (!is_empty) await tell(false);
    throw error;
  }
  await tell(true);
}
