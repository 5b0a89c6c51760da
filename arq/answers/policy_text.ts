/**
 * Answers of the admin API's `/v1/policies…` as text for people. Pure. Nothing in an answer is trusted
 * to have the expected shape or to be printable: a bus of another version still gives readable lines.
 */
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";
import { inColumns, linesText } from "../terminal/columns.ts";

/** The members of an answer, which may have any shape. */
export type Members = Readonly<Record<string, unknown>>;

/** The value itself when it is an object, else an empty object. */
export function membersOf(value: unknown): Members {
  return typeof value === "object" && value !== null ? value as Members : {};
}

/** The value itself when it is a list, else an empty list. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A member of an answer as the text of a table's cell. */
export function cell(value: unknown): string {
  if (value === undefined || value === null) return "";
  return printable(typeof value === "string" ? value : JSON.stringify(value));
}

/** A time in Unix ms as UTC text; "" for 0 and for a value that is no time. */
export function when(value: unknown): string {
  const date = new Date(typeof value === "number" ? value : Number.NaN);
  return Number.isNaN(date.getTime()) || value === 0 ? "" : date.toISOString();
}

/**
 * A member of an answer as text in the form that its name implies (a time, a share, a list). A path reaches nested
 * members (`latest.version`).
 */
export function shown(one: Members, path: string): string {
  const [name = "", ...below] = path.split(".");
  const value = Object.hasOwn(one, name) ? one[name] : undefined;
  if (below.length > 0) return shown(membersOf(value), below.join("."));
  if (name.endsWith("_ms")) return when(value);
  if (name === "percent" || name === "share") return percentText(value);
  return Array.isArray(value) ? value.map(cell).join(",") : cell(value);
}

const PLACE = /\{([\w.]+)(:plain)?\}/g;

/**
 * Fills a template with members of an answer: `{by}`, and `{wait_ms:plain}` for a number that is no time. A part in
 * brackets is left out when one of its members is absent or empty.
 */
export function filled(template: string, one: Members): string {
  const valueOf = (name: string, plain?: string) => plain ? cell(one[name]) : shown(one, name);
  return template.replace(
    /\[([^\]]*)\]/g,
    (_, part: string) =>
      [...part.matchAll(PLACE)].every(([, name, plain]) => valueOf(name!, plain) !== "")
        ? part
        : "",
  )
    .replace(PLACE, (_, name, plain) => valueOf(name, plain));
}

/** An object as text: one line for each present member below `head`. */
export function card(head: string, one: Members, rows: readonly string[]): string {
  const lines = rows.map((row) => row.split("=")).map(([label = "", member = label]) =>
    [label, shown(one, member)] as const
  ).filter(([, text]) => text !== "");
  return `${head}\n${linesText(inColumns(lines), "  ")}`;
}

/** A table of the objects of a list; "" for an empty list. A column is a member, or what `made` makes of an object. */
export function listing(
  items: unknown,
  columns: readonly string[],
  made: Readonly<Record<string, (one: Members) => string>> = {},
): string {
  const pairs = columns.map((column) => column.split("="));
  const rows = listOf(items).map(membersOf).map((one) =>
    pairs.map(([head = "", member = head.toLowerCase()]) => made[head]?.(one) ?? shown(one, member))
  );
  return table(pairs.map(([head = ""]) => head), rows);
}

/** A table whose columns have equal width and are two spaces apart; "" when there are no rows. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  return linesText(inColumns([head, ...rows]));
}

/** A fraction as a percentage: `10 %`, `0.5 %`. */
export function percentText(fraction: unknown): string {
  if (typeof fraction !== "number") return cell(fraction);
  return `${Number((fraction * 100).toPrecision(6))} %`;
}

/** The table of a tenant's policies, in the order in which they run. */
export const policyTable = (policies: unknown): string =>
  listing(policies, ["NAME", "ROOM", "HOOKS", "ORDER", "MODE", "OF KEYS=percent", "MODULE"], {
    // A policy of version 1 may keep memory from call to call.
    "MODULE": ({ sha256, stateful }) =>
      cell(sha256).slice(0, 12) + (stateful === true ? " stateful" : ""),
  });

/** The table of modules in quarantine, the latest first. */
export const quarantineTable = (modules: unknown): string =>
  listing(modules, ["MODULE=sha256", "WHY", "AT=at_ms", "NODE"]);

/** One line for each policy of a tenant whose module is in quarantine; "" when there is none. */
export function quarantinedLines(quarantined: unknown): string {
  return listOf(quarantined).map(membersOf).map((one) =>
    filled(
      "IN QUARANTINE: {name}[ since {at_ms}] ({why}); its messages are refused until " +
        "arq policy release {sha256}\n",
      one,
    )
  ).join("");
}

/** The table of earlier versions of a tenant's policies, newest first. */
export const historyTable = (history: unknown): string =>
  listing(listOf(history).toReversed(), ["VERSION", "AT=at_ms", "BY", "CHANGE", "POLICIES"]);

/** Says how far the node that answered is behind `version`; "" when it enforces that version. */
export function nodeTrouble(here: unknown, version: unknown): string {
  const { state, detail, enforced_version } = membersOf(here);
  if (state === "active" && enforced_version === version) return "";
  // A tenant without a document has nothing to enforce.
  if (here === null && version === 0) return "";
  const why = cell(detail) === "" ? "" : `: ${cell(detail)}`;
  return `this node is ${cell(state) || "not ready yet"}${why}`;
}

/** The table of all tenants for which a node has policies. */
export const tenantTable = (tenants: unknown): string =>
  listing(tenants, ["TENANT", "STATE", "ENFORCED", "POLICIES", "DETAIL"], {
    ENFORCED: ({ enforced_version }) => cell(enforced_version ?? "none"),
  });

/** The line for one entry of `host_log` in a followed log. `{"dropped": n}` becomes a line about the loss. */
export function logLine(line: unknown): string {
  const { ts, policy, level, message, dropped } = membersOf(line);
  if (dropped !== undefined) {
    return `… ${plural(Number(dropped), "line")} lost: the reader is too slow\n`;
  }
  return `${cell(ts)} ${cell(level).padEnd(5)} ${cell(policy)}  ${cell(message)}\n`;
}

/** The text of `arq policy quarantine`. */
export function quarantineText({ modules, truncated }: Members): string {
  const { length } = listOf(modules);
  if (length === 0) return "no module is in quarantine\n";
  const more = truncated === true ? "… and more\n" : "";
  return `${plural(length, "module")} in quarantine\n${quarantineTable(modules)}${more}`;
}

/** The text of `arq policy list`: the policies of a tenant, or with `--all` the tenants. */
export function policiesText(answer: Members, { all, history }: Members): string {
  if (all === true) {
    const more = answer["truncated"] === true ? "… and more\n" : "";
    const rows = tenantTable(answer["tenants"]);
    return rows === "" ? "no tenant has policies\n" : rows + more;
  }
  const { tenant, version, policies } = answer;
  const count = listOf(policies).length;
  const some = count === 0 ? "no policies" : plural(count, "policy", "policies");
  const trouble = nodeTrouble(answer["here"], version);
  return [
    `${printable(`tenant ${tenant}, version ${version}: ${some}`)}\n`,
    policyTable(policies),
    trouble === "" ? "" : `NOT IN FORCE: ${trouble}\n`,
    quarantinedLines(answer["quarantined"]),
    ...(history === true ? ["\nearlier versions\n", historyTable(answer["history"])] : []),
  ].join("");
}

/** The text of an answer to a change of a tenant's policies: the change, the time it took, and where it is in force. */
export function changeText(answer: Members, done: string, took_ms: number): string {
  const { tenant, version, here } = answer;
  const trouble = nodeTrouble(here, version);
  const state = trouble === "" ? "in force" : "stored";
  const node = membersOf(here)["enforced_version"] === undefined ? "" : " on this node";
  const where = trouble === "" ? node : "";
  const took = `${Math.round(took_ms)} ms`;
  return `${done}: version ${version} of tenant ${tenant} is ${state}${where} (${took})\n`;
}
