/** A plan as people read it. Pure. */
import { percentText } from "../answers/policy_text.ts";
import { printable } from "../terminal/exit.ts";
import type { Change } from "./difference.ts";

interface Last {
  readonly version: number;
  readonly by: string;
  readonly at_ms: number;
  readonly change?: string;
}

/** What was changed by hand since an apply. */
export interface Drift {
  readonly since: { readonly id: string; readonly by: string; readonly at_ms: number };
  readonly settings?: Last;
  readonly policies?: Last;
}

/** A rollout under way that brings something of which a folder says what it is to be. */
export interface UnderWay {
  readonly tenant: string;
  readonly id: string;
  readonly by: string;
  /** The folder has the previous state; the state that the rollout brings; another one. */
  readonly stands: "is-taken-back" | "brings-it" | "in-the-way";
}

const STANDS = {
  "is-taken-back": "is to be taken back: this is the previous state",
  "brings-it": "puts this in force; arq apply is refused until it has ended",
  "in-the-way": "is under way; arq apply is refused until it has ended",
} as const;

const SIGNS = { add: "+", change: "~", remove: "-" } as const;

function valueText(value: unknown): string {
  if (value === undefined) return "none";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  // Hashes are long, and their beginnings tell them apart.
  return printable(/^[0-9a-f]{64}$/.test(text) ? `${text.slice(0, 12)}…` : text);
}

/** A fraction has its percentage beside it. */
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

/** The changes, one a line, with the rollouts that they have to do with. */
export function changesText(
  tenant: string,
  changes: readonly Change[],
  rollouts: readonly UnderWay[] = [],
): string {
  return changesOfText(`tenant ${tenant}`, changes, rollouts);
}

/** The same of the tenant or of the bus, as words say. */
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

/** What may surprise, a line each. */
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

/** What was changed by hand; "" when nothing was. */
export function driftText(drift: Drift | undefined): string {
  if (drift === undefined) return "";
  const { id, by, at_ms } = drift.since;
  return `changed by hand since apply ${id} by ${printable(by)}, ${timeText(at_ms)}:\n` +
    lastText("policies", drift.policies) +
    lastText("mappings, rooms, mirror, limits and signatures", drift.settings);
}
