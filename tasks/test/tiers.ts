/**
 * Which of our three test tasks runs a test file: `test` has those that start no process, `test:cluster` those that need
 * NATS, Valkey, PostgreSQL, Prometheus or a proxy, `test:all` all others: kills, the short forms of long programs, tests
 * of benchmarks, and the slow ones. Read from the sources, so that a new test has its task by what it does. Pure; the
 * tasks are `test.ts`, `test_cluster.ts` and `test_all.ts`.
 */
import { isTestPart, reachesSign, type SourceModule } from "./source_modules.ts";

/** The three sets of test files; a file is in one of them. */
export interface Tiers {
  readonly test: readonly string[];
  readonly cluster: readonly string[];
  readonly all: readonly string[];
}

/** Signs that a test starts a process, changes the folder of its own, or starts a thread. */
const STARTS = /\bDeno\.(Command|kill|chdir)\b|\bstartNats\b|\bnew Worker\(/;

/** Signs that a test starts a server that is not ours. */
const NEEDS = /\bstart(Nats|Valkey|Postgres)\b|"(postgres|prometheus|promtool|haproxy|nginx)"/;

/** Names of tests in which processes are killed at many moments. One kill at one moment is in many a test beside these. */
const KILLS = /(^|\/|_)kill(ed)?_[^/]*$/;

/** Tests of the benchmarks, on which no user's promise stands. */
const BENCHMARKS = /^bench\//;

/** What the long programs run, such as `deno task chaos`, with their `main.ts` beside it. */
const RUN_OF_PROGRAM = /^(tests\/[^/]+\/)run\.ts$/;

/** Folders and files that deno takes for tests, and that other tasks run: with shared data, or k6. */
export const OTHER_TASKS: readonly string[] = [
  "tests/external",
  "tasks/test/test.ts",
  "tests/load/load_test.js",
];

/**
 * Tests that take half a minute of a core or more each: they hold a stream, install packages for several runtimes, follow
 * tutorials, build the documents' site, drive a browser, attack a bus, fill a process's memory, put older copies of data
 * back, move to a second site, or kill databases and buses again and again. And those that time what policies do beside a
 * reference loop, and those of what is deployed: manifests, dashboards and alerts.
 */
export const SLOW: readonly string[] = [
  "arq/commands/room/follow_test.ts",
  "bench/peers/peers_test.ts",
  "brain/reducers/crash_test.ts",
  "brain/reducers/removal/histories_test.ts",
  "shield/policy/host_price_test.ts",
  "shield/policy/instance_price_test.ts",
  "shield/schema/large_sets_test.ts",
  "tasks/workflows/workflows_test.ts",
  "tests/alerts/bridge_test.ts",
  "tests/alerts/clocks_test.ts",
  "tests/alerts/dependencies_test.ts",
  "tests/alerts/machine_test.ts",
  "tests/alerts/nats_test.ts",
  "tests/alerts/processes_test.ts",
  "tests/alerts/set_aside_test.ts",
  "tests/alerts/stores_test.ts",
  "tests/alerts/tenants_test.ts",
  "tests/announced_rooms_test.ts",
  "tests/backup_nats_test.ts",
  "tests/backup_oracle_test.ts",
  "tests/backup_usage_test.ts",
  "tests/binaries/npm_test.ts",
  "tests/binaries/packed_test.ts",
  "tests/bridge/show_test.ts",
  "tests/bridge_page_test.ts",
  "tests/bridge_rights_test.ts",
  "tests/bridge_serve_test.ts",
  "tests/bridge_slot_test.ts",
  "tests/console_test.ts",
  "tests/cookbook/token_servers_test.ts",
  "tests/deploy_chart_test.ts",
  "tests/deploy_start_test.ts",
  "tests/deploy_test.ts",
  "tests/dev_stack_test.ts",
  "tests/editor_example_test.ts",
  "tests/hostile/gallery_test.ts",
  "tests/installed_pages_test.ts",
  "tests/memory/memory_test.ts",
  "tests/model/triples_test.ts",
  "tests/moving/trigger_test.ts",
  "tests/nats_backends_test.ts",
  "tests/packages/packages_test.ts",
  "tests/presence_simulation/long_test.ts",
  "tests/production/production_test.ts",
  "tests/prometheus_test.ts",
  "tests/proof/attacks_test.ts",
  "tests/proof/browser_test.ts",
  "tests/proof/fault_run_test.ts",
  "tests/proof/third_party_test.ts",
  "tests/proof/witness_nats_test.ts",
  "tests/react/react_test.ts",
  "tests/reducer_chaos/show_test.ts",
  "tests/restore/restore_test.ts",
  "tests/rollout_test.ts",
  "tests/site_test.ts",
  "tests/thawed_server_test.ts",
  "tests/tutorial/tutorial_sdks_test.ts",
  "tests/tutorial/tutorial_test.ts",
  "tests/upgrade/upgrade_test.ts",
  "tests/walks/focuses_test.ts",
];

/** Groups of `test` that take longest; the longest first. */
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

/** Tests of `test:cluster` that take longest, by their load or since they wait; the longest first. */
export const LONGEST_CLUSTER: readonly (readonly string[])[] = [
  ["tests/model/together_nats_test.ts"],
  ["tests/model/faults_nats_test.ts"],
  ["tests/journal_storage_test.ts"],
  ["tests/drain_test.ts"],
  ["tests/accounts_test.ts"],
  ["tests/audit_test.ts"],
];

/** Sorts the test files among `modules`, which must hold all that they import. */
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
  // The slow ones begin first, so that none is left when all others are done, and lie in different slices.
  return {
    test,
    cluster,
    all: [
      ...SLOW.filter((path) => all.includes(path)),
      ...all.filter((path) => !SLOW.includes(path)),
    ],
  };
}

/** The `at`th of `count` slices of a list, dealt out in turn. */
export function sliceOf(list: readonly string[], at: number, count: number): string[] {
  return list.filter((_, index) => index % count === at);
}
