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
  /** Absent: nobody has asked. */
  readonly rooms?: readonly RoomBehind[];
}

/** A room that has another module than its class. */
export interface RoomBehind {
  readonly room_id: string;
  /** Hex SHA-256; "": not known. */
  readonly module: string;
  /** Whether the module of the class could not migrate it. */
  readonly is_refused: boolean;
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

function behindLine(
  { room_id, module, is_refused }: RoomBehind,
  { class: pattern }: Shown,
): string {
  const has = module === "" ? "the module of before" : module.slice(0, HASH_DIGITS);
  const why = is_refused
    ? "the migration was refused, until something is deployed again"
    : "as it was stored last; it takes the other one when it is called next";
  return `${printable(`${room_id} (${pattern}): ${has}, ${why}`)}\n`;
}

/** What is in force in classes. */
export function programsText(reducers: readonly Shown[]): string {
  const rows = reducers.map(({ class: pattern, reducer, number, current, before }) => [
    ...[pattern, reducer, String(number)],
    current.module === "" ? "configuration" : current.module.slice(0, HASH_DIGITS),
    ...current.at_ms === 0 ? ["-", "-"] : [new Date(current.at_ms).toISOString(), current.by],
    String(before.length),
  ]);
  const lines = reducers.flatMap((one) => (one.rooms ?? []).map((room) => behindLine(room, one)));
  return table(["class", "reducer", "deploy", "module", "since", "by", "before"], rows) +
    lines.join("");
}
