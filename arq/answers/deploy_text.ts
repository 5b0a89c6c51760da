/** What `arq room deploy`, `rollback` and `programs` print. Pure. */
import { plural } from "../../shared/plural.ts";
import type { Rehearsal } from "../reducers/rehearsal.ts";
import { printable } from "../terminal/exit.ts";
import { table } from "./policy_text.ts";

/** What is deployed to a class. */
interface Shown {
  readonly class: string;
  readonly reducer: string;
  readonly number: number;
  readonly current: { readonly module: string; readonly at_ms: number; readonly by: string };
  readonly before: readonly unknown[];
}

/** Digits of a module's hash that are shown. */
const HASH_DIGITS = 16;

function outcomeText({ kind, code, reason }: { kind: string; code: number; reason: string }) {
  return kind === "applied" ? kind : `${kind} ${code} ${reason}`.trim();
}

/** One line for a room that a module was applied to. */
export function rehearsalLine(room_id: string, found: Rehearsal, json: boolean): string {
  if (json) return `${JSON.stringify({ room: room_id, ...found, first: found.first ?? null })}\n`;
  const { entries, differing, first, refused, values_differ } = found;
  const many = plural(entries, "entry", "entries");
  if (refused !== "") return `${printable(`${room_id}: it cannot migrate the room: ${refused}`)}\n`;
  if (first !== undefined) {
    const { offset, asked, parts, then, now } = first;
    const how = `${asked} was ${outcomeText(then)}, would be ${outcomeText(now)} ${now.detail}`;
    const text = `${room_id}: ${differing} of ${many} DIFFER, first entry ${offset} in ` +
      `${parts.join(", ")}: ${how}`;
    return `${printable(text.trimEnd())}\n`;
  }
  if (values_differ === true) return `${room_id}: its values DIFFER after ${many}\n`;
  return `${room_id}: ${many}, the same\n`;
}

/** What is in force in classes. */
export function programsText(reducers: readonly Shown[]): string {
  const rows = reducers.map(({ class: pattern, reducer, number, current, before }) => [
    ...[pattern, reducer, String(number)],
    current.module === "" ? "configuration" : current.module.slice(0, HASH_DIGITS),
    ...current.at_ms === 0 ? ["-", "-"] : [new Date(current.at_ms).toISOString(), current.by],
    String(before.length),
  ]);
  return table(["class", "reducer", "deploy", "module", "since", "by", "before"], rows);
}
