/**
 * `deno task readme`: follows README.md, and documents with the mark `RUN_PAGE`, literally, in this checkout, and
 * compares the output. `readme_steps.ts` defines how a page marks its commands. The last line is `N passed, N failed`.
 */
import { basename } from "node:path";
import { doSteps, type Setting } from "./reader.ts";
import { readSteps, RUN_PAGE, type Step, withoutCommands } from "./readme_steps.ts";

const USAGE = `usage: deno task readme [--without-tests | --test-command] [PAGE...]

  --without-tests  everything but the command that runs the tests
  --test-command   print that command as it stands in README.md, and run nothing
  PAGE             other pages than README.md and the documents that are marked`;

const HEADINGS = ["Run it", "Talk to it"];
/** The state of buses and the tests' installations: other users of this checkout may be using them. */
const SHARED_FOLDER = ".arqon";

const namesIn = async (folder: string): Promise<string[]> =>
  (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);

/** Documents whose commands run, in addition to the README. */
async function markedPages(): Promise<string[]> {
  const names = (await namesIn("docs")).filter((name) => name.endsWith(".md")).sort();
  const pages = names.map((name) => `docs/${name}`);
  const texts = await Promise.all(pages.map((page) => Deno.readTextFile(page)));
  return pages.filter((_, at) => texts[at]?.includes(RUN_PAGE));
}

/** The ports of this machine that a page names and that are occupied. */
function portsInUse(page: string): string[] {
  const named = new Set([...page.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, port]) => port));
  return [...named].flatMap((port = "") => {
    try {
      Deno.listen({ hostname: "127.0.0.1", port: Number(port) }).close();
      return [];
    } catch (error) {
      if (error instanceof Deno.errors.AddrInUse) return [port];
      throw error;
    }
  });
}

/** The problems of a page before anything runs. */
function problemsOf(path: string, page: string, steps: readonly Step[]): string[] {
  const headings = basename(path) === "README.md" ? HEADINGS : [];
  const silent = withoutCommands(steps, headings).map((heading) =>
    `${path}: nothing is run below the heading "${heading}"`
  );
  const taken = portsInUse(page).map((port) =>
    `${path}: port ${port} is in use, which its commands need: end what listens there, such as a bus`
  );
  return [...silent, ...taken];
}

class Run {
  passed = 0;
  failed = 0;
  constructor(readonly setting: Setting, readonly with_tests: boolean) {}

  fail(problem: string): void {
    this.failed++;
    console.log(`FAIL ${problem}`);
  }

  async page(path: string): Promise<void> {
    const page = await Deno.readTextFile(path);
    let steps: Step[];
    try {
      steps = readSteps(page);
    } catch (error) {
      return this.fail(`${path}: ${error instanceof Error ? error.message : error}`);
    }
    const problems = problemsOf(path, page, steps);
    for (const problem of problems) this.fail(problem);
    if (problems.length > 0) return;
    const wanted = steps.filter(({ kind }) => this.with_tests || kind !== "tests");
    const before = new Set(await namesIn("."));
    for await (const { step, problem, seconds } of doSteps(wanted, this.setting)) {
      const by = step.kind === "printed" ? step.by : step.line;
      const commands = steps.find(({ line }) => line === by)?.text.trimEnd() ?? "";
      const at = `${path}:${step.line}: ${commands}`;
      if (problem !== undefined) this.fail(`${at}\n  ${problem}`);
      else if (step.kind !== "file") {
        this.passed++;
        console.log(`ok   ${at.split("\n")[0]} (${seconds.toFixed(1)} s)`);
      }
    }
    // A developer's own files are kept: the page has separate names for its files.
    const made = (await namesIn(".")).filter((name) => !before.has(name) && page.includes(name));
    for (const name of made) {
      if (name !== SHARED_FOLDER) await Deno.remove(name, { recursive: true });
    }
  }
}

async function printTestCommand(): Promise<void> {
  const steps = readSteps(await Deno.readTextFile("README.md"));
  const tests = steps.filter(({ kind }) => kind === "tests").map(({ text }) => text.trimEnd());
  if (tests.length !== 1) throw new Error("README.md has not one block marked as test command");
  console.log(tests[0]);
}

if (import.meta.main) {
  const options = Deno.args.filter((arg) => arg.startsWith("-"));
  const pages = Deno.args.filter((arg) => !arg.startsWith("-"));
  const known = ["--without-tests", "--test-command"];
  if (options.length > 1 || options.some((option) => !known.includes(option))) {
    console.error(USAGE);
    Deno.exit(2);
  }
  if (options[0] === "--test-command") await printTestCommand();
  else {
    const stopping = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      Deno.addSignalListener(signal, () => stopping.abort());
    }
    const setting = { folder: Deno.cwd(), signal: stopping.signal };
    const run = new Run(setting, options.length === 0);
    for (const path of pages.length > 0 ? pages : ["README.md", ...await markedPages()]) {
      if (!stopping.signal.aborted) await run.page(path);
    }
    console.log(`\n${run.passed} passed, ${run.failed} failed`);
    Deno.exit(run.failed > 0 ? 1 : 0);
  }
}
