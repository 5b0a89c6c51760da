/**
 * The order of the folders in each package, as a pure function over a list of modules: a folder imports
 * nothing from a folder above itself. `layer_rules.ts` has the order of the packages.
 */
import { isTestCode } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";
import type { Module } from "./layer_rules.ts";

/**
 * The folders with product files of each package, lowest first. A module may import values from its own
 * folder and from those before it. It may import types from anywhere, since types do not run. An entry
 * `mod.ts`, which only exports what others declare, belongs to no floor. Neither does a `capability.ts`, which
 * says what its folder and those below it bring: routes are on a high floor, what a message passes on a low one.
 */
export const FOLDERS: readonly (readonly string[])[] = [
  [
    "proto/gen",
    "proto/gen/arqon/v1",
    "proto/errors",
    "proto/wire",
    "proto/envelope",
    "proto/text",
    "proto/frame",
    "proto",
  ],
  [
    "shared",
    "shared/containers",
    "shared/proof",
    "shared/subjects",
    "shared/turns",
    "shared/rates",
    "shared/metrics",
    "shared/logs",
    "shared/watchdog",
    "shared/audit",
    "shared/journal",
    "shared/schema",
    "shared/schema/compatibility",
    "shared/schema/descriptors",
    "shared/config/keys",
    "shared/filter",
    "shared/config/values",
    "shared/config/automation",
    "shared/hooks",
    "shared/config",
    "shared/config/live",
    "shared/http1",
    "shared/process",
    "shared/listeners",
    "shared/spine/contract",
    "shared/rooms",
    "shared/records",
    "shared/presence",
    "shared/membership",
    "shared/rollout",
    "shared/spine/conformance",
    "shared/spine/embedded",
    "shared/spine/nats/connection",
    "shared/spine/nats/log",
    "shared/spine/nats/stores",
    "shared/spine/nats",
    "shared/spine",
    "shared/telemetry",
    "shared/cluster",
    "shared/lives",
    "shared/blocks",
    "shared/usage",
    "shared/backup",
  ],
  ["wasm/module", "wasm/metering", "wasm/instance", "wasm/reducer/schema", "wasm/reducer"],
  [
    "shield/stats",
    "shield/ledger",
    "shield/rates",
    "shield/quota",
    "shield/settings",
    "shield/socket",
    "shield/sse",
    "shield/traces",
    "shield/auth",
    "shield/message",
    "shield/memory",
    "shield/journal",
    "shield/usage",
    "shield/openapi",
    "shield/admin/routing",
    "shield/admin/console",
    "shield/audit",
    "shield/backup",
    "shield/mirror",
    "shield/rooms",
    "shield/policy/abi",
    "shield/policy/logs",
    "shield/policy/state",
    "shield/policy/ring",
    "shield/policy/modules",
    "shield/policy/worker",
    "shield/policy/pool",
    "shield/policy/chain",
    "shield/policy",
    "shield/reducers",
    "shield/schema/validation",
    "shield/schema/registry",
    "shield/schema/admin",
    "shield/schema",
    "shield/filter",
    "shield/signals",
    "shield/durable/messages",
    "shield/durable/recovery",
    "shield/durable/log",
    "shield/durable/room",
    "shield/durable/history",
    "shield/durable",
    "shield/fossil",
    "shield/vcdiff",
    "shield/growing",
    "shield/fanout",
    "shield/deltas",
    "shield/presence",
    "shield/connection",
    "shield/backend",
    "shield/schedules",
    "shield/hooks",
    "shield/apply",
    "shield/http",
    "shield/growing/http",
    "shield/durable/http",
    "shield/sse/http",
    "shield/streams",
    "shield/journal/admin",
    "shield/usage/admin",
    "shield/data",
    "shield/proof",
    "shield/admin/inspect",
    "shield/pusher",
    "shield/centrifugo",
    "shield/admin/operations",
    "shield/admin",
    "shield/supervisor",
    "shield",
  ],
  [
    "brain/telemetry",
    "brain/presence",
    "brain/classes",
    "brain/reducers/state",
    "brain/reducers/guest",
    "brain/reducers/log",
    "brain/reducers/visible",
    "brain/reducers/thread",
    "brain/reducers/usage",
    "brain/reducers/room",
    "brain/reducers/removal",
    "brain/reducers",
    "brain/rooms/locks",
    "brain/rooms/store",
    "brain/rooms/commands",
    "brain/rooms/lives",
    "brain/rooms/room",
    "brain/rooms/desk",
    "brain/rooms",
    "brain/membership",
    "brain/rollouts",
    "brain/hooks",
    "brain",
  ],
  [
    "sdk/typescript/time",
    "sdk/typescript/wire",
    "sdk/typescript/message",
    "sdk/typescript/durable",
    "sdk/typescript/presence",
    "sdk/typescript/token",
    "sdk/typescript/options",
    "sdk/typescript/delta",
    "sdk/typescript/pattern",
    "sdk/typescript/http",
    "sdk/typescript/request",
    "sdk/typescript/state",
    "sdk/typescript/subscription",
    "sdk/typescript/room",
    "sdk/typescript/growing",
    "sdk/typescript/connection",
    "sdk/typescript/reducers",
    "sdk/typescript/stores",
    "sdk/typescript",
    "sdk/yjs/log",
    "sdk/yjs/edits",
    "sdk/yjs",
  ],
  ["sdk/react"],
  [
    "arq/terminal",
    "arq/reducers/types",
    "arq/reducers",
    "arq/answers",
    "arq/bus",
    "arq/backup",
    "arq/completion",
    "arq/config",
    "arq/doctor",
    "arq/init/schema",
    "arq/init",
    "arq/journal",
    "arq/policies",
    "arq/replay",
    "arq/rooms",
    "arq/traffic",
    "arq/schemas",
    "arq/bridge",
    "arq/serve",
    "arq/desired",
    "arq/commands/audit",
    "arq/commands/auth",
    "arq/commands/backup",
    "arq/commands/bridge",
    "arq/commands/cluster",
    "arq/commands/data",
    "arq/commands/dev",
    "arq/commands/journal",
    "arq/commands/mirror",
    "arq/commands/policy",
    "arq/commands/proof",
    "arq/commands/reducer",
    "arq/commands/room",
    "arq/commands/schema",
    "arq/commands/desired",
    "arq/commands/setup",
    "arq/program/groups",
    "arq/program/groups/policy",
    "arq/program/groups/data",
    "arq/program",
    "arq",
  ],
  [
    "bench/measure",
    "bench/load/wires",
    "bench/load/targets",
    "bench/load/plans",
    "bench/load/crowd",
    "bench/load",
    "bench/policy",
    "bench/journal",
    "bench/governance",
    "bench/durable",
    "bench/slow_reader",
    "bench/storm",
    "bench/sockets",
    "bench/kernels",
    "bench/leaves",
    "bench/scaling",
    "bench/sizing",
    "bench/usage",
    "bench/peers",
    "bench",
  ],
];

/** Most product files directly in one folder. */
export const FOLDER_FILES = 25;

const folderOf = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf("/")));
/** Whether a module brings together what its folder and those below it have, whatever their floors. */
const isBringing = (path: string) => path.endsWith("/capability.ts");
const isProduct = (path: string) => !isTestCode(path) && !path.endsWith("/mod.ts");

/** Every import of a value from a higher folder of the same package, and every folder without a place. */
export function checkFolders(
  modules: readonly Module[],
  packages: readonly (readonly string[])[] = FOLDERS,
): Violation[] {
  const floors = new Map(
    packages.flatMap((folders, at) =>
      folders.map((
        folder,
        floor,
      ): [string, { at: number; floor: number }] => [folder, { at, floor }])
    ),
  );
  const roots = new Set(packages.flatMap((folders) => folders.map((one) => one.split("/", 1)[0])));
  const violations: Violation[] = [];
  for (const { path, imports } of modules) {
    if (!roots.has(path.split("/", 1)[0]) || !isProduct(path) || isBringing(path)) continue;
    const own = floors.get(folderOf(path));
    if (own === undefined) {
      const message = `${folderOf(path)}/ has no place in FOLDERS of tasks/rules/folder_rules.ts`;
      violations.push({ path, line: 0, message });
      continue;
    }
    for (const { target, line, is_type } of imports) {
      const other = floors.get(folderOf(target));
      if (is_type === true || !isProduct(target) || other?.at !== own.at) continue;
      if (other.floor <= own.floor) continue;
      const message = `${folderOf(path)}/ must not need ${folderOf(target)}/, which is above it ` +
        `(${target}); see FOLDERS in tasks/rules/folder_rules.ts`;
      violations.push({ path, line, message });
    }
  }
  return [...violations, ...crowded(modules)];
}

/** Every folder with more product files directly in it than a newcomer can survey. */
function crowded(modules: readonly Module[]): Violation[] {
  const counts = Map.groupBy(
    modules.filter(({ path }) => isProduct(path)),
    ({ path }) => folderOf(path),
  );
  return [...counts].filter(([, { length }]) => length > FOLDER_FILES).map((
    [path, { length }],
  ) => ({
    path,
    line: 0,
    message: `${length} product files directly in one folder; at most ${FOLDER_FILES}`,
  }));
}
