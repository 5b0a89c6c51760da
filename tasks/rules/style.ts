/** Checks the words of all documents, comments, help texts and tests. `style_rules.ts` has the kinds. */
import { listFiles, ROOT } from "../checkout/source_files.ts";
import { exitWith } from "../checkout/violation.ts";
import { checkStyle } from "./style_rules.ts";

const EXTENSIONS = [".md", ".ts", ".tsx", ".js", ".py", ".rs", ".toml", ".json", ".yaml", ".yml"];

/** The page and the rules that name the kinds. */
const NAMES_THEM = /^(docs\/style\.md|tasks\/rules\/style_rules(_test)?\.ts|deno\.lock)$/;

if (import.meta.main) {
  const paths = (await listFiles(EXTENSIONS)).filter((path) => !NAMES_THEM.test(path));
  const found = paths.map(async (path) => checkStyle(path, await Deno.readTextFile(ROOT + path)));
  exitWith((await Promise.all(found)).flat(), `${paths.length} files`);
}
