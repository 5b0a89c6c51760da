/** Plans, their consequences and rollouts as text for people. Pure. */
import { filled, listOf, type Members, membersOf, percentText } from "../answers/policy_text.ts";
import { printable } from "../terminal/exit.ts";
import type { Change } from "./form.ts";
import { linesText } from "../terminal/columns.ts";

/** An active rollout that changes something a folder defines. */
export interface UnderWay {
  readonly tenant: string;
  readonly id: string;
  readonly by: string;
  /** Whether the folder has the previous state, the state that the rollout brings, or another one. */
  readonly stands: "is-taken-back" | "brings-it" | "in-the-way";
}

const STANDS = {
  "is-taken-back": "will be rolled back: this is the previous state",
  "brings-it": "puts this in force; arq apply is refused until it has ended",
  "in-the-way": "is active; arq apply is refused until it has ended",
} as const;

const SIGNS = { add: "+", change: "~", remove: "-" } as const;

function valueText(value: unknown): string {
  if (value === undefined) return "none";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  // Hashes are long, and their beginnings distinguish them.
  return printable(/^[0-9a-f]{64}$/.test(text) ? `${text.slice(0, 12)}…` : text);
}

/** A fraction is shown with its percentage. */
function memberText(member: string, value: unknown): string {
  const text = valueText(value);
  return member === "percent" && value !== undefined ? `${text} (${percentText(value)})` : text;
}

function lineOf({ kind, name, action, members }: Change): string {
  const details = members.map(({ member, before, after }) =>
    action === "add"
      ? `${member} ${memberText(member, after)}`
      : `${member}: ${memberText(member, before)} → ${memberText(member, after)}`
  );
  const more = details.length === 0 ? "" : `  ${details.join(", ")}`;
  return `  ${SIGNS[action]} ${kind} ${printable(name)}${more}\n`;
}

/** The changes of a tenant or the bus (`whose`), one per line, with the rollouts that they concern. */
export function changesText(
  whose: string,
  changes: readonly Change[],
  rollouts: readonly UnderWay[] = [],
): string {
  const lines = rollouts.map(({ tenant, id, by, stands }) =>
    printable(`tenant ${tenant}: rollout ${id} by ${by} ${STANDS[stands]}`) + "\n"
  );
  if (changes.length === 0) return lines.join("") || `${whose}: nothing to do\n`;
  const of = (action: Change["action"]) => changes.filter((one) => one.action === action).length;
  const counts = `${of("add")} to add, ${of("change")} to change, ${of("remove")} to remove`;
  const head = `${whose}: ${counts}; no connection is touched\n`;
  return head + [...changes.map(lineOf), ...lines].join("");
}

/** Surprising effects, one per line. */
export function notesText(notes: readonly string[]): string {
  return linesText(notes, "note: ");
}

/** The state of a rollout in one word. */
export const stateOf = (view: Members): string => String(membersOf(view["rollout"])["state"]);

function shareText(view: Members): string {
  const { stage } = membersOf(view["rollout"]);
  return stage === 0 ? "observing" : `in force for ${percentText(view["share"])}`;
}

function tallyText(tally: Members): string {
  const p99 = (version: string) =>
    Number(membersOf(membersOf(tally["fuel"])[version])["p99"]).toFixed(2);
  return filled(
    "\n  {name}: {compared} messages, {enforced} by the new version; refuses {refused} more, " +
      "passes {passed} more, {faults} faults; fuel p99 {old} → {new}",
    { ...tally, old: p99("old"), new: p99("new") },
  );
}

const sampleText = (sample: Members): string =>
  filled("  {at_ms} would {would}: {user}[ in {room}][: {reason}]\n", sample);

/** How a rollout ended, with samples; "" while it is active. */
export function endText(view: Members): string {
  const { state, ended, by } = membersOf(view["rollout"]);
  if (state === "applied") return "applied: the new state is in force\n";
  if (state !== "returned") return "";
  const { why, samples } = membersOf(ended);
  const text = `rolled back: the previous state is in force; begun by ${by}\n`;
  return `${printable(text.trimEnd())}\n  ${printable(String(why))}\n` +
    listOf(samples).map(membersOf).map(sampleText).join("");
}

/** One line of progress. */
export function progressText(view: Members): string {
  const state = stateOf(view);
  const waits = printable(String(view["waits"]));
  const step = state === "applying" ? "the last step" : `${shareText(view)}; ${waits}`;
  const tallies = listOf(view["tallies"]).map(membersOf).map(tallyText).join("");
  return `${step}${tallies}\n`;
}

/** The full text of a rollout. */
export function rolloutText(view: Members): string {
  const rollout = membersOf(view["rollout"]);
  const { state, conditions, schemas } = rollout;
  const held = listOf(conditions).map(String).join(", ");
  const head = filled("tenant {tenant}: rollout {id} by {by}, {began_ms}: {state}", {
    ...rollout,
    tenant: view["tenant"],
  });
  const nodes = listOf(view["nodes"]).map((node) =>
    filled("[  {node_id}: {problem}\n]", membersOf(node))
  );
  const versions = listOf(schemas).map((one) => filled("{schema_id} {version}", membersOf(one)));
  const is_over = state === "applied" || state === "returned";
  return `${head}\n` +
    (held === "" ? "no conditions\n" : `ends if ${printable(held)}\n`) +
    (is_over || versions.length === 0
      ? ""
      : `schemas with the last step: ${printable(versions.join(", "))}\n`) +
    (is_over ? "" : progressText(view) + nodes.join("")) +
    endText(view);
}

/** A list of rollouts, one per line. */
export const rolloutsText = ({ rollouts }: Members): string =>
  listOf(rollouts).map(membersOf).map((one) =>
    filled("{tenant} {id} {began_ms} by {by} {state}[ at {share}][: {why}]\n", one)
  ).join("") || "no rollouts\n";
