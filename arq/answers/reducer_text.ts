/** What `arq reducer test` prints, for people and for programs: a line an entry, then how it ended. Pure. */
import type { Outcome } from "../../brain/reducers/state/entry.ts";
import {
  digestOf,
  nextTimer,
  type RoomState,
  valuesDigest,
} from "../../brain/reducers/state/room_state.ts";
import { encodeSnapshot } from "../../brain/reducers/state/snapshot.ts";
import { fuelOf, type RunStep } from "../reducers/reducer_run.ts";
import { printable } from "../terminal/exit.ts";

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
export const count = (number: number) => number.toLocaleString("en-US");
const figure = (number: number) => String(Number(number.toPrecision(3)));
/** So many of something. */
export const plural = (number: number, one: string, more: string) =>
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
export const keyText = (key: string) => shown(Uint8Array.from(key, (one) => one.charCodeAt(0)));

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
  const waiting = plural(state.timers.size, "timer", "timers");
  const first = next === undefined ? "" : `, the first at ${new Date(next.at_ms).toISOString()}`;
  const lines = [
    `${plural(entries, "entry", "entries")}, ${plural(faults, "fault", "faults")}; ` +
    `${plural(state.values.size, "value", "values")} of ${count(state.size_bytes)} bytes, ` +
    `${waiting}${first}`,
    ...(forbidden === 0
      ? []
      : [`${plural(forbidden, "command", "commands")} forbidden by the schema`]),
    ...(unlike === 0
      ? []
      : [`${plural(unlike, "entry is", "entries are")} not as the schema says`]),
    ...(values
      ? [...state.values.entries()].map(([key, value]) => `  ${keyText(key)} = ${shown(value)}`)
      : []),
    `state  ${valuesDigest(state).toHex()}`,
    `chain  ${state.chain.toHex()}`,
    ...(other === undefined ? [] : [
      differing === 0
        ? `the same as ${against}`
        : `${plural(differing, "entry differs", "entries differ")} from ${against}; ` +
          `its state  ${valuesDigest(other).toHex()}`,
    ]),
  ];
  return lines.map((line) => `${printable(line)}\n`).join("");
}
