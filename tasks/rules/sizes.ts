/**
 * Checks the house rules for lengths, names, comments and docstrings over the whole checkout. `size_rules.ts`
 * has the rules, which do not hold for generated files. Arguments limit the check to paths that begin with
 * them: `deno run --allow-read --allow-env tasks/rules/sizes.ts shield/`.
 */
import {
  checkName,
  checkOpening,
  checkText,
  checkTypeScript,
  READ_EXTENSIONS,
} from "./size_rules.ts";
import { checkPythonSleeps } from "./sleep_rules.ts";
import { isGenerated, listFiles, ROOT } from "../checkout/source_files.ts";
import { exitWith, type Violation } from "../checkout/violation.ts";

const isPythonTest = (path: string) => /^(sdk\/python\/)?tests\/.*\.py$/.test(path);

function check(path: string, text: string): Violation[] {
  if (path.endsWith(".ts")) return checkTypeScript(path, text);
  if (path.endsWith(".proto")) {
    return [...checkName(path), ...checkText(path, text), ...checkOpening(path, text)];
  }
  return [
    ...checkText(path, text, Infinity),
    ...(isPythonTest(path) ? checkPythonSleeps(path, text) : []),
  ];
}

if (import.meta.main) {
  const all = await listFiles(READ_EXTENSIONS);
  const asked = (path: string) =>
    Deno.args.length === 0 || Deno.args.some((start) => path.startsWith(start));
  const files = all.filter((path) => !isGenerated(path) && asked(path));
  const checked = files.map(async (path) => check(path, await Deno.readTextFile(ROOT + path)));
  exitWith((await Promise.all(checked)).flat(), `${files.length} files keep the house rules`);
}
