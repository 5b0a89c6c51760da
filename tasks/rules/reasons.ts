/** Checks that a test triggers every refusal of `proto/errors.json`. `reason_rules.ts` has the rules. */
import {
  checkTested,
  checkUnique,
  countsAsTest,
  type ReasonEntry,
  REGISTRY,
} from "./reason_rules.ts";
import { listFiles, ROOT } from "../checkout/source_files.ts";
import { exitWith } from "../checkout/violation.ts";

if (import.meta.main) {
  const entries: ReasonEntry[] = JSON.parse(await Deno.readTextFile(ROOT + REGISTRY)).errors;
  const paths = (await listFiles([".ts"])).filter(countsAsTest);
  const tests = await Promise.all(paths.map((path) => Deno.readTextFile(ROOT + path)));
  const planned = entries.filter((entry) => entry.planned === true).length;
  exitWith(
    [...checkUnique(entries), ...checkTested(entries, tests)],
    `${entries.length - planned} reasons are tested, ${planned} are planned`,
  );
}
