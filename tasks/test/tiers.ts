/**
 * Assigns each test file to one of three test tasks: `test` has the tests that start no process, `test:cluster` those
 * that need NATS, Valkey, PostgreSQL, Prometheus or a proxy, `test:all` all others: kills, the short forms of long
 * programs, tests of benchmarks, and slow tests. The task follows from the sources of the test, so a new test needs no
 * entry. `test.ts` has the tasks.
 */
import { listFiles, ROOT } from "../checkout/source_files.ts";

/** The three sets of test files; each file is in exactly one. */
export interface Tiers {
  readonly test: readonly string[];
  readonly cluster: readonly string[];
  readonly all: readonly string[];
}

/** Signs that a test starts a process, changes its own working directory, or starts a thread. */
const STARTS =
  /\bDeno\.(Command|kill|chdir)\b|from "\.[^"]*\/checkout\/(programs|streamed_command)\.ts"|\bstartNats\b|\bnew Worker\(/;

/** Signs that a test starts a server of another project. */
const NEEDS = /\bstart(Nats|Valkey|Postgres)\b|"(postgres|prometheus|promtool|haproxy|nginx)"/;

/** Names of tests that kill processes at many moments. Many other tests have one kill at one moment. */
const KILLS = /(^|\/|_)kill(ed)?_[^/]*$/;

/** Tests of the benchmarks, on which no promise to users depends. */
const BENCHMARKS = /^bench\//;

/** The parts of long programs, such as `deno task chaos`, beside their `main.ts`. */
const RUN_OF_PROGRAM = /^(tests\/[^/]+\/)run\.ts$/;

/** Folders and files that match deno's test patterns, but belong to other tasks: with shared data, or k6. */
export const OTHER_TASKS: readonly string[] = [
  "tests/external",
  "tasks/test/test.ts",
  "tests/load/load_test.js",
];

/**
 * Tests that take half a minute of a core or more each: they hold a stream, install packages for several runtimes,
 * follow tutorials, build the documents' site, drive a browser, attack a bus, fill a process's memory, restore older
 * copies of data, move to a second site, or kill databases and buses repeatedly. The list also has the tests that
 * compare policies with a reference loop, and those of the deployment: manifests, dashboards and alerts.
 */
const SLOW_TABLE = `
arq/commands/room: follow
brain/reducers: crash removal/histories
shield/policy: host_price instance_price
shield/schema: large_sets
tasks/workflows: workflows
tests/alerts: bridge clocks dependencies machine nats processes set_aside stores tenants
tests: announced_rooms backup_nats binaries/npm binaries/packed
  bridge/show bridge_page bridge_rights bridge_serve bridge_slot console cookbook/token_servers
  deploy_start deploy dev_stack editor_example hostile/gallery installed_pages
  memory/memory model/triples moving/trigger nats_backends packages/packages
  presence_simulation/long production/production prometheus proof/attacks proof/browser
  proof/third_party proof/witness_nats react/react reducer_chaos/show
  restore/restore rollout site thawed_server tutorial/tutorial_sdks tutorial/tutorial
  upgrade/upgrade walks/focuses`;

/** Their paths, from the folders and names of the table above. */
export const SLOW: readonly string[] = SLOW_TABLE.trim().split(/\n(?! )/).flatMap((line) => {
  const [folder, ...names] = line.split(/:?\s+/);
  return names.map((name) => `${folder}/${name}_test.ts`);
});

/** The slowest groups of `test`; the slowest first. */
export const LONGEST: readonly (readonly string[])[] = [
  ["tests/model/together_test.ts"],
  ["tests/model/faults_calm_test.ts"],
  // To load the compiler of AssemblyScript into an isolate takes 5 s of a core.
  [
    "policies/compiler/assemblyscript_test.ts",
    "arq/commands/reducer/reducer_test.ts",
    "arq/commands/reducer/reducer_fields_test.ts",
    "arq/commands/reducer/reducer_types_test.ts",
  ],
  ["tests/limits_test.ts", "tests/slow_reader_back_test.ts"],
];

/** The slowest tests of `test:cluster`, by their load or their waits; the slowest first. */
export const LONGEST_CLUSTER: readonly (readonly string[])[] = [
  ["tests/model/together_nats_test.ts"],
  ["tests/model/faults_nats_test.ts"],
  ["tests/journal_storage_test.ts"],
  ["tests/drain_test.ts"],
  ["tests/accounts_test.ts"],
  ["tests/audit_test.ts"],
];

/** Sorts the test files among `modules`, which must contain all of their imports. */
export function tiersOf(modules: readonly SourceModule[]): Tiers {
  const has = (sign: RegExp) =>
    reachesSign(modules, ({ path, text }) => isTestPart(path) && sign.test(text));
  const starts = has(STARTS);
  const needs = has(NEEDS);
  const paths = new Set(modules.map(({ path }) => path));
  const isShortForm = reachesSign(modules, ({ path }) => {
    const [, folder] = RUN_OF_PROGRAM.exec(path) ?? [];
    return folder !== undefined && paths.has(`${folder}main.ts`);
  });
  const isOther = (path: string) =>
    OTHER_TASKS.some((one) => path === one || path.startsWith(`${one}/`));
  const files = modules.map(({ path }) => path)
    .filter((path) => path.endsWith("_test.ts") && !isOther(path)).sort();
  const tierOf = (path: string): keyof Tiers => {
    if (SLOW.includes(path) || BENCHMARKS.test(path)) return "all";
    if (!needs(path)) return starts(path) ? "all" : "test";
    return KILLS.test(path) || isShortForm(path) ? "all" : "cluster";
  };
  const { test = [], cluster = [], all = [] } = Object.groupBy(files, tierOf);
  // The slow tests start first, so that none runs alone at the end, and are distributed over the slices.
  return {
    test,
    cluster,
    all: [
      ...SLOW.filter((path) => all.includes(path)),
      ...all.filter((path) => !SLOW.includes(path)),
    ],
  };
}

/** The `at`th of `count` slices of a list, distributed round-robin. */
export function sliceOf(list: readonly string[], at: number, count: number): string[] {
  return list.filter((_, index) => index % count === at);
}

/** One of our modules: its path below the root, its text, and the paths of our modules that it imports. */
export interface SourceModule {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

/** Whether a module is a test or only tests import it. */
export const isTestPart = (path: string): boolean =>
  /_test\.ts$|(^|\/)test_|\/testing\/|^tests\//.test(path);

/** Returns whether the module at a path, or one of `modules` that it imports transitively, has the sign. */
export function reachesSign(
  modules: readonly SourceModule[],
  hasSign: (module: SourceModule) => boolean,
): (path: string) => boolean {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const reaches = (path: string, seen: Set<string>): boolean => {
    const module = byPath.get(path);
    if (module === undefined || seen.has(path)) return false;
    seen.add(path);
    return hasSign(module) || module.imports.some((next) => reaches(next, seen));
  };
  return (path) => reaches(path, new Set());
}

/** The path of a relative import in `from`; undefined for packages. */
function target(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

/** All our modules, with their relative imports of values. */
export async function sourceModules(): Promise<SourceModule[]> {
  const files = await listFiles([".ts"]);
  return await Promise.all(files.map(async (path) => {
    const text = await Deno.readTextFile(ROOT + path);
    // Types do not run.
    const values = text.replaceAll(/^import type\b[^;]*;/gm, "");
    const specifiers = [...values.matchAll(/\b(?:from|import)\s*\(?\s*"([^"]+)"/g)];
    const imports = specifiers.map(([, specifier = ""]) => target(path, specifier));
    return { path, text, imports: imports.filter((found) => found !== undefined) };
  }));
}
