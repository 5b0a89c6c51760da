/**
 * The rule of docs/architecture.md#code that the kernel knows no capability. A folder that a list of capabilities names
 * belongs to one, and so do those of `FOLDERS`; every other folder of the servers is kernel.
 */
import ts from "typescript";
import type { Violation } from "../checkout/violation.ts";
import { isTestCode, ROOT } from "../checkout/source_files.ts";
import type { Module } from "./layer_rules.ts";
import { nodesOf, violationAt } from "./sources.ts";

const SERVERS = ["shared", "shield", "brain"];

/**
 * Folders of capabilities outside of the lists, and capabilities with another name than their folder. Every other
 * capability has the name of its folder.
 */
const FOLDERS: Readonly<Record<string, readonly string[]>> = {
  audit: ["shared/audit"],
  backup: ["shared/backup"],
  bridge: ["shared/bridge"],
  // The format of Fossil is a codec that Centrifugo's clients also have.
  deltas: ["shield/vcdiff"],
  // The language of expressions (`shared/filter`) is also that of room classes, which belong to the kernel.
  filters: ["shield/filter"],
  hooks: ["shared/hooks"],
  journal: ["shared/journal"],
  moderation: ["shield/admin/operations"],
  plan: ["shield/apply"],
  // The stored form of a rollout (`shared/rollout`) is read by plan, policies and schemas.
  policies: ["shield/policy", "brain/rollouts"],
  presence: ["brain/membership", "shared/presence", "shared/membership"],
  schemas: ["shield/schema", "shared/schema"],
  usage: ["shared/usage"],
  why: ["shield/ledger"],
};

/** The capabilities that capabilities may import, beside the kernel; an unused pair must be deleted. */
export const PAIRS: Readonly<Record<string, readonly string[]>> = {
  centrifugo: ["inspect", "sse"],
  data: ["growing"],
  durable: ["filters"],
  filters: ["schemas"],
  hooks: ["presence", "usage"],
  inspect: ["durable"],
  journal: ["mirror"],
  plan: ["policies", "schemas"],
  proof: ["audit"],
  pusher: ["inspect"],
  reducers: ["policies", "usage"],
  streams: ["durable"],
  why: ["journal"],
};

/**
 * The lists of capabilities, the only files with their names. They import a capability only by its `capability.ts`, and
 * the kernel imports no list.
 */
export const LISTS: readonly string[] = ["shield/capabilities.ts", "brain/capabilities.ts"];
/** The programs that pass a list to the kernel. */
const PROGRAMS = ["shield/main.ts", "brain/main.ts"];
/** Folders that only programs import: the parent of several Shields. */
const OF_PROGRAMS = ["shield/supervisor/"];

/** The most lines of a capability: a part that would have more is asked first what of it can go. */
const CAPABILITY_LINES = 2_000;
/** Larger ones, and each server's kernel: what every start needs, apart from its program. */
const LINES: Readonly<Record<string, number>> = {
  "kernel/shield": 15_940,
  "kernel/brain": 1_890,
  centrifugo: 3_505,
  durable: 4_220,
  growing: 2_060,
  hooks: 3_620,
  inspect: 2_585,
  journal: 4_560,
  policies: 10_470,
  presence: 8_500,
  reducers: 9_105,
  rooms: 5_595,
  schemas: 9_850,
  sse: 1_985,
  streams: 2_920,
  usage: 3_590,
  why: 4_275,
};

/** The folder of each capability in a list, by its last name. */
function listed(list: string): [name: string, folders: string[]][] {
  const text = Deno.readTextFileSync(`${ROOT}${list}`);
  const server = list.slice(0, list.indexOf("/"));
  return [...text.matchAll(/ from "\.\/(.+)\/capability\.ts";/g)].map((
    [, folder = ""],
  ) => [folder.slice(folder.lastIndexOf("/") + 1), [`${server}/${folder}`]]);
}

const CAPABILITIES = [...Object.entries(FOLDERS), ...LISTS.flatMap(listed)];

/** The capability of a module; undefined: the kernel, or not a server. */
function capabilityOf(path: string): string | undefined {
  return CAPABILITIES.find(([, folders]) => folders.some((one) => path.startsWith(`${one}/`)))?.[0];
}

/** Every import of a capability by the kernel, including types. */
export function checkArrows(modules: readonly Module[]): Violation[] {
  const kernel = modules.filter(({ path }) =>
    !LISTS.includes(path) && SERVERS.includes(path.split("/", 1)[0] ?? "") && !isTestCode(path) &&
    capabilityOf(path) === undefined
  );
  return kernel.flatMap(({ path, imports }) =>
    imports.filter(({ target }) => capabilityOf(target) !== undefined).map(({ target, line }) => ({
      path,
      line,
      message: `the kernel imports no capability (${target}): let it bring what the kernel needs`,
    }))
  );
}

/** Every import between capabilities without a pair in `pairs`, and every pair without an import. */
export function checkPairs(modules: readonly Module[], pairs = PAIRS): Violation[] {
  const unused = new Set(
    Object.entries(pairs).flatMap(([from, all]) => all.map((to) => `${from} -> ${to}`)),
  );
  const wrong = modules.flatMap(({ path, imports }) => {
    const from = isTestCode(path) ? undefined : capabilityOf(path);
    if (from === undefined) return [];
    return imports.flatMap(({ target, line }) => {
      const to = capabilityOf(target);
      if (to === undefined || to === from) return [];
      unused.delete(`${from} -> ${to}`);
      if (pairs[from]?.includes(to)) return [];
      const message = `${from} does not build on ${to} (${target}): let the kernel hand it over`;
      return [{ path, line, message }];
    });
  });
  const path = "tasks/rules/house_rules.ts";
  const rest = [...unused].map((pair) => ({ path, line: 1, message: `no import needs ${pair}` }));
  return [...wrong, ...rest];
}

/** Every import of a list that is not a `capability.ts`, and every import of a list by a server. */
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

/** Words of capabilities beside their names and folders. */
const WORDS = ["history", "member", "overseer", "policy", "values"];
/** A capability whose name is also a word of the kernel. */
const NO_WORD = "rooms";
/** Names in the kernel that look like those of a capability, with the reason. */
const OWN_NAMES: readonly string[] = [
  // The folder of the files that need no token; a capability brings the files.
  "/console/",
  // An extension of OpenAPI with what the route's table declares.
  "x-arqon-audit",
  // BATCH frames of the protocol.
  "shield_batches_total",
  "shield_batched_messages_total",
  // The role that they need is checked even if the capability is left out at the Shield, or users could ban.
  "room.kick",
  "room.ban",
  "room.unban",
  "room.bans",
];

/** Names of commands, as a capability declares them: `history.get`. */
const COMMAND = /^[a-z]+\.[a-z]+$/;

/** A metric, route, header, reserved room or command of a capability. */
const NAMED = (() => {
  const folders = CAPABILITIES.flatMap(([name, folders]) => [
    name,
    ...folders.map((folder) => folder.slice(folder.lastIndexOf("/") + 1)),
  ]).filter((word) => word !== NO_WORD);
  const words = [...folders, ...WORDS].map((word) => word.replace(/s$/, "")).join("|");
  const shapes = ["^(?:shield|brain)_", "~", "^x-arqon-", "^/(?:.*/)?", "^"];
  const [metric, room, header, route, command] = shapes.map((shape) => `${shape}(?:${words})`);
  return new RegExp(`${metric}|${room}|${header}|${route}s?(?:[/?]|$)|${command}s?\\.[a-z_]*$`);
})();

const NO_COMMAND = "zzz.zzz";

/** Whether a literal of the kernel tells a capability's name from others. */
function tells(node: ts.Node, commands: readonly string[]): boolean {
  if (ts.isRegularExpressionLiteral(node)) {
    const end = node.text.lastIndexOf("/");
    const pattern = new RegExp(node.text.slice(1, end), node.text.slice(end + 1).replace("g", ""));
    return !pattern.test(NO_COMMAND) && commands.some((one) => pattern.test(one));
  }
  const { text } = node as ts.LiteralLikeNode;
  return !OWN_NAMES.includes(text) && (commands.includes(text) || NAMED.test(text));
}

const isText = (node: ts.Node) =>
  ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddle(node) ||
  ts.isTemplateTail(node) || ts.isRegularExpressionLiteral(node);

/** Every literal of a server's kernel that names a command, route, metric, header or room of a capability. */
export function checkNames(
  files: readonly { readonly path: string; readonly tree: () => ts.SourceFile }[],
): Violation[] {
  const own = files.filter(({ path }) => !LISTS.includes(path) && !isTestCode(path));
  const commands = own.filter(({ path }) =>
    capabilityOf(path) !== undefined && /(?:capability|commands)\.ts$/.test(path)
  ).flatMap(({ tree }) =>
    nodesOf(tree()).flatMap((node) => {
      const name = ts.isPropertyAssignment(node) ? node.name : undefined;
      return name && ts.isStringLiteral(name) && COMMAND.test(name.text) ? [name.text] : [];
    })
  ).filter((name) => !OWN_NAMES.includes(name));
  const kernel = own.filter(({ path }) =>
    /^(?:shield|brain)\//.test(path) && capabilityOf(path) === undefined
  );
  return kernel.flatMap(({ path, tree }) =>
    nodesOf(tree()).filter((node) =>
      isText(node) && !ts.isImportDeclaration(node.parent) && tells(node, commands)
    ).map((node) =>
      violationAt(node, path, `${node.getText()} is a capability's: let it bring what it names`)
    )
  );
}

function ownerOf(path: string): string | undefined {
  if (isTestCode(path) || LISTS.includes(path)) return undefined;
  if ([...PROGRAMS, ...OF_PROGRAMS].some((one) => path.startsWith(one))) return undefined;
  const [server = ""] = path.split("/", 1);
  return capabilityOf(path) ?? (/^(?:shield|brain)$/.test(server) ? `kernel/${server}` : undefined);
}

/** Every capability and kernel with more lines than it may have. */
export function checkLines(
  files: readonly { readonly path: string; readonly lines: number }[],
  larger = LINES,
): Violation[] {
  const sums = new Map<string, number>();
  for (const { path, lines } of files) {
    const owner = ownerOf(path);
    if (owner !== undefined) sums.set(owner, (sums.get(owner) ?? 0) + lines);
  }
  return [...sums].flatMap(([owner, lines]) => {
    const most = larger[owner] ?? CAPABILITY_LINES;
    if (lines <= most) return [];
    const message = `${owner} has ${lines} lines, at most ${most}: let go of some first`;
    return [{ path: "tasks/rules/house_rules.ts", line: 0, message }];
  });
}
