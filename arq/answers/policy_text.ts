/**
 * Answers of the admin API's `/v1/policies…` as text for people. Pure. Nothing in an answer is trusted
 * to have the expected shape or to be printable: a bus of another version still gives readable lines.
 */
import { plural } from "../../shared/plural.ts";
import { printable } from "../terminal/exit.ts";

type Members = Readonly<Record<string, unknown>>;

/** The value itself when it is an object, else an empty object. */
export function membersOf(value: unknown): Members {
  return typeof value === "object" && value !== null ? value as Members : {};
}

/** The value itself when it is a list, else an empty list. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

const text = (value: unknown): string =>
  printable(typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value));

function when(value: unknown): string {
  const date = new Date(typeof value === "number" ? value : Number.NaN);
  return Number.isNaN(date.getTime()) || value === 0 ? "" : date.toISOString();
}

/** A table whose columns have equal width and stand two spaces apart; "" when there are no rows. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const widths = head.map((name, at) =>
    Math.max(name.length, ...rows.map((row) => row[at]?.length ?? 0))
  );
  const line = (row: readonly string[]) =>
    row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join("  ").trimEnd();
  return [head, ...rows].map((row) => `${line(row)}\n`).join("");
}

/** A fraction as a percentage: `10 %`, `0.5 %`. */
export function percentText(fraction: unknown): string {
  if (typeof fraction !== "number") return text(fraction);
  return `${Number((fraction * 100).toPrecision(6))} %`;
}

/** The table of a tenant's policies, in the order in which they run. */
export function policyTable(policies: unknown): string {
  const rows = listOf(policies).map(membersOf).map((policy) => [
    text(policy["name"]),
    text(policy["room"]),
    listOf(policy["hooks"]).map(text).join(","),
    text(policy["order"]),
    text(policy["mode"]),
    percentText(policy["percent"]),
    // One of version 1 may keep memory from call to call.
    text(policy["sha256"]).slice(0, 12) + (policy["stateful"] === true ? " stateful" : ""),
  ]);
  return table(["NAME", "ROOM", "HOOKS", "ORDER", "MODE", "OF KEYS", "MODULE"], rows);
}

/** The table of modules in quarantine, the latest first. */
export function quarantineTable(modules: unknown): string {
  const rows = listOf(modules).map(membersOf).map((module) => [
    text(module["sha256"]),
    text(module["why"]),
    when(module["at_ms"]),
    text(module["node"]),
  ]);
  return table(["MODULE", "WHY", "AT", "NODE"], rows);
}

/** One line for each policy of a tenant whose module is in quarantine; "" when there is none. */
export function quarantinedLines(quarantined: unknown): string {
  return listOf(quarantined).map(membersOf).map(({ name, sha256, why, at_ms }) =>
    `IN QUARANTINE: ${text(name)} since ${when(at_ms) || "some time"} (${text(why)}); what it ` +
    `guards is refused until arq policy release ${text(sha256)}\n`
  ).join("");
}

/** The table of earlier versions of a tenant's policies, newest first. */
export function historyTable(history: unknown): string {
  const rows = listOf(history).map(membersOf).reverse().map((version) => [
    text(version["version"]),
    when(version["at_ms"]),
    text(version["by"]),
    text(version["change"]),
    listOf(version["policies"]).map(text).join(" "),
  ]);
  return table(["VERSION", "AT", "BY", "CHANGE", "POLICIES"], rows);
}

/** Says how far the node that answered is from `version`; "" when it enforces that version. */
export function nodeTrouble(here: unknown, version: unknown): string {
  const { state, detail, enforced_version } = membersOf(here);
  if (state === "active" && enforced_version === version) return "";
  // A tenant without a document has nothing to enforce.
  if (here === null && version === 0) return "";
  const why = text(detail) === "" ? "" : `: ${text(detail)}`;
  return `this node is ${text(state) || "not there yet"}${why}`;
}

/** The table of all tenants that a node has policies of. */
export function tenantTable(tenants: unknown): string {
  const rows = listOf(tenants).map(membersOf).map((tenant) => [
    text(tenant["tenant"]),
    text(tenant["state"]),
    text(tenant["enforced_version"] ?? "none"),
    text(tenant["policies"]),
    text(tenant["detail"]),
  ]);
  return table(["TENANT", "STATE", "ENFORCED", "POLICIES", "DETAIL"], rows);
}

/** The line for one entry of `host_log` in a followed log. `{"dropped": n}` becomes a line about the loss. */
export function logLine(line: unknown): string {
  const { ts, policy, level, message, dropped } = membersOf(line);
  if (dropped !== undefined) {
    return `… ${plural(Number(dropped), "line")} lost: the reader is too slow\n`;
  }
  return `${text(ts)} ${text(level).padEnd(5)} ${text(policy)}  ${text(message)}\n`;
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

/** The answer to a change of a tenant's policies as text: what was done, in which time, and where it is in force. */
export function changeText(answer: Members, done: string, took_ms: number): string {
  const { tenant, version, here } = answer;
  const trouble = nodeTrouble(here, version);
  const state = trouble === "" ? "in force" : "stored";
  const node = membersOf(here)["enforced_version"] === undefined ? "" : " on this node";
  const where = trouble === "" ? node : "";
  return `${done}: version ${version} of tenant ${tenant} is ${state}${where} (${took_ms} ms)\n`;
}
