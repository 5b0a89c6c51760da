/**
 * `deno task coverage`: runs the quiet tests of each folder with a coverage floor, and fails when a folder is not above
 * its floor. All lines of a file that no test loads count as not run. `test:all` runs it: the tests under coverage take
 * as long as the rest of `verify`, and run without it at every landing. What reads and judges a report is pure.
 */
import ts from "typescript";
import { isTestCode, listFiles, ROOT } from "../checkout/source_files.ts";
import { finish } from "../test/run_tests.ts";
import { sourceModules } from "../test/source_modules.ts";
import { testGroups } from "../test/test_groups.ts";
import { testModules } from "../test/test_modules.ts";
import { tiersOf } from "../test/tiers.ts";

/** Line counts of one file: lines that can run, and lines that did run. */
export interface LineCount {
  readonly lines: number;
  readonly hit: number;
}

/** Folders with a floor: more than this share of their lines must run in tests. */
const FLOORS: Readonly<Record<string, number>> = {
  "brain": 0.8,
  "shared/presence": 0.8,
  "shield/policy": 0.8,
};

/** Line counts by path from an lcov report; `root` is cut off the front of each path. */
export function parseLcov(text: string, root: string): Map<string, LineCount> {
  const counts = new Map<string, LineCount>();
  let path = "";
  let lines = new Map<number, boolean>();
  for (const row of text.split("\n")) {
    if (row.startsWith("SF:")) {
      path = row.slice(3).replace(root, "");
      lines = new Map();
    } else if (row.startsWith("DA:")) {
      const [line = 0, times = 0] = row.slice(3).split(",").map(Number);
      lines.set(line, times > 0 || lines.get(line) === true);
    } else if (row === "end_of_record") {
      counts.set(path, { lines: lines.size, hit: [...lines.values()].filter(Boolean).length });
    }
  }
  return counts;
}

/** Number of lines of a source text that can run; imports, types and comments cannot. */
export function runnableLines(text: string): number {
  const source = ts.createSourceFile("a.ts", text, ts.ScriptTarget.ESNext, true);
  const lines = new Set<number>();
  const visit = (node: ts.Node): void => {
    if (
      ts.isImportDeclaration(node) || ts.isInterfaceDeclaration(node) ||
      ts.isTypeAliasDeclaration(node) || ts.isExportDeclaration(node)
    ) return;
    const children = node.getChildren(source).filter((child) => !ts.isJSDoc(child));
    if (children.length === 0 && node.getWidth(source) > 0) {
      lines.add(source.getLineAndCharacterOfPosition(node.getStart(source)).line);
    }
    children.forEach(visit);
  };
  source.statements.forEach(visit);
  return lines.size;
}

/** The sum of the line counts of all files below a folder. */
export function folderCoverage(
  counts: ReadonlyMap<string, LineCount>,
  folder: string,
): LineCount {
  let lines = 0;
  let hit = 0;
  for (const [path, count] of counts) {
    if (!path.startsWith(`${folder}/`)) continue;
    lines += count.lines;
    hit += count.hit;
  }
  return { lines, hit };
}

/** Whether a folder is above its floor. A folder without a line that can run is not. */
export function isAboveFloor({ lines, hit }: LineCount, floor: number): boolean {
  return lines > 0 && hit / lines > floor;
}

/** Quiet tests elsewhere that run most of the reducers' code. */
const FAR_TESTS =
  /^tests\/(reducers|reducers_optimistic|reducers_typed|rooms|usage_reducers)_test\.ts$/;

async function deno(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    stdin: "null",
    env: { NO_COLOR: "1", ...env },
  });
  const { success, stdout, stderr } = await command.output();
  const text = new TextDecoder().decode(stdout);
  if (success) return text;
  // Of a failed test run only the errors: who sees the end of a long output must see them.
  const errors_at = text.search(/^ *ERRORS *$/m);
  console.error((errors_at < 0 ? text : text.slice(errors_at)) + new TextDecoder().decode(stderr));
  console.error(`deno ${args.join(" ")} failed`);
  Deno.exit(1);
}

async function measure(folders: readonly string[]): Promise<Map<string, LineCount>> {
  const { test } = tiersOf(await sourceModules());
  const tests = test.filter((path) =>
    FAR_TESTS.test(path) || folders.some((folder) => path.startsWith(`${folder}/`))
  );
  const profile = await Deno.makeTempDir({ prefix: "arqon-coverage-" });
  try {
    const raw = ["--coverage-raw-data-only", `--coverage=${profile}`];
    // With the variable, programs that a test starts report their coverage too.
    // The other tasks' modules stay, and what Deno keeps of their types: it would keep these files' alone.
    const modules = await testModules(tests, testGroups, "coverage-");
    await deno(["task", "--quiet", "test", ...raw, ...modules], { DENO_COVERAGE_DIR: profile });
    const include = `--include=^file://${ROOT}(${folders.join("|")})/`;
    return parseLcov(await deno(["coverage", "--lcov", include, profile]), ROOT);
  } finally {
    await Deno.remove(profile, { recursive: true });
  }
}

if (import.meta.main) {
  const sources = (await listFiles([".ts"])).filter((path) => !isTestCode(path));
  const folders = Object.keys(FLOORS).filter((folder) =>
    sources.some((path) => path.startsWith(`${folder}/`))
  );
  const counts = await measure(folders);
  for (const path of counts.keys()) if (isTestCode(path)) counts.delete(path);
  for (const path of sources) {
    if (counts.has(path)) continue;
    const lines = runnableLines(await Deno.readTextFile(ROOT + path));
    if (lines > 0) counts.set(path, { lines, hit: 0 });
  }
  let failed = 0;
  for (const folder of folders) {
    const count = folderCoverage(counts, folder);
    const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
    const share = `${folder}: ${percent(count.hit / count.lines)} of ${count.lines} lines`;
    const floor = FLOORS[folder] ?? 1;
    const above = isAboveFloor(count, floor);
    if (!above) failed++;
    console.log(above ? share : `FAIL  ${share}; the floor is above ${percent(floor)}`);
    for (const [path, { lines, hit }] of counts) {
      if (!path.startsWith(`${folder}/`)) continue;
      console.log(`  ${path}: ${percent(lines === 0 ? 1 : hit / lines)} of ${lines}`);
    }
  }
  finish({ passed: folders.length - failed, failed });
}
