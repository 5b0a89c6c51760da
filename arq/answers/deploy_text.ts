/** What `arq room deploy`, `rollback` and `programs` print. Pure. */
import { plural } from "../../shared/plural.ts";
import type { ForbiddenCalls } from "../reducers/forbidden.ts";
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
  /** Stored for the class. */
  readonly modules: readonly string[];
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
  const { entries, refused, forbidden } = found;
  const many = plural(entries, "entry", "entries");
  if (refused !== "") return `${printable(`${room_id}: it cannot migrate the room: ${refused}`)}\n`;
  const differs = differenceOf(found, many);
  if (forbidden === 0) return `${printable(`${room_id}: ${differs ?? `${many}, the same`}`)}\n`;
  const calls = `${forbidden} of ${many} are calls that its schema FORBIDS`;
  const lines = found.forbidden_calls.map(forbiddenText);
  if (found.forbidden_others > 0) lines.push(`and ${found.forbidden_others} for other reasons`);
  const text = [differs === undefined ? calls : `${calls}, and ${differs}`, ...lines];
  return `${room_id}: ${text.map(printable).join("\n  ")}\n`;
}

function forbiddenText({ command, code, reason, entries, first }: ForbiddenCalls): string {
  const many = entries === 1 ? `entry ${first}` : `${entries} entries, the first ${first}`;
  return `${many}: ${command} was applied, would be refused ${code} ${reason}`;
}

/** What is otherwise than it was; undefined: nothing. */
function differenceOf(
  { differing, first, values_differ, forbidden }: Rehearsal,
  many: string,
): string | undefined {
  if (first !== undefined) {
    const { offset, asked, parts, then, now } = first;
    const how = `${asked} was ${outcomeText(then)}, would be ${outcomeText(now)} ${now.detail}`;
    return `${differing} of ${many} DIFFER, first entry ${offset} in ${parts.join(", ")}: ${how}`
      .trimEnd();
  }
  // What is no longer asked leaves no values.
  if (values_differ === true && forbidden === 0) return `its values DIFFER after ${many}`;
  return undefined;
}

function behindLine(
  { room_id, module, is_refused }: RoomBehind,
  { class: pattern }: Shown,
): string {
  const has = module === "" ? "the previous module" : module.slice(0, HASH_DIGITS);
  const why = is_refused
    ? "the migration was refused, until something is deployed again"
    : "as it was stored last; it takes the other one when it is called next";
  return `${printable(`${room_id} (${pattern}): ${has}, ${why}`)}\n`;
}

/** What is in force in classes. */
export function programsText(reducers: readonly Shown[]): string {
  const rows = reducers.map(({ class: pattern, reducer, number, current, before, modules }) => [
    ...[pattern, reducer, String(number)],
    current.module === "" ? "configuration" : current.module.slice(0, HASH_DIGITS),
    ...current.at_ms === 0 ? ["-", "-"] : [new Date(current.at_ms).toISOString(), current.by],
    ...[String(before.length), String(modules.length)],
  ]);
  const lines = reducers.flatMap((one) => (one.rooms ?? []).map((room) => behindLine(room, one)));
  return table(["class", "reducer", "deploy", "module", "since", "by", "before", "stored"], rows) +
    lines.join("");
}

/** A room whose reducer keeps failing. */
interface CutOff {
  readonly room_id: string;
  readonly module: string;
  readonly since_ms: number;
  readonly until_ms: number;
  readonly fault: { readonly entry: number; readonly reason: string; readonly detail: string };
}

/** The rooms that are cut off; empty where none is. */
export function cutOffText(rooms: readonly CutOff[]): string {
  if (rooms.length === 0) return "";
  const rows = rooms.map(({ room_id, module, since_ms, until_ms, fault }) => [
    ...[room_id, module.slice(0, HASH_DIGITS)],
    ...[since_ms, until_ms].map((at_ms) => new Date(at_ms).toISOString()),
    `entry ${fault.entry}: ${fault.reason} ${fault.detail}`.trimEnd(),
  ]);
  return `\n${table(["room", "module", "cut off since", "until", "last fault"], rows)}`;
}
