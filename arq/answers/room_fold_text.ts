/** What `arq room verify`, `at` and `diff` print, for people and for programs. Pure. */
import { digestOf, type RoomState, valuesDigest } from "../../brain/reducers/state/room_state.ts";
import { nextTimer } from "../../brain/reducers/state/room_state.ts";
import { encodeSnapshot } from "../../brain/reducers/state/snapshot.ts";
import { printable } from "../terminal/exit.ts";
import { count, keyText, plural, shown } from "./reducer_text.ts";

/** Which values are reported: those whose keys begin with this, one character for each byte. */
export type KeyPrefix = string;

/** Where a fold and the bus do not agree. */
export interface FoldDifference {
  /** `entries`: of their digest; `snapshot`: of the room that the bus has stored. */
  readonly about: "entries" | "snapshot";
  /** The entry, or that it is one of those from the first to the last. */
  readonly first: number;
  readonly last: number;
  readonly noted: Uint8Array;
  readonly folded: Uint8Array;
}

/** The outcome of a fold of a whole log. */
export interface FoldEnd {
  readonly room_id: string;
  /** The entry that it began behind; 0: the empty room. */
  readonly begin: number;
  /** The room whose entry that is; undefined: its own. */
  readonly from: string | undefined;
  readonly entries: number;
  readonly programs: number;
  /** Snapshots of the bus that it came past. */
  readonly snapshots: number;
  readonly state: RoomState;
  readonly difference: FoldDifference | undefined;
}

const lines = (all: readonly string[]) => all.map((line) => `${printable(line)}\n`).join("");
const time = (time_ms: number) => time_ms === 0 ? "" : `, ${new Date(time_ms).toISOString()}`;

function differenceText(room_id: string, difference: FoldDifference): string[] {
  const { about, first, last, noted, folded } = difference;
  const which = first === last ? `entry ${first}` : `one of the entries ${first} to ${last}`;
  const what = about === "snapshot"
    ? `the snapshot behind entry ${last} is another room than its entries make`
    : `${which} comes to something else than when it was written`;
  return [
    `${room_id}: ${what}`,
    `noted   ${noted.toHex()}`,
    `folded  ${folded.toHex()}`,
  ];
}

/** How a fold of a whole log ended. */
export function foldText(end: FoldEnd, json: boolean): string {
  const { room_id: room, begin, entries, programs, snapshots, state, difference } = end;
  const chain = state.chain.toHex();
  const values = valuesDigest(state).toHex();
  if (json) {
    const differs = difference === undefined ? null : {
      ...difference,
      noted: difference.noted.toHex(),
      folded: difference.folded.toHex(),
    };
    const same = difference === undefined;
    const counts = { begin, offset: state.offset, entries, programs, snapshots };
    return `${JSON.stringify({ room, same, ...counts, differs, state: values, chain })}\n`;
  }
  if (difference !== undefined) return lines(differenceText(room, difference));
  const behind = end.from === undefined
    ? `behind the snapshot of entry ${begin}`
    : `behind entry ${begin} of ${end.from}`;
  const from = begin === 0 ? "from the first" : behind;
  const past = snapshots === 0 ? "" : `, past ${plural(snapshots, "snapshot", "snapshots")}`;
  return lines([
    `${room}: ${plural(entries, "entry", "entries")} ${from} to entry ${count(state.offset)} by ` +
    `${plural(programs, "program", "programs")}${past}: the same`,
    `state  ${values}`,
    `chain  ${chain}`,
  ]);
}

function* valuesOf(state: RoomState, prefix: KeyPrefix): Generator<[string, Uint8Array]> {
  for (const [key, value] of state.values.entries()) {
    if (key.startsWith(prefix)) yield [key, value];
  }
}

/** A state: values for stdout, and for people what is to be said of it, for stderr. */
export function stateText(
  room_id: string,
  state: RoomState,
  { json, prefix }: { readonly json: boolean; readonly prefix: KeyPrefix },
): { readonly out: string; readonly about: string } {
  const { offset, time_ms: at_ms, size_bytes: state_bytes, timers } = state;
  const next = nextTimer(state);
  const chain = state.chain.toHex();
  if (json) {
    const values = Object.fromEntries(
      [...valuesOf(state, prefix)].map(([key, value]) => [keyText(key), shown(value)]),
    );
    const own = {
      ...{ room: room_id, offset, at_ms, keys: state.values.size, state_bytes },
      timers: Object.fromEntries([...timers.entries()].map(([key, { at_ms }]) => [key, at_ms])),
      ...{ state: valuesDigest(state).toHex(), chain },
      snapshot: digestOf(encodeSnapshot(state)).toHex(),
    };
    return { out: `${JSON.stringify({ ...own, values })}\n`, about: "" };
  }
  const waiting = plural(timers.size, "timer", "timers");
  const first = next === undefined ? "" : `, the first at ${new Date(next.at_ms).toISOString()}`;
  return {
    out: lines(
      [...valuesOf(state, prefix)].map(([key, value]) => `${keyText(key)} = ${shown(value)}`),
    ),
    about: lines([
      `${room_id} after entry ${count(offset)}${time(at_ms)}: ` +
      `${plural(state.values.size, "value", "values")} of ${count(state_bytes)} bytes, ` +
      `${waiting}${first}`,
    ]),
  };
}

interface Changes {
  readonly added: Readonly<Record<string, string>>;
  readonly removed: Readonly<Record<string, string>>;
  readonly changed: Readonly<Record<string, { readonly from: string; readonly to: string }>>;
}

function changesBetween(from: RoomState, to: RoomState, prefix: KeyPrefix): Changes {
  const added: Record<string, string> = {};
  const removed: Record<string, string> = {};
  const changed: Record<string, { from: string; to: string }> = {};
  for (const [key, value] of valuesOf(from, prefix)) {
    const now = to.values.get(key);
    if (now === undefined) removed[keyText(key)] = shown(value);
    else if (now.toHex() !== value.toHex()) {
      changed[keyText(key)] = { from: shown(value), to: shown(now) };
    }
  }
  for (const [key, value] of valuesOf(to, prefix)) {
    if (!from.values.has(key)) added[keyText(key)] = shown(value);
  }
  return { added, removed, changed };
}

/** What is different between two states of a room. */
export function changesText(
  room_id: string,
  { from, to }: { readonly from: RoomState; readonly to: RoomState },
  { json, prefix }: { readonly json: boolean; readonly prefix: KeyPrefix },
): string {
  const changes = changesBetween(from, to, prefix);
  if (json) {
    const place = ({ offset, time_ms: at_ms }: RoomState) => ({ offset, at_ms });
    const ends = { room: room_id, from: place(from), to: place(to) };
    return `${JSON.stringify({ ...ends, ...changes })}\n`;
  }
  const { added, removed, changed } = changes;
  return lines([
    ...Object.entries(removed).map(([key, value]) => `- ${key} = ${value}`),
    ...Object.entries(added).map(([key, value]) => `+ ${key} = ${value}`),
    ...Object.entries(changed).map(([key, { from, to }]) => `~ ${key} = ${from} -> ${to}`),
  ]);
}
