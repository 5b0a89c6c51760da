/**
 * `arq reducer test`: applies a reducer to the commands of a file and prints the outcome of each, with digests that are
 * the same on every run. It needs no bus.
 */
import { utf8OrUndefined } from "@arqon/proto";
import {
  digestOf,
  emptyRoom,
  ROOM_BOUNDS,
  valuesDigest,
} from "../../../brain/reducers/state/room_state.ts";
import type { Outcome, RoomState } from "../../../brain/reducers/state/room_state.ts";
import {
  decodeSnapshot,
  encodeSnapshot,
  SnapshotError,
  unpackSnapshot,
} from "../../../brain/reducers/state/snapshot.ts";
import { figure, LOG_LEVELS } from "../../answers/figures.ts";
import { counted, digestLines, digestsOf, keyText } from "../../answers/reducer_text.ts";
import { shown, sizeText, valueLine, valuesOf } from "../../answers/reducer_text.ts";
import { requireModule, unlessRefused } from "../../policies/module_file.ts";
import {
  type Applier,
  createApplier,
  createLineReader,
  fuelOf,
  runLine,
  type RunStep,
  TooManyTimers,
} from "../../reducers/reducer_run.ts";
import { differingParts } from "../../reducers/rehearsal.ts";
import { EXIT, failed, printable, usageError } from "../../terminal/exit.ts";
import { readInput, writeOutput } from "../../terminal/input.ts";
import { type Ended, type Io, print, type Report } from "../../terminal/io.ts";
import { readNdjson } from "../../terminal/ndjson.ts";
import type { Flags } from "../../program/flags.ts";
import { valueProblem } from "../../../wasm/reducer/schema/judge.ts";
import type { RoomSchema } from "../../../wasm/reducer/schema/room_schema.ts";
import { resolved, type Shape, textOf } from "../../../wasm/reducer/schema/shape.ts";
import { linesText } from "../../terminal/columns.ts";

/** Bytes as clients receive them: JSON if they are JSON, else text; undefined: neither. */
function contentOf(bytes: Uint8Array): unknown {
  const text = utf8OrUndefined(bytes);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function bytesProblem(
  schema: RoomSchema,
  shape: Shape,
  bytes: Uint8Array,
  at: string,
): string | undefined {
  const content = contentOf(bytes);
  return content === undefined ? `${at}: expected UTF-8` : valueProblem(schema, shape, content, at);
}

/** The shape of a value; the longest matching prefix wins. */
function shapeOfKey({ values = {} }: RoomSchema, key: string): Shape | undefined {
  if (Object.hasOwn(values, key)) return values[key];
  const beginnings = Object.keys(values).filter((one) =>
    one.endsWith("*") && key.startsWith(one.slice(0, -1))
  ).sort((one, other) => other.length - one.length);
  return beginnings[0] === undefined ? undefined : values[beginnings[0]];
}

function keyProblem(schema: RoomSchema, latin: string, value: Uint8Array): string | undefined {
  const key = new TextDecoder().decode(Uint8Array.from(latin, (one) => one.charCodeAt(0)));
  const shape = shapeOfKey(schema, key);
  if (shape === undefined) return undefined;
  const at = `value ${key}`;
  if (textOf(resolved(shape, schema.$defs ?? {})) !== "always") {
    return bytesProblem(schema, shape, value, at);
  }
  const text = utf8OrUndefined(value);
  return text === undefined ? `${at}: expected UTF-8` : valueProblem(schema, shape, text, at);
}

/** Where the outcome of a command or timer violates the schema. */
function schemaProblems(
  schema: RoomSchema,
  command: string,
  { kind, repeats, answer, events, changes }: Outcome,
): string[] {
  if (kind !== "applied" || repeats !== undefined) return [];
  const problems: (string | undefined)[] = [];
  const declared = Object.hasOwn(schema.commands, command) ? schema.commands[command] : undefined;
  if (declared?.answer !== undefined) {
    const empty = answer.length === 0;
    problems.push(
      empty
        ? valueProblem(schema, declared.answer, null, "answer")
        : bytesProblem(schema, declared.answer, answer, "answer"),
    );
  } else if (declared !== undefined && answer.length > 0) problems.push("answer: expected none");
  for (const { type, data } of events) {
    const shape = schema.events && Object.hasOwn(schema.events, type)
      ? schema.events[type]
      : undefined;
    if (shape !== undefined) problems.push(bytesProblem(schema, shape, data, `event ${type}`));
    else if (schema.events !== undefined) problems.push(`event ${type}: the schema has none`);
  }
  for (const [key, value] of changes) {
    if (value !== null) problems.push(keyProblem(schema, key, value));
  }
  return problems.filter((one) => one !== undefined);
}

type TryFlags = Flags<"commands" | "fuelLimit" | "memoryLimitPages" | "room" | "seed">;

/** Entries in a row after which pending signals are handled. */
const ENTRIES_AT_ONCE = 64;

async function applierOf(
  io: Io,
  file: string,
  flags: TryFlags,
  begin: RoomState,
): Promise<Applier> {
  const [, source] = /\.(ts|rs)$/i.exec(file) ?? [];
  if (source !== undefined) {
    throw usageError(
      `${file} is a reducer's source; expected the module that is built of it, a .wasm file`,
      source.toLowerCase() === "ts"
        ? `arq reducer build ${file} makes it`
        : "cargo build --release --target wasm32-unknown-unknown makes it",
    );
  }
  requireModule(file);
  const bytes = await readInput(io, file);
  const room = { room_id: flags.room, bounds: ROOM_BOUNDS };
  const { fuelLimit: fuel_limit, memoryLimitPages: memory_limit_pages } = flags;
  const options = { room, fuel_limit, memory_limit_pages };
  return await unlessRefused(file, () => createApplier(bytes, options, begin), null);
}

async function beginning(io: Io, { begin }: TryFlags): Promise<RoomState> {
  if (begin === undefined) return emptyRoom();
  try {
    return decodeSnapshot(unpackSnapshot(await readInput(io, begin)));
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error;
    throw failed(
      `${begin}: ${error.message}`,
      "expected a file that arq reducer test --snapshot has written",
    );
  }
}

async function* bytesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** Applies every line, and prints each entry as it is applied. Returns the counts. */
async function runAll(io: Io, flags: TryFlags, applier: Applier, other: Applier | undefined) {
  const counts = {
    entries: 0,
    faults: 0,
    /** Entries about which the two modules differ. */
    differing: 0,
    /** Commands that the schema forbids, and entries that violate it. */
    forbidden: 0,
    unlike: 0,
  };
  const json = flags.json === true;
  const readLine = createLineReader(flags.commands, applier.state.time_ms);
  const chunks = bytesOf(await readInput(io, flags.commands));
  for await (const { line, bytes } of readNdjson(chunks, flags.commands)) {
    const about = readLine(line, new TextDecoder().decode(bytes));
    for (const step of runLine(applier, about, flags.seed)) {
      if (step.forbidden) {
        counts.forbidden++;
        await print(io.stdout, stepLine(step, { json, parts: [], problems: [] }));
        continue;
      }
      const { schema } = applier;
      const problems = schema ? schemaProblems(schema, step.command, step.outcome) : [];
      if (problems.length > 0) counts.unlike++;
      const against = other?.apply(step.entry);
      const parts = against === undefined ? [] : differingParts(step.outcome, against.outcome);
      counts.entries++;
      if (step.outcome.kind === "fault") counts.faults++;
      if (parts.length > 0) counts.differing++;
      await print(io.stdout, stepLine(step, { json, parts, against: against?.outcome, problems }));
      if (counts.entries % ENTRIES_AT_ONCE !== 0) continue;
      await new Promise((resolve) => setTimeout(resolve));
      io.signal.throwIfAborted();
    }
  }
  return counts;
}

/** Runs a file of commands. Returns 1 when one of them failed or violates the schema, or when two modules differ. */
export async function reducerTry(io: Io, file: string, flags: TryFlags): Promise<Ended> {
  const begin = await beginning(io, flags);
  const applier = await applierOf(io, file, flags, begin);
  const { compare: against } = flags;
  const other = against === undefined ? undefined : await applierOf(io, against, flags, begin);
  const counts = await runAll(io, flags, applier, other).catch((error) => {
    if (!(error instanceof TooManyTimers)) throw error;
    throw failed(error.message, "give the lines less distance in time");
  });
  const { state } = applier;
  if (flags.snapshot !== undefined) await writeOutput(io, flags.snapshot, encodeSnapshot(state));
  const end = { file, against, state, other: other?.state, ...counts };
  const is_well = counts.faults + counts.differing + counts.unlike === 0;
  return { ...runEnd(end, flags.values === true), code: is_well ? EXIT.ok : EXIT.failure };
}

/** How one entry is reported. */
interface StepAbout {
  readonly json: boolean;
  /** The parts in which the other module differs, whose outcome is `against`. */
  readonly parts: readonly string[];
  readonly against?: Outcome | undefined;
  readonly problems: readonly string[];
}

/** Digits of a digest that people compare. */
const SHORT = 16;

function verdictText({ kind, code, reason, detail, answer, repeats }: Outcome): string {
  const again = repeats === undefined ? "" : `, as entry ${repeats} was`;
  if (kind === "applied") return `${shown(answer)}${again}`;
  const words = [String(code), reason, detail].filter((text) => text !== "").join(" ");
  return `${words}${again}`;
}

function outcomeJson(outcome: Outcome) {
  const { kind: verdict, code, reason, fault, detail, repeats, answer, events, changes } = outcome;
  return {
    verdict,
    code,
    reason,
    fault: fault ?? null,
    detail,
    repeats: repeats ?? null,
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
    offset: forbidden ? null : offset,
    line: line ?? null,
    at_ms: state.time_ms,
    kind,
    command,
    user: entry.kind === "command" ? entry.user_id : null,
    ...outcomeJson(outcome),
    fuel,
    host_fuel,
    chain: state.chain.toHex(),
    logs: run?.logs ?? [],
    ...differs,
    ...(forbidden ? { forbidden } : {}),
    ...(problems.length === 0 ? {} : { schema_problems: problems }),
  });
}

/** The lines of one entry. */
function stepLine(step: RunStep, about: StepAbout): string {
  if (about.json) return `${stepJson(step, about)}\n`;
  const { entry, command, outcome, run, state } = step;
  const who = entry.kind === "command" ? entry.user_id : "timer";
  const verdict = verdictText(outcome);
  const fuel = fuelOf(step);
  const chain = state.chain.toHex().slice(0, SHORT);
  if (step.forbidden) return `${printable(`-  forbidden ${command} by ${who}  ${verdict}`)}\n`;
  const head = `${entry.offset}  ${outcome.kind.padEnd(8)}  ${command} by ${who}`;
  return linesText([
    verdict === "" ? head : `${head}  ${verdict}`,
    ...outcome.events.map(({ type, data, to }) =>
      `  event  ${type}  ${shown(data)}${to === "" ? "" : `  to ${to}`}`
    ),
    ...(run?.logs ?? []).map(({ level, message }) => `  log    ${LOG_LEVELS[level]}  ${message}`),
    ...(about.parts.length === 0 || about.against === undefined ? [] : [
      `  DIFFERS in ${about.parts.join(", ")}: ` +
      `${about.against.kind}  ${verdictText(about.against)}`,
    ]),
    ...about.problems.map((problem) => `  VIOLATES THE SCHEMA  ${problem}`),
    `  fuel ${figure(fuel.own)} + ${figure(fuel.host)}  chain ${chain}`,
  ]);
}

/** How a run ended; `other`: the state of the module `against` that is compared with. */
interface RunEnd extends Awaited<ReturnType<typeof runAll>> {
  readonly file: string;
  readonly against: string | undefined;
  readonly state: RoomState;
  readonly other: RoomState | undefined;
}

/** How a run ended. */
function runEnd(end: RunEnd, has_values: boolean): Report {
  const { file, against, state, other, entries, faults, differing, forbidden, unlike } = end;
  const values = has_values ? valuesOf(state) : [];
  const digests = digestsOf(state);
  const snapshot = digestOf(encodeSnapshot(state)).toHex();
  const other_state = other && valuesDigest(other).toHex();
  const json = {
    ...(forbidden + unlike === 0 ? {} : { forbidden, unlike_schema: unlike }),
    file,
    entries,
    faults,
    offset: state.offset,
    at_ms: state.time_ms,
    keys: state.values.size,
    state_bytes: state.size_bytes,
    timers: state.timers.size,
    ...digests,
    snapshot,
    ...(has_values ? { values: Object.fromEntries(values) } : {}),
    ...(other === undefined ? {} : { against, differing, against_state: other_state }),
  };
  const text = linesText([
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
