/**
 * The rule of docs/architecture.md#code that the kernel knows no capability, as a count of arrows that only falls. A
 * folder of `CAPABILITIES` belongs to a capability; every other one of the servers is kernel.
 */
import type { Violation } from "../checkout/violation.ts";
import { isTestCode } from "../checkout/source_files.ts";
import type { Module } from "./layer_rules.ts";

/** The servers' packages. */
const SERVERS = ["shared", "shield", "brain"];

/** Each capability with its folders, and what is below them. */
export const CAPABILITIES: Readonly<Record<string, readonly string[]>> = {
  audit: ["shield/audit", "shared/audit"],
  backup: ["shared/backup", "shield/backup"],
  bridge: ["shared/bridge"],
  centrifugo: ["shield/centrifugo"],
  console: ["shield/admin/console"],
  data: ["shield/data"],
  deltas: ["shield/deltas", "shield/fossil", "shield/vcdiff"],
  durable: ["shield/durable"],
  filters: ["shield/filter", "shared/filter"],
  growing: ["shield/growing"],
  hooks: ["shield/hooks", "brain/hooks", "shared/hooks"],
  inspect: ["shield/admin/inspect"],
  journal: ["shield/journal", "shared/journal"],
  memory: ["shield/memory"],
  mirror: ["shield/mirror"],
  moderation: ["shield/admin/operations"],
  plan: ["shield/apply"],
  policies: ["shield/policy", "shared/rollout", "brain/rollouts"],
  presence: [
    ...["shield/presence", "brain/presence", "brain/membership"],
    ...["shared/presence", "shared/membership"],
  ],
  pusher: ["shield/pusher"],
  quota: ["shield/quota"],
  reducers: ["shield/reducers", "brain/reducers"],
  proof: ["shield/proof"],
  schedules: ["shield/schedules"],
  schemas: ["shield/schema", "shared/schema"],
  sse: ["shield/sse"],
  streams: ["shield/streams"],
  traces: ["shield/traces"],
  usage: ["shield/usage", "shared/usage"],
  why: ["shield/ledger"],
};

/**
 * The lists of capabilities, which name them: the place of those names. They import a capability by its
 * `capability.ts` only, and the kernel imports no list.
 */
export const LISTS: readonly string[] = ["shield/capabilities.ts", "brain/capabilities.ts"];
/** The programs that hand a list to the kernel. */
const PROGRAMS = ["shield/main.ts", "brain/main.ts"];

/**
 * How many imports lead from each folder of the kernel to capabilities. A number is made smaller with the code; a
 * folder that has none is left out.
 */
export const ARROWS: Readonly<Record<string, number>> = {
  brain: 4,
  "shared/config": 1,
  shield: 20,
};

const folderOf = (path: string) => path.slice(0, path.lastIndexOf("/"));

/** The capability to which a module belongs; undefined: the kernel, or no server. */
export function capabilityOf(path: string): string | undefined {
  for (const [name, folders] of Object.entries(CAPABILITIES)) {
    if (folders.some((folder) => path.startsWith(`${folder}/`))) return name;
  }
  return undefined;
}

/** The imports from each folder of the kernel to capabilities. */
export function countArrows(modules: readonly Module[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { path, imports } of modules) {
    const is_kernel = !LISTS.includes(path) && SERVERS.includes(path.split("/", 1)[0] ?? "") &&
      !isTestCode(path) &&
      capabilityOf(path) === undefined;
    if (!is_kernel) continue;
    const arrows = imports.filter(({ target }) => capabilityOf(target) !== undefined).length;
    if (arrows > 0) counts.set(folderOf(path), (counts.get(folderOf(path)) ?? 0) + arrows);
  }
  return counts;
}

/** Every import of a list that is no `capability.ts`, and every one that leads from a server to a list. */
export function checkLists(modules: readonly Module[]): Violation[] {
  return modules.filter(({ path }) => SERVERS.includes(path.split("/", 1)[0] ?? "")).flatMap(
    ({ path, imports }) =>
      imports.flatMap(({ target, line }) => {
        const is_list = LISTS.includes(path);
        if (is_list && capabilityOf(target) !== undefined && !target.endsWith("/capability.ts")) {
          return [{ path, line, message: `a list names a capability.ts, and not ${target}` }];
        }
        const may = is_list || PROGRAMS.includes(path) || isTestCode(path);
        if (may || !LISTS.includes(target)) return [];
        return [{
          path,
          line,
          message: `${target} is handed to the kernel, which does not import it`,
        }];
      }),
  );
}

/** Every folder with another number of arrows than `allowed` says, and every folder of it that is not there. */
export function checkArrows(
  modules: readonly Module[],
  allowed: Readonly<Record<string, number>> = ARROWS,
): Violation[] {
  const counts = countArrows(modules);
  const folders = new Set([...counts.keys(), ...Object.keys(allowed)]);
  return [...folders].toSorted().flatMap((folder) => {
    const [found, most] = [counts.get(folder) ?? 0, allowed[folder] ?? 0];
    if (found === most) return [];
    const message = found > most
      ? `${found} imports lead from the kernel to capabilities; ${most} did: let the capability bring what the kernel needs`
      : `only ${found} imports lead to capabilities: make the number in tasks/rules/house_rules.ts ${found}`;
    return [{ path: folder, line: 0, message }];
  });
}
