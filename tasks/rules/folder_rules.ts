/**
 * The order of the folders in each package, as a pure function over a list of modules: a folder imports nothing from a
 * higher folder. `layer_rules.ts` has the order of the packages.
 */
import { isTestCode } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";
import type { Module } from "./layer_rules.ts";

/** The folders of each package after its name, lowest first; `.` is the package's own folder. */
const TABLE = `
proto: gen gen/arqon errors wire envelope frame text tlog .
shared: . containers fossil turns proof subjects rates metrics logs watchdog journal schema
  schema/compatibility schema/descriptors config/keys filter config/values config/automation hooks
  config config/live http1 process listeners spine/contract audit rooms records
  rollout spine/embedded spine/nats/connection spine/nats/log spine/nats/stores
  spine/nats spine telemetry cluster presence membership lives blocks usage backup
wasm: module metering instance reducer/schema reducer
shield: stats rates admission quota settings socket sse traces auth jwks message tap ledger memory journal usage
  openapi admin/routing admin/console audit backup mirror classes policy/abi policy/logs
  policy/state policy/ring policy/modules policy/worker policy/pool policy/chain policy reducers
  schema/validation schema/registry schema/admin schema filter durable/messages
  durable/recovery durable/log durable/room durable/history vcdiff growing fanout
  deltas presence connection durable patterns backend schedules hooks apply http rooms batch nats_api growing/http durable/http sse/http
  streams journal/admin usage/admin ledger/admin data proof admin/inspect pusher centrifugo admin/operations
  admin description supervisor .
brain: classes ring desk rooms/locks rooms/store rooms/commands rooms/lives rooms/room rooms presence
  reducers/state reducers/guest reducers/log reducers/visible reducers/thread
  reducers/usage reducers/room reducers/removal reducers membership rollouts tap hooks .
sdk: typescript/time typescript/wire typescript/message typescript/durable typescript/presence
  typescript/options typescript/token typescript/delta typescript/http
  typescript/request typescript/state typescript/subscription typescript/room typescript/growing
  typescript/connection typescript/reducers typescript/stores typescript/proof typescript
  yjs/log yjs/edits yjs
sdk: react
arq: terminal reducers/types reducers answers bus backup completion doctor init/schema init
  journal policies replay rooms traffic schemas bridge serve desired commands/audit commands/auth
  commands/backup commands/bridge commands/cluster commands/data commands/dev commands/journal
  commands/mirror commands/policy commands/proof commands/reducer commands/room commands/schema
  commands/desired commands/setup program/groups program
  .
bench: measure load/wires load/targets load/plans load/crowd load policy journal durable
  slow_reader storm sockets kernels leaves sizing usage peers .`;

/**
 * The folders with product files of each package, lowest first. A module may import values from its own folder and from
 * lower ones. It may import types from all folders, since types do not run, unless two files import each other: a
 * reader of one would have to read all. An entry `mod.ts`, which only re-exports, belongs to no floor. Neither does a
 * `capability.ts`, which lists the contributions of its folder and those below it: routes are on a high floor, message
 * handling on a low one.
 */
export const FOLDERS: readonly (readonly string[])[] = TABLE.trim().split(/\n(?! )/).map((line) => {
  const [root = "", folders = ""] = line.split(":");
  return folders.trim().split(/\s+/).map((one) => one === "." ? root : `${root}/${one}`);
});

const folderOf = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf("/")));
/** Whether a module combines its folder and those below it, on any floor. */
const isBringing = (path: string) => path.endsWith("/capability.ts");
const isProduct = (path: string) => !isTestCode(path) && !path.endsWith("/mod.ts");

/** Every import of a value from a higher folder of the same package, and every folder without a floor. */
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
  return [...violations, ...circular(modules)];
}

/** Every module that is part of a cycle of imports, of values or types, or between two cycles. */
function circular(modules: readonly Module[]): Violation[] {
  const rest = new Map(
    modules.map(({ path, imports }) => [path, new Set(imports.map(({ target }) => target))]),
  );
  for (let before = -1; before !== rest.size;) {
    before = rest.size;
    const needed = new Set([...rest.values()].flatMap((targets) => [...targets]));
    for (const [path, targets] of rest) {
      const is_end = !needed.has(path) || ![...targets].some((target) => rest.has(target));
      if (is_end) rest.delete(path);
    }
  }
  return [...rest].map(([path, targets]) => {
    const next = [...targets].filter((target) => rest.has(target)).join(", ");
    const message = `needs itself by way of ${next}; move what both need, or name less of it`;
    return { path, line: 0, message };
  });
}
