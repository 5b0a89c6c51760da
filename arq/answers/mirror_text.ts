/**
 * Answers of the admin API's `/v1/mirror…` as text for people. Pure. Nothing in an answer is trusted
 * to have the expected shape or to be printable.
 */
import { printable } from "../terminal/exit.ts";
import { cell, listing, listOf, membersOf, percentText, when } from "./policy_text.ts";

type Members = Readonly<Record<string, unknown>>;

/**
 * The table of mirror rules and of where each comes from. `tenant` stands for the tenant of a rule that names
 * none.
 */
export const ruleTable = (rules: unknown, tenant?: string): string =>
  listing(rules, ["PREFIX", "SHARE", "SOURCE", "TENANT"], {
    SHARE: ({ percent }) => percentText(percent),
    SOURCE: ({ source }) => cell(source ?? (tenant === undefined ? "" : "tenant")),
    TENANT: ({ tenant_id }) => cell(tenant_id ?? tenant),
  });

/** The text of `arq mirror list`: the rules in force on a node, or those that a tenant has set. */
export function rulesText(answer: Members, { tenant }: Members): string {
  return ruleTable(answer["rules"], tenant as string) +
    listingEnd(answer, listOf(answer["rules"]).length === 0 ? "mirror rules" : "", tenant);
}

/**
 * What is said beside a listing of settings: that there are none (then `what` they are, else ""), that there are
 * more, and why what is stored is not in force.
 */
export function listingEnd(answer: Members, what: string, tenant: unknown): string {
  const { problem } = membersOf(answer["here"]);
  const whose = tenant === undefined ? "" : ` by tenant ${tenant}`;
  return (what === "" ? "" : `no ${what} are set${whose}\n`) +
    (answer["truncated"] === true ? "… and more\n" : "") +
    (typeof problem === "string" ? `NOT IN FORCE: ${printable(problem)}\n` : "");
}

/** What a rule does, when it is set. */
export const mirroredText = (_: Members, { prefix, share }: Members): string =>
  `${prefix} is mirrored at ${percentText(share)}`;

function share(part: unknown, whole: unknown): string {
  if (typeof part !== "number" || typeof whole !== "number" || whole === 0) return cell(part);
  return part === 0 ? "0" : `${part} (${Number((part / whole * 100).toPrecision(3))} %)`;
}

function exampleLine(value: unknown): string {
  const { would, trace_id, room, type, reason, at_ms } = membersOf(value);
  const what = [`would ${cell(would)}`, when(at_ms), cell(room), cell(type), cell(trace_id)]
    .filter((part) => part !== "").join("  ");
  return `  ${what}${cell(reason) === "" ? "" : `: ${cell(reason)}`}\n`;
}

/**
 * The text of `arq mirror diff`: a table of what candidates would have decided, then examples of differences,
 * newest first.
 */
export function diffText(candidates: unknown): string {
  const all = listOf(candidates).map(membersOf);
  const columns = ["CANDIDATE", "MIRRORED", "AGREE", "WOULD REFUSE", "WOULD ALLOW", "UNMATCHED"];
  const shares = {
    "WOULD REFUSE": ({ would_refuse, mirrored }: Members) => share(would_refuse, mirrored),
    "WOULD ALLOW": ({ would_allow, mirrored }: Members) => share(would_allow, mirrored),
  };
  const examples = all.filter((one) => listOf(one["examples"]).length > 0).map((one) =>
    `\n${cell(one["candidate"])}\n${listOf(one["examples"]).toReversed().map(exampleLine).join("")}`
  );
  return listing(all, columns, shares) + examples.join("");
}

/** The text of `arq mirror explain`: which rule counts for a subject, and why. */
export function explainText(answer: Members): string {
  const { subject, rule, others, why, key, mirrored } = answer;
  const winner = membersOf(rule);
  const lines = [`${cell(subject)}: ${cell(why)}`];
  if (winner["prefix"] !== undefined) lines.push(`share: ${percentText(winner["percent"])}`);
  if (mirrored !== undefined) {
    lines.push(`key ${cell(key)}: ${mirrored === true ? "mirrored" : "not mirrored"}`);
  }
  const overruled = ruleTable(others);
  const more = overruled === "" ? "" : `also matching, but overruled:\n${overruled}`;
  return `${lines.join("\n")}\n${more}`;
}
