/**
 * `deno task record`: runs the session of the quick start from the packed npm package, and writes it between the
 * two marks of the quick start. `--check` writes nothing, and fails when the recorded session differs from what
 * happens now. `--checkout` uses this checkout's `arq` and leaves out the installation; it can only check.
 */
import { difference, sessionOf, sessionText, withoutInstall, withSession } from "./record_text.ts";
import { packedArq, recordSession } from "./record_session.ts";
import { ROOT } from "../checkout/source_files.ts";
import { exitWith } from "../checkout/violation.ts";

const USAGE = "usage: deno task record [--check [--checkout]]";
const PAGE = "docs/quick_start.md";

if (import.meta.main) {
  const asked = new Set(Deno.args);
  const known = ["--check", "--checkout"];
  const wrong = Deno.args.find((arg) => !known.includes(arg));
  if (wrong !== undefined || (asked.has("--checkout") && !asked.has("--check"))) {
    console.error(USAGE);
    Deno.exit(2);
  }
  const source = asked.has("--checkout") ? "checkout" : await packedArq();
  const text = sessionText(await recordSession(source));
  const page = await Deno.readTextFile(ROOT + PAGE);
  if (asked.has("--check")) {
    const recorded = sessionOf(page) ?? "";
    const wanted = source === "checkout" ? withoutInstall(recorded) : recorded;
    const differs = difference(wanted, text);
    const message = `${differs}\n  deno task pack and deno task record write it anew`;
    exitWith(differs === undefined ? [] : [{ path: PAGE, line: 0, message }], `${PAGE} is current`);
  } else {
    await Deno.writeTextFile(ROOT + PAGE, withSession(page, text) ?? page);
    console.log(`${PAGE} is written`);
  }
}
