/**
 * Output about rooms with a reducer, for people and for programs: the entries of `arq reducer test`, folds of logs
 * (`arq room verify`, `at`, `diff`), and deployments to classes. Pure.
 */
import type { Outcome } from "../../brain/reducers/state/entry.ts";
import { digestOf, nextTimer, valuesDigest } from "../../brain/reducers/state/room_state.ts";
import type { RoomState } from "../../brain/reducers/state/room_state.ts";
import { encodeSnapshot } from "../../brain/reducers/state/snapshot.ts";
import { fuelOf, type RunStep } from "../reducers/reducer_run.ts";
import { printable } from "../terminal/exit.ts";
import type { Report } from "../terminal/io.ts";
import { plural } from "../../shared/plural.ts";
import type { ForbiddenCalls, Rehearsal } from "../reducers/rehearsal.ts";
import { table } from "./policy_text.ts";

/** How a run ended. */
export interface RunEnd {
  readonly file: string;
  readonly against: string | undefined;
  readonly state: RoomState;
  /** State of the module that is compared with; undefined without one. */
  readonly other: RoomState | undefined;
  readonly entries: number;
  readonly faults: number;
  /** Commands that the schema forbids, and entries that violate it. */
  readonly forbidden: number;
  readonly unlike: number;
  /** Entries about which the two modules differ. */
  readonly differing: number;
}

/** How one entry is reported. */
interface StepAbout {
  readonly json: boolean;
  /** The parts in which the other module differs. */
  readonly parts: readonly string[];
  readonly against: Outcome | undefined;
  readonly problems: readonly string[];
}

const LEVELS = ["debug", "info", "warn", "error"];
/** Digits of a digest that people compare. */
const SHORT = 16;

const count = (number: number) => number.toLocaleString("en-US");
const figure = (number: number) => String(Number(number.toPrecision(3)));
/** A count with its noun in singular or plural. */
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
  const verdict = verdictText(outcome);
  const fuel = fuelOf(step);
  if (step.forbidden) return `${printable(`-  forbidden ${command} by ${who}  ${verdict}`)}\n`;
  const head = `${entry.offset}  ${outcome.kind.padEnd(8)}  ${command} by ${who}`;
  return lines([
    verdict === "" ? head : `${head}  ${verdict}`,
    ...outcome.events.map(({ type, data, to }) =>
      `  event  ${type}  ${shown(data)}${to === "" ? "" : `  to ${to}`}`
    ),
    ...(run?.logs ?? []).map(({ level, message }) => `  log    ${LEVELS[level]}  ${message}`),
    ...(about.parts.length === 0 || about.against === undefined ? [] : [
      `  DIFFERS in ${about.parts.join(", ")}: ` +
      `${about.against.kind}  ${verdictText(about.against)}`,
    ]),
    ...about.problems.map((problem) => `  VIOLATES THE SCHEMA  ${problem}`),
    `  fuel ${figure(fuel.own)} + ${figure(fuel.host)}  chain ${
      state.chain.toHex().slice(0, SHORT)
    }`,
  ]);
}

const lines = (all: readonly string[]) => all.map((line) => `${printable(line)}\n`).join("");

/** Keys that begin with `prefix`, which has one character for each byte, with their values. */
const valuesOf = ({ values }: RoomState, prefix: KeyPrefix = "") =>
  [...values.entries()].filter(([key]) => key.startsWith(prefix))
    .map(([key, value]) => [keyText(key), shown(value)] as const);

const valueLine = ([key, value]: readonly [string, string]) => `${key} = ${value}`;

function sizeText(state: RoomState): string {
  const { values, size_bytes, timers } = state;
  const next = nextTimer(state);
  const first = next === undefined ? "" : `, the first at ${new Date(next.at_ms).toISOString()}`;
  return `${counted(values.size, "value", "values")} of ${count(size_bytes)} bytes, ` +
    `${counted(timers.size, "timer", "timers")}${first}`;
}

const digestsOf = (state: RoomState) => ({
  state: valuesDigest(state).toHex(),
  chain: state.chain.toHex(),
  snapshot: digestOf(encodeSnapshot(state)).toHex(),
});

const digestLines = ({ state, chain }: ReturnType<typeof digestsOf>) => [
  `state  ${state}`,
  `chain  ${chain}`,
];

/** How a run ended. */
export function runEnd(end: RunEnd, has_values: boolean): Report {
  const { file, against, state, other, entries, faults, differing, forbidden, unlike } = end;
  const values = has_values ? valuesOf(state) : [];
  const digests = digestsOf(state);
  const other_state = other && valuesDigest(other).toHex();
  const json = {
    ...(forbidden + unlike === 0 ? {} : { forbidden, unlike_schema: unlike }),
    ...{ file, entries, faults, offset: state.offset, at_ms: state.time_ms },
    ...{ keys: state.values.size, state_bytes: state.size_bytes, timers: state.timers.size },
    ...digests,
    ...(has_values ? { values: Object.fromEntries(values) } : {}),
    ...(other === undefined ? {} : { against, differing, against_state: other_state }),
  };
  const text = lines([
    `${counted(entries, "entry", "entries")}, ${counted(faults, "fault", "faults")}; ` +
    sizeText(state),
    ...(forbidden === 0
      ? []
      : [`${counted(forbidden, "command", "commands")} forbidden by the schema`]),
    ...(unlike === 0 ? [] : [`${counted(unlike, "entry violates", "entries violate")} the schema`]),
    ...values.map((one) => `  ${valueLine(one)}`),
    ...digestLines(digests),
    ...(other === undefined ? [] : [
      differing === 0
        ? `the same as ${against}`
        : `${counted(differing, "entry differs", "entries differ")} from ${against}; ` +
          `its state  ${other_state}`,
    ]),
  ]);
  return { json, text };
}

/** Which values are reported: those whose keys begin with this, one character for each byte. */
type KeyPrefix = string;

/** A difference between a fold and the bus. */
export interface FoldDifference {
  /** `entries`: their digests differ; `snapshot`: the room's state differs from the stored snapshot. */
  readonly about: "entries" | "snapshot";
  /** The first entry that may differ; the last one is `last`. */
  readonly first: number;
  readonly last: number;
  readonly noted: Uint8Array;
  readonly folded: Uint8Array;
}

/** The outcome of a fold of a whole log. */
interface FoldEnd {
  readonly room_id: string;
  /** The entry after which the fold began; 0: the empty room. */
  readonly begin: number;
  /** The room that the entry belongs to; undefined: the folded room itself. */
  readonly from: string | undefined;
  readonly entries: number;
  readonly programs: number;
  /** Snapshots of the bus that the fold passed. */
  readonly snapshots: number;
  readonly state: RoomState;
  readonly difference: FoldDifference | undefined;
}

function differenceText(room_id: string, difference: FoldDifference): string[] {
  const { about, first, last, noted, folded } = difference;
  const which = first === last ? `entry ${first}` : `one of the entries ${first} to ${last}`;
  const what = about === "snapshot"
    ? `the snapshot after entry ${last} differs from the result of its entries`
    : `${which} has a different result than the recorded one`;
  return [`${room_id}: ${what}`, `noted   ${noted.toHex()}`, `folded  ${folded.toHex()}`];
}

/** How a fold of a whole log ended. */
export function foldReport(end: FoldEnd): Report {
  const { room_id: room, begin, entries, programs, snapshots, state, difference } = end;
  const digests = digestsOf(state);
  const differs = difference === undefined ? null : {
    ...difference,
    noted: difference.noted.toHex(),
    folded: difference.folded.toHex(),
  };
  const counts = { begin, offset: state.offset, entries, programs, snapshots };
  const { state: values, chain } = digests;
  const json = { room, same: differs === null, ...counts, differs, state: values, chain };
  if (difference !== undefined) return { json, text: lines(differenceText(room, difference)) };
  const behind = end.from === undefined
    ? `after the snapshot of entry ${begin}`
    : `after entry ${begin} of ${end.from}`;
  const from = begin === 0 ? "from the first" : behind;
  const past = snapshots === 0 ? "" : `, past ${counted(snapshots, "snapshot", "snapshots")}`;
  const text = lines([
    `${room}: ${counted(entries, "entry", "entries")} ${from} to entry ${count(state.offset)} by ` +
    `${counted(programs, "program", "programs")}${past}: the same`,
    ...digestLines(digests),
  ]);
  return { json, text };
}

/** A state: its values, and a summary for people. */
export function stateReport(room_id: string, state: RoomState, prefix: KeyPrefix): Report {
  const { offset, time_ms: at_ms, size_bytes: state_bytes, timers } = state;
  const values = valuesOf(state, prefix);
  const at = at_ms === 0 ? "" : `, ${new Date(at_ms).toISOString()}`;
  return {
    json: {
      ...{ room: room_id, offset, at_ms, keys: state.values.size, state_bytes },
      timers: Object.fromEntries([...timers.entries()].map(([key, { at_ms }]) => [key, at_ms])),
      ...digestsOf(state),
      values: Object.fromEntries(values),
    },
    text: lines(values.map(valueLine)),
    note: lines([`${room_id} after entry ${count(offset)}${at}: ${sizeText(state)}`]),
  };
}

/** The differences between two states of a room. */
export function changesReport(
  room_id: string,
  from: RoomState,
  to: RoomState,
  prefix: KeyPrefix,
): Report {
  const [before, after] = [from, to].map((state) => new Map(valuesOf(state, prefix)));
  const is = (state: RoomState) => ({ offset: state.offset, at_ms: state.time_ms });
  const removed = [...before!].filter(([key]) => !after!.has(key));
  const added = [...after!].filter(([key]) => !before!.has(key));
  const changed = [...before!].flatMap(([key, value]) => {
    const now = after!.get(key);
    return now === undefined || now === value ? [] : [[key, { from: value, to: now }] as const];
  });
  return {
    json: {
      ...{ room: room_id, from: is(from), to: is(to), added: Object.fromEntries(added) },
      ...{ removed: Object.fromEntries(removed), changed: Object.fromEntries(changed) },
    },
    text: lines([
      ...removed.map((one) => `- ${valueLine(one)}`),
      ...added.map((one) => `+ ${valueLine(one)}`),
      ...changed.map(([key, { from, to }]) => `~ ${key} = ${from} -> ${to}`),
    ]),
  };
}

interface Shown {
  readonly class: string;
  readonly reducer: string;
  readonly number: number;
  readonly current: { readonly module: string; readonly at_ms: number; readonly by: string };
  readonly before: readonly unknown[];
  /** Stored for the class. */
  readonly modules: readonly string[];
  /** Absent unless the rooms were requested. */
  readonly rooms?: readonly RoomBehind[];
}

/** A room that has another module than its class. */
export interface RoomBehind {
  readonly room_id: string;
  /** Hex SHA-256; "": unknown. */
  readonly module: string;
  /** Whether the class's module could not migrate it. */
  readonly is_refused: boolean;
}

/** Digits of a module's hash that are shown. */
const HASH_DIGITS = 16;

function outcomeText({ kind, code, reason }: { kind: string; code: number; reason: string }) {
  return kind === "applied" ? kind : `${kind} ${code} ${reason}`.trim();
}

/** The line of a rehearsal: the outcome of applying a module to one room. */
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

/** The difference that a module makes in a room, in words; undefined: none. */
function differenceOf(
  { differing, first, values_differ, forbidden }: Rehearsal,
  many: string,
): string | undefined {
  if (first !== undefined) {
    const { offset, asked: command, parts, then, now } = first;
    const how = `${command} was ${outcomeText(then)}, would be ${outcomeText(now)} ${now.detail}`;
    return `${differing} of ${many} DIFFER, first entry ${offset} in ${parts.join(", ")}: ${how}`
      .trimEnd();
  }
  // Forbidden commands leave no values, so the values then differ as expected.
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
    : "as stored last; its next call uses the other module";
  return `${printable(`${room_id} (${pattern}): ${has}, ${why}`)}\n`;
}

/** The deployments in force in all classes. */
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

/** The deployment in force in one class. */
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

/** The rooms that are cut off; empty when there are none. */
export function cutOffText(rooms: readonly CutOff[]): string {
  if (rooms.length === 0) return "";
  const rows = rooms.map(({ room_id, module, since_ms, until_ms, fault }) => [
    ...[room_id, module.slice(0, HASH_DIGITS)],
    ...[since_ms, until_ms].map((at_ms) => new Date(at_ms).toISOString()),
    `entry ${fault.entry}: ${fault.reason} ${fault.detail}`.trimEnd(),
  ]);
  return `\n${table(["room", "module", "cut off since", "until", "last fault"], rows)}`;
}
