/**
 * What of rooms with a reducer is printed, for people and for programs: the entries of `arq reducer test`, folds
 * of logs (`arq room verify`, `at`, `diff`), and what is deployed to classes. Pure.
 */
import type { Outcome } from "../../brain/reducers/state/entry.ts";
import { digestOf, nextTimer, valuesDigest } from "../../brain/reducers/state/room_state.ts";
import type { RoomState } from "../../brain/reducers/state/room_state.ts";
import { encodeSnapshot } from "../../brain/reducers/state/snapshot.ts";
import { fuelOf, type RunStep } from "../reducers/reducer_run.ts";
import { printable } from "../terminal/exit.ts";
import { plural } from "../../shared/plural.ts";
import type { ForbiddenCalls, Rehearsal } from "../reducers/rehearsal.ts";
import { table } from "./policy_text.ts";

/** How a run ended. */
export interface RunEnd {
  readonly file: string;
  readonly against: string | undefined;
  readonly state: RoomState;
  /** The state of the module that it was compared with. */
  readonly other: RoomState | undefined;
  readonly entries: number;
  readonly faults: number;
  /** Commands that the schema forbids, and entries that are not as it says. */
  readonly forbidden: number;
  readonly unlike: number;
  /** Entries about which the two modules differ. */
  readonly differing: number;
}

/** How one entry is reported. */
interface StepAbout {
  readonly json: boolean;
  /** In which parts the other module differs. */
  readonly parts: readonly string[];
  readonly against: Outcome | undefined;
  /** Where it is not what the schema says. */
  readonly problems: readonly string[];
}

const LEVELS = ["debug", "info", "warn", "error"];
/** Digits of a digest that people compare. */
const SHORT = 16;

/** A number for people. */
const count = (number: number) => number.toLocaleString("en-US");
const figure = (number: number) => String(Number(number.toPrecision(3)));
/** So many of something. */
const counted = (number: number, one: string, more: string) =>
  `${count(number)} ${number === 1 ? one : more}`;

/** Bytes for people and for JSON: text where they are text, else base64. */
export function shown(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `base64:${bytes.toBase64()}`;
  }
}

/** A key for people and for JSON. */
const keyText = (key: string) => shown(Uint8Array.from(key, (one) => one.charCodeAt(0)));

function verdictText({ kind, code, reason, detail, answer, repeats }: Outcome): string {
  const again = repeats === undefined ? "" : `, as entry ${repeats} was`;
  if (kind === "applied") return `${shown(answer)}${again}`;
  const words = [String(code), reason, detail].filter((text) => text !== "").join(" ");
  return `${words}${again}`;
}

function outcomeJson(outcome: Outcome) {
  const { kind: verdict, code, reason, fault, detail, repeats, answer, events, changes } = outcome;
  return {
    ...{ verdict, code, reason, fault: fault ?? null, detail, repeats: repeats ?? null },
    answer: shown(answer),
    events: events.map(({ type, data, to }) => ({ type, data: shown(data), to })),
    values: Object.fromEntries(
      [...changes].map(([key, value]) => [keyText(key), value === null ? null : shown(value)]),
    ),
    timers: Object.fromEntries(
      [...outcome.scheduled].map(([key, timer]) => [key, timer?.at_ms ?? null]),
    ),
  };
}

function stepJson(step: RunStep, { parts, against, problems }: StepAbout): string {
  const { entry, line, command, outcome, run, state, forbidden } = step;
  const { offset, kind } = entry;
  const { own: fuel, host: host_fuel } = fuelOf(step);
  const differs = against === undefined ? {} : {
    differs: parts,
    ...(parts.length === 0 ? {} : { against: outcomeJson(against) }),
  };
  return JSON.stringify({
    ...{
      offset: forbidden ? null : offset,
      line: line ?? null,
      at_ms: state.time_ms,
      kind,
      command,
    },
    user: entry.kind === "command" ? entry.user_id : null,
    ...outcomeJson(outcome),
    ...{ fuel, host_fuel, chain: state.chain.toHex(), logs: run?.logs ?? [], ...differs },
    ...(forbidden ? { forbidden } : {}),
    ...(problems.length === 0 ? {} : { schema_problems: problems }),
  });
}

/** The lines of one entry. */
export function stepLine(step: RunStep, about: StepAbout): string {
  if (about.json) return `${stepJson(step, about)}\n`;
  const { entry, command, outcome, run, state } = step;
  const who = entry.kind === "command" ? entry.user_id : "timer";
  const said = verdictText(outcome);
  const fuel = fuelOf(step);
  if (step.forbidden) return `${printable(`-  forbidden ${command} by ${who}  ${said}`)}\n`;
  const head = `${entry.offset}  ${outcome.kind.padEnd(8)}  ${command} by ${who}`;
  const lines = [
    said === "" ? head : `${head}  ${said}`,
    ...outcome.events.map(({ type, data, to }) =>
      `  event  ${type}  ${shown(data)}${to === "" ? "" : `  to ${to}`}`
    ),
    ...(run?.logs ?? []).map(({ level, message }) => `  log    ${LEVELS[level]}  ${message}`),
    ...(about.parts.length === 0 || about.against === undefined ? [] : [
      `  DIFFERS in ${about.parts.join(", ")}: ` +
      `${about.against.kind}  ${verdictText(about.against)}`,
    ]),
    ...about.problems.map((problem) => `  NOT AS THE SCHEMA SAYS  ${problem}`),
    `  fuel ${figure(fuel.own)} + ${figure(fuel.host)}  chain ${
      state.chain.toHex().slice(0, SHORT)
    }`,
  ];
  return lines.map((line) => `${printable(line)}\n`).join("");
}

function endJson(end: RunEnd, values: boolean): string {
  const { file, against, state, other, entries, faults, differing, forbidden, unlike } = end;
  const all = values
    ? {
      values: Object.fromEntries(
        [...state.values.entries()].map(([key, value]) => [keyText(key), shown(value)]),
      ),
    }
    : {};
  const compared = other === undefined ? {} : {
    ...{ against, differing },
    against_state: valuesDigest(other).toHex(),
  };
  return JSON.stringify({
    ...(forbidden + unlike === 0 ? {} : { forbidden, unlike_schema: unlike }),
    ...{ file, entries, faults, offset: state.offset, at_ms: state.time_ms },
    ...{ keys: state.values.size, state_bytes: state.size_bytes, timers: state.timers.size },
    state: valuesDigest(state).toHex(),
    chain: state.chain.toHex(),
    snapshot: digestOf(encodeSnapshot(state)).toHex(),
    ...all,
    ...compared,
  });
}

/** The lines at the end. */
export function endLine(
  end: RunEnd,
  { json, values }: { readonly json: boolean; readonly values: boolean },
): string {
  if (json) return `${endJson(end, values)}\n`;
  const { state, other, against, entries, faults, differing, forbidden, unlike } = end;
  const next = nextTimer(state);
  const waiting = counted(state.timers.size, "timer", "timers");
  const first = next === undefined ? "" : `, the first at ${new Date(next.at_ms).toISOString()}`;
  const lines = [
    `${counted(entries, "entry", "entries")}, ${counted(faults, "fault", "faults")}; ` +
    `${counted(state.values.size, "value", "values")} of ${count(state.size_bytes)} bytes, ` +
    `${waiting}${first}`,
    ...(forbidden === 0
      ? []
      : [`${counted(forbidden, "command", "commands")} forbidden by the schema`]),
    ...(unlike === 0
      ? []
      : [`${counted(unlike, "entry is", "entries are")} not as the schema says`]),
    ...(values
      ? [...state.values.entries()].map(([key, value]) => `  ${keyText(key)} = ${shown(value)}`)
      : []),
    `state  ${valuesDigest(state).toHex()}`,
    `chain  ${state.chain.toHex()}`,
    ...(other === undefined ? [] : [
      differing === 0
        ? `the same as ${against}`
        : `${counted(differing, "entry differs", "entries differ")} from ${against}; ` +
          `its state  ${valuesDigest(other).toHex()}`,
    ]),
  ];
  return lines.map((line) => `${printable(line)}\n`).join("");
}

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
  const past = snapshots === 0 ? "" : `, past ${counted(snapshots, "snapshot", "snapshots")}`;
  return lines([
    `${room}: ${counted(entries, "entry", "entries")} ${from} to entry ${count(state.offset)} by ` +
    `${counted(programs, "program", "programs")}${past}: the same`,
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
  const waiting = counted(timers.size, "timer", "timers");
  const first = next === undefined ? "" : `, the first at ${new Date(next.at_ms).toISOString()}`;
  return {
    out: lines(
      [...valuesOf(state, prefix)].map(([key, value]) => `${keyText(key)} = ${shown(value)}`),
    ),
    about: lines([
      `${room_id} after entry ${count(offset)}${time(at_ms)}: ` +
      `${counted(state.values.size, "value", "values")} of ${count(state_bytes)} bytes, ` +
      `${waiting}${first}`,
    ]),
  };
}

function changesBetween(from: RoomState, to: RoomState, prefix: KeyPrefix) {
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

/** What is in force in one class. */
export const programText = ({ reducer }: { readonly reducer: Shown }): string =>
  programsText([reducer]);

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
