/**
 * `deno task record`: runs the session of the quick start from the packed npm package, and writes it into
 * `docs/session.cast`, `docs/session.txt` and, between its two marks, the quick start. `--check` writes nothing,
 * and fails when the recorded session differs from what happens now. `--checkout` uses this checkout's `arq`
 * and leaves out the installation; it can only check.
 */
import {
  difference,
  sessionCast,
  sessionText,
  withoutInstall,
  withSession,
} from "./record_text.ts";
import { packedArq, recordSession } from "./record_session.ts";
import { ROOT } from "../checkout/source_files.ts";
import { exitWith, type Violation } from "../checkout/violation.ts";

const USAGE = "usage: deno task record [--check [--checkout]]";
const CAST = "docs/session.cast";
const TEXT = "docs/session.txt";
const PAGE = "docs/quick_start.md";

async function check(text: string, cast: string | undefined): Promise<Violation[]> {
  const recorded = await Deno.readTextFile(ROOT + TEXT);
  const wanted = cast === undefined ? withoutInstall(recorded) : recorded;
  const problems: Violation[] = [];
  const differs = difference(wanted, text);
  const fix = "deno task pack and deno task record write it anew";
  if (differs !== undefined) {
    problems.push({ path: TEXT, line: 0, message: `${differs}\n  ${fix}` });
  }
  if (cast !== undefined && await Deno.readTextFile(ROOT + CAST) !== cast) {
    problems.push({ path: CAST, line: 0, message: `is not of this session; ${fix}` });
  }
  const shown = await Deno.readTextFile(ROOT + PAGE);
  if (withSession(shown, recorded) !== shown) {
    problems.push({ path: PAGE, line: 0, message: `does not show ${TEXT}; ${fix}` });
  }
  return problems;
}

async function write(text: string, cast: string): Promise<void> {
  await Deno.writeTextFile(ROOT + TEXT, text);
  await Deno.writeTextFile(ROOT + CAST, cast);
  const page = withSession(await Deno.readTextFile(ROOT + PAGE), text);
  if (page !== undefined) await Deno.writeTextFile(ROOT + PAGE, page);
}

if (import.meta.main) {
  const asked = new Set(Deno.args);
  const known = ["--check", "--checkout"];
  const wrong = Deno.args.find((arg) => !known.includes(arg));
  if (wrong !== undefined || (asked.has("--checkout") && !asked.has("--check"))) {
    console.error(USAGE);
    Deno.exit(2);
  }
  const source = asked.has("--checkout") ? "checkout" : await packedArq();
  const entries = await recordSession(source);
  const text = sessionText(entries);
  const cast = sessionCast(entries);
  if (asked.has("--check")) {
    exitWith(await check(text, source === "checkout" ? undefined : cast), `${TEXT} is current`);
  } else {
    await write(text, cast);
    console.log(`${TEXT} and ${CAST} are written`);
  }
}
