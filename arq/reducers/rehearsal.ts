/**
 * Runs a module on a room's recent commands, beside the programs that answered them: where its answers differ, and
 * whether it can migrate the room. Changes nothing.
 */
import { rememberedKey, valuesDigest } from "../../brain/reducers/state/room_state.ts";
import type {
  CommandEntry,
  LogEntry,
  MigrateEntry,
  Outcome,
  RoomBounds,
  RoomState,
} from "../../brain/reducers/state/room_state.ts";
import { judge, type Judged } from "../../wasm/reducer/schema/judge.ts";
import type { RoomSchema } from "../../wasm/reducer/schema/room_schema.ts";
import type { ReducerGuest } from "../../brain/reducers/guest/reducer_guest.ts";
import { applyEntry } from "../../brain/reducers/state/fold.ts";
import { beginnings, firstOf, foldRoom, MissingEntries, type RoomSource } from "./room_fold.ts";

const hex = (bytes: Uint8Array) => bytes.toHex();

function events({ events }: Outcome): string {
  return JSON.stringify(events.map(({ type, data, to }) => [type, hex(data), to]));
}

function changes({ changes }: Outcome): string {
  const sorted = [...changes].sort(([one], [other]) => one < other ? -1 : 1);
  return JSON.stringify(sorted.map(([key, value]) => [key, value === null ? null : hex(value)]));
}

function timers({ scheduled }: Outcome): string {
  const sorted = [...scheduled].sort(([one], [other]) => one < other ? -1 : 1);
  return JSON.stringify(
    sorted.map(([key, timer]) =>
      timer === null ? [key] : [key, timer.at_ms, timer.command, hex(timer.data)]
    ),
  );
}

/** The parts in which two outcomes of an entry differ; empty when they are the same. */
export function differingParts(one: Outcome, other: Outcome): readonly string[] {
  const parts: readonly (readonly [string, unknown, unknown])[] = [
    ["verdict", one.kind, other.kind],
    ["code", one.code, other.code],
    ["reason", one.reason, other.reason],
    ["answer", hex(one.answer), hex(other.answer)],
    ["events", events(one), events(other)],
    ["values", changes(one), changes(other)],
    ["timers", timers(one), timers(other)],
  ];
  return parts.flatMap(([name, left, right]) => left === right ? [] : [name]);
}

/** Kinds of refusals that are reported for one room. */
const KINDS_MAX = 16;

/** Calls of one command that are refused for one reason. */
export interface ForbiddenCalls {
  readonly command: string;
  readonly code: number;
  /** The place in the data, and what would be right. */
  readonly reason: string;
  readonly entries: number;
  /** The first such entry. */
  readonly first: number;
}

/** How a bus handles an entry once the room has the module. */
export type Admitted =
  | { readonly entry: LogEntry }
  | { readonly refused: Exclude<Judged, { data: Uint8Array }>; readonly asked: CommandEntry };

/** The call that a module with that schema receives for a recorded one; a repetition gets the remembered answer. */
export function admitted(
  schema: RoomSchema | undefined,
  entry: LogEntry,
  { remembered }: Pick<RoomState, "remembered">,
): Admitted {
  if (schema === undefined || entry.kind !== "command") return { entry };
  const judged = judge(schema, entry.command, entry.data);
  if ("data" in judged) return { entry: { ...entry, data: judged.data } };
  const { id, user_id } = entry;
  if (id !== "" && remembered.has(rememberedKey(user_id, id))) return { entry };
  return { refused: judged, asked: entry };
}

/** Counts the forbidden calls of one room. */
export class ForbiddenCount {
  readonly #kinds = new Map<string, ForbiddenCalls>();
  /** All that were applied then. */
  entries = 0;
  /** Those of unreported kinds. */
  others = 0;

  /** Records a refused call. A call that was also refused then is no difference. */
  add(
    { refused: { code, reason }, asked }: Extract<Admitted, { asked: CommandEntry }>,
    then: Outcome,
  ) {
    if (then.kind !== "applied") return;
    this.entries++;
    const { command, offset } = asked;
    const key = JSON.stringify([command, reason]);
    const known = this.#kinds.get(key);
    if (known === undefined && this.#kinds.size === KINDS_MAX) this.others++;
    else {
      const { entries, first } = known ?? { entries: 0, first: offset };
      this.#kinds.set(key, { command, code, reason, entries: entries + 1, first });
    }
  }

  /** By command and reason, in the order of their first entry. */
  kinds(): ForbiddenCalls[] {
    return [...this.#kinds.values()];
  }
}

/** The parts of an outcome that depend on the form of the values. */
const OF_VALUES = new Set(["values", "timers"]);
const SEED_BYTES = 16;

/** A module that may be deployed. */
export interface Candidate {
  readonly guest: ReducerGuest;
  readonly bounds: RoomBounds;
  readonly migrates: boolean;
  /** The calls that it admits; undefined: all. */
  readonly schema: RoomSchema | undefined;
}

/** An entry that the module would have answered differently. */
interface DifferentEntry {
  readonly offset: number;
  readonly asked: string;
  /** `verdict`, `answer`, `events`, … */
  readonly parts: readonly string[];
  readonly then: Pick<Outcome, "kind" | "code" | "reason">;
  readonly now: Pick<Outcome, "kind" | "code" | "reason" | "detail">;
}

const verdictOf = ({ kind, code, reason, detail }: Outcome) => ({ kind, code, reason, detail });

/** Where the fold begins: the last state before that time, else the first that is kept. */
async function beginOf(source: RoomSource, since_ms: number) {
  const { begins } = await beginnings(source);
  const before = begins.filter(({ at_ms }) => at_ms <= since_ms);
  const begin = await firstOf(source, [...before.toReversed(), ...begins.slice(before.length)]);
  if (begin !== undefined) return begin;
  throw new MissingEntries(`the log of ${source.room_id} has no snapshot to continue from`);
}

/** The room as the module would take it over. */
function takenOver(
  state: RoomState,
  { guest, bounds, migrates }: Candidate,
  room_id: string,
): { readonly state: RoomState; readonly refused: string } {
  if (!migrates || state.offset === 0) return { state, refused: "" };
  // The migration counts as the previous entry, so the later ones keep their offsets.
  const { offset, time_ms } = state;
  const from = "0".repeat(64);
  const placed = { offset, time_ms, seed: new Uint8Array(SEED_BYTES) };
  const entry: MigrateEntry = { kind: "migrate", ...placed, from, deploy: 0 };
  const before = { ...state, offset: offset - 1 };
  const run = (draft: Parameters<ReducerGuest["run"]>[0]) => guest.run(draft).verdict;
  const step = applyEntry(before, entry, run, { room_id, bounds });
  const { kind, code, reason, detail } = step.outcome;
  if (kind === "applied") return { state: step.state, refused: "" };
  return { state, refused: `${kind} ${code} ${reason} ${detail}`.trim() };
}

/** The result of a module for one room. */
export type Rehearsal = Awaited<ReturnType<typeof rehearse>>;

/** Applies the module to a room's commands since a time. Rejects as `foldRoom`. */
export async function rehearse(source: RoomSource, candidate: Candidate, since_ms: number) {
  const { guest, bounds, migrates, schema } = candidate;
  const forbidden = new ForbiddenCount();
  const about = { room_id: source.room_id, bounds };
  const begin = await beginOf(source, since_ms);
  let { state } = begin;
  let own: ReturnType<typeof takenOver> | undefined;
  let unchecked = "";
  let entries = 0, differing = 0;
  let first: DifferentEntry | undefined;
  for await (const folded of foldRoom(source, state, begin.position)) {
    const { entry, outcome } = folded;
    if (own === undefined && entry.time_ms >= since_ms) {
      own = takenOver(state, candidate, source.room_id);
      if (own.refused !== "") {
        unchecked =
          `as it was before entry ${entry.offset}, so no call was checked: ${own.refused}`;
      }
    }
    state = folded.state;
    // Migrations of other modules do not concern this one.
    if (own === undefined || own.refused !== "" || entry.kind === "migrate") continue;
    entries++;
    const judged = admitted(schema, entry, own.state);
    if ("refused" in judged) {
      forbidden.add(judged, outcome);
      continue;
    }
    const step = applyEntry(own.state, judged.entry, (draft) => guest.run(draft).verdict, about);
    own = { state: step.state, refused: "" };
    const parts = differingParts(outcome, step.outcome)
      .filter((part) => !migrates || !OF_VALUES.has(part));
    if (parts.length === 0) continue;
    differing++;
    const name = entry.kind === "command" ? entry.command : `timer ${entry.key}`;
    first ??= {
      offset: entry.offset,
      asked: name,
      parts,
      then: verdictOf(outcome),
      now: verdictOf(step.outcome),
    };
  }
  // The present state is the one it would take over.
  const refused = takenOver(state, candidate, source.room_id).refused || unchecked;
  const values_differ = migrates || own === undefined
    ? undefined
    : valuesDigest(own.state).toHex() !== valuesDigest(state).toHex();
  return {
    entries,
    differing,
    first,
    /** Why it cannot migrate the room, as it is or as before the first call; "": it can, or needs no migration. */
    refused,
    /** Whether the final values differ; undefined: a migration changes them, or there was no call. */
    values_differ,
    /** Calls that were applied but that its schema forbids; and by command and reason, except for some kinds. */
    forbidden: forbidden.entries,
    forbidden_calls: forbidden.kinds(),
    forbidden_others: forbidden.others,
  };
}
