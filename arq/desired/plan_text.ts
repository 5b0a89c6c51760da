/** Plans, their consequences and rollouts as text for people. Pure. */
import { filled, listOf, type Members, membersOf, percentText } from "../answers/policy_text.ts";
import { printable } from "../terminal/exit.ts";
import type { Change } from "./form.ts";

interface Last {
  readonly version: number;
  readonly by: string;
  readonly at_ms: number;
  readonly change?: string;
}

/** Manual changes since an apply. */
export interface Drift {
  readonly since: { readonly id: string; readonly by: string; readonly at_ms: number };
  readonly settings?: Last;
  readonly policies?: Last;
}

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

/** The changes, one per line, with the rollouts that they concern. */
export function changesText(
  tenant: string,
  changes: readonly Change[],
  rollouts: readonly UnderWay[] = [],
): string {
  return changesOfText(`tenant ${tenant}`, changes, rollouts);
}

/** The same for the tenant or the bus, named by `whose`. */
export function changesOfText(
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
  return `${whose}: ${counts}; no connection is touched\n${
    [...changes.map(lineOf), ...lines].join("")
  }`;
}

/** Surprising effects, one per line. */
export function notesText(notes: readonly string[]): string {
  return notes.map((line) => `note: ${printable(line)}\n`).join("");
}

const timeText = (at_ms: number) => new Date(at_ms).toISOString();

function lastText(what: string, last: Last | undefined): string {
  if (last === undefined) return "";
  const change = last.change === undefined ? "" : ` (${printable(last.change)})`;
  const by = `by ${printable(last.by)}, ${timeText(last.at_ms)}`;
  return `  ${what}: version ${last.version}${change} ${by}\n`;
}

/** The manual changes; "" when there are none. */
export function driftText(drift: Drift | undefined): string {
  if (drift === undefined) return "";
  const { id, by, at_ms } = drift.since;
  return `changed by hand since apply ${id} by ${printable(by)}, ${timeText(at_ms)}:\n` +
    lastText("policies", drift.policies) +
    lastText("mappings, rooms, mirror, limits and signatures", drift.settings);
}

/** Fuel percentiles; the text shows the p99. */
interface Fuel {
  readonly p99: number;
}

/** Numbers by name. */
export type Counted = Readonly<Record<string, number>>;

/** The effect of one policy's change on recorded traffic. */
export interface Consequence {
  readonly policy: string;
  /** `add`: the policy did not exist then, so everything it refuses is new; `remove`: nothing is repeated. */
  readonly action: "add" | "change" | "remove";
  /** Whether it will decide or only observe; an observing policy refuses nothing. */
  readonly mode: string;
  /** Unix ms. */
  readonly from_ms: number;
  /**
   * Decisions of the policy in the window; for a new policy, decisions about messages that were admitted without it.
   */
  readonly decisions: number;
  readonly repeated: number;
  readonly allow_to_refuse: number;
  readonly refuse_to_allow: number;
  /** The same verdict with another code, reason or headers. */
  readonly changed: number;
  /** Decisions that the former module does not repeat as recorded. */
  readonly recorded_different: number;
  /** Decisions that cannot be judged, because they depend on data that the journal does not have. */
  readonly unknown: number;
  /** Holes of the journal, where decisions are unknown. */
  readonly holes: number;
  /** Refusals by sender. */
  readonly by_sender: Counted;
  readonly fuel: { readonly recorded: Fuel; readonly planned: Fuel };
  readonly samples: {
    readonly to_refused: readonly { readonly room: string; readonly user: string | null }[];
    readonly to_allowed: readonly { readonly room: string; readonly user: string | null }[];
  };
}

/** The effect of a change of mappings, or of the schema that they name, on recorded traffic. */
export interface SchemaConsequence {
  readonly schema: string;
  /** Unix ms. */
  readonly from_ms: number;
  /** Events in the window that are mapped to the schema. */
  readonly checked: number;
  readonly allow_to_refuse: number;
  readonly refuse_to_allow: number;
  /** Events that were refused, and still would be. */
  readonly still_refused: number;
  /** Events whose payload the journal does not have. */
  readonly no_payload: number;
  readonly holes: number;
  /** All events that would be refused, whether or not they were then, by sender, and by field and rule. */
  readonly by_sender: Counted;
  readonly by_rule: Counted;
}

/** The consequences of a plan, for policies and for schemas. */
export interface Consequences {
  readonly policies: readonly Consequence[];
  readonly schemas: readonly SchemaConsequence[];
}

/** Shown names of each list. */
const SHOWN = 5;

/** The most frequent ones, one per line. */
function countedLines(counted: Counted): string {
  const sorted = Object.entries(counted).sort(([a, one], [b, other]) =>
    other - one || (a < b ? -1 : 1)
  );
  const lines = sorted.slice(0, SHOWN).map(([name, count]) => `    ${count} ${printable(name)}\n`);
  const more = sorted.length - SHOWN;
  return lines.join("") + (more > 0 ? `    … and ${more} more\n` : "");
}

function headOf(what: string, name: string, from_ms: number): string {
  return `${what} ${printable(name)} since ${new Date(from_ms).toISOString()}: `;
}

function doubtOf(doubts: readonly (readonly [count: number, what: string])[]): string {
  const found = doubts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  return found.length === 0 ? "" : `  in doubt: ${found.join(", ")}\n`;
}

function policyText(one: Consequence): string {
  const { decisions, repeated, fuel, samples } = one;
  const head = headOf("policy", one.policy, one.from_ms) +
    `${decisions} decisions, ${repeated} repeated\n`;
  if (decisions === 0) return `${head}  the journal has none, so the effect is unknown\n`;
  const shown = samples.to_refused.slice(0, 3).map(({ room, user }) =>
    `    ${printable(user ?? "an erased user")} in ${printable(room)}\n`
  );
  const senders = one.allow_to_refuse === 0 ? "" : `  by sender:\n${countedLines(one.by_sender)}`;
  const observes = one.mode === "observe"
    ? "  it only observes: none of this is enforced yet\n"
    : "";
  const doubt = doubtOf([
    [one.recorded_different, "do not repeat as recorded"],
    [one.unknown, "NOT JUDGED, since the journal does not have an input"],
    [one.holes, "holes"],
  ]);
  const let_through = one.action !== "remove" ? [] : samples.to_allowed.slice(0, 3).map((
    { room, user },
  ) => `    ${printable(user ?? "an erased user")} in ${printable(room)}\n`);
  const steps = one.action === "add"
    ? fuel.planned.p99
    : `${fuel.recorded.p99} → ${fuel.planned.p99}`;
  return head + doubt +
    `  would be refused: ${one.allow_to_refuse}, would be allowed: ${one.refuse_to_allow}, ` +
    `otherwise changed: ${one.changed}\n${
      [...shown, ...let_through].join("")
    }${senders}${observes}` +
    `  fuel p99: ${steps}\n`;
}

function schemaText(one: SchemaConsequence): string {
  const head = headOf("schema", one.schema, one.from_ms) + `${one.checked} events checked\n`;
  const doubt = doubtOf([
    [one.no_payload, "NOT JUDGED, since the journal does not have the payload"],
    [one.holes, "holes"],
  ]);
  if (one.checked === 0) return `${head}  the journal has none, so the effect is unknown\n${doubt}`;
  const refused = one.allow_to_refuse + one.still_refused === 0
    ? ""
    : `  by sender:\n${countedLines(one.by_sender)}  by field and rule:\n${
      countedLines(one.by_rule)
    }`;
  return head + doubt +
    `  would be refused: ${one.allow_to_refuse}, would be allowed: ${one.refuse_to_allow}, ` +
    `refused as then: ${one.still_refused}\n${refused}`;
}

/** The consequences of all changes that could be repeated. */
export function consequencesText(all: Consequences | undefined): string {
  if (all === undefined) return "";
  const { policies, schemas } = all;
  if (policies.length + schemas.length === 0) {
    return "no policy gets a different module, and no mapping changes: nothing to replay\n";
  }
  return policies.map(policyText).join("") + schemas.map(schemaText).join("");
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
