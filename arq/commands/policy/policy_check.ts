/**
 * `arq policy check` and `test`: the verdict of a gateway on a module without a gateway, and the module's verdicts on
 * events from files. The checks are those of the admin API in the same order.
 */
import { ArqonError } from "@arqon/sdk";
import { configFrom } from "../../../shared/config/load.ts";
import type { Config } from "../../../shared/config/schema.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { type MeteredPolicy, meterPolicy } from "../../../shield/policy/abi/abi_check.ts";
import { instantiateGuest } from "../../../shield/policy/abi/host_abi.ts";
import { Compiler } from "../../../shield/policy/modules/compile.ts";
import { parseStateKeys, type StateSlot } from "../../../shield/policy/state/declaration.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { PolicyModuleError, WasmError } from "../../../wasm/module/errors.ts";
import { POLICY_LIMITS } from "../../../wasm/module/module.ts";
import { count, figure, LOG_LEVELS, type Row, rows } from "../../answers/figures.ts";
import { type Bounded, knownFacts, type ModuleFacts } from "../../policies/module_facts.ts";
import { readModuleFile, unlessRefused } from "../../policies/module_file.ts";
import { createTrial, trialCalls } from "../../policies/policy_trial.ts";
import type {
  FailingHook,
  MessageSizes,
  Trial,
  TrialOperation,
  TrialOutcome,
} from "../../policies/policy_trial.ts";
import type { Flags } from "../../program/flags.ts";
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { readInput } from "../../terminal/input.ts";
import type { Ended, Io } from "../../terminal/io.ts";

/** One slot of state, as the module declares it. */
const stateFacts = ({ key, ttl_ms, value_bytes }: StateSlot) => ({
  key,
  ttl_seconds: ttl_ms / 1_000,
  value_bytes,
});

/** Fuel for restoring the initial state, with the memory that `arqon_init` leaves, if it succeeds. */
async function restoreFuel({ bytes, renewal, cost }: MeteredPolicy): Promise<number> {
  if (renewal?.by !== "restore") return cost.restore_fuel;
  const compiled = await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  try {
    return Math.ceil(instantiateGuest({ compiled, renewal }).renewal_units / UNITS_PER_FUEL);
  } catch {
    return cost.restore_fuel;
  }
}

/** The result of the check. Of a refused module it has the reason, of an accepted one its properties. */
type CheckAnswer = Awaited<ReturnType<typeof check>>;

/** Checks a module as a gateway with that memory limit would. Rejects when the trial compilation fails. */
async function check(io: Io, file: string, bytes: Uint8Array, memory_limit_pages: number) {
  const about = {
    file,
    sha256: await sha256Hex(bytes),
    size_bytes: { is: bytes.length, limit: POLICY_LIMITS.module_bytes },
    memory_limit_pages,
  };
  const facts = knownFacts(bytes);
  try {
    const metered = meterPolicy(bytes, { memory_limit_pages });
    const began_ms = io.monotonic_ms();
    const { state_keys } = await new Compiler().compile(about.sha256, metered.bytes);
    const slots = parseStateKeys(state_keys).map(stateFacts);
    const compile_ms = Math.round(io.monotonic_ms() - began_ms);
    const metered_bytes = metered.bytes.length;
    const { abi, renewal } = metered;
    const restore_fuel = await restoreFuel(metered);
    return {
      ...about,
      accepted: true as const,
      facts,
      between_calls: { abi, renewed_by: renewal?.by ?? null, restore_fuel },
      metered_bytes,
      compile_ms,
      state: slots.length === 0 ? undefined : slots,
      ...await trialCalls(metered, configFrom({}), io),
    };
  } catch (error) {
    io.signal.throwIfAborted();
    if (!(error instanceof PolicyModuleError)) throw error;
    if (error.reason === "compile-failed") throw new CommandError(error.message);
    const { reason, message: sentence, cause } = error;
    const feature = cause instanceof WasmError ? cause.feature : undefined;
    return { ...about, accepted: false as const, reason, sentence, feature, facts };
  }
}

/** Prints the result. Returns 1 when the module is refused. */
export async function policyCheck(io: Io, file: string, flags: Flags): Promise<Ended> {
  const { overseer } = configFrom({}).platform;
  const bytes = await readModuleFile(io, file);
  const pages = flags.memoryLimitPages ?? overseer.memory_limit_pages;
  const answer = await check(io, file, bytes, pages);
  return { json: answer, text: checkText(answer), code: answer.accepted ? EXIT.ok : EXIT.failure };
}

type TryFlags = Flags<"hook" | "room" | "runs" | "tenant" | "type" | "user">;

/** An event that is ready to be run. */
interface Prepared {
  readonly file: string | null;
  readonly operation: TrialOperation;
}

/** Calls in a row after which pending signals are handled. */
const CALLS_AT_ONCE = 64;

function contentTypeOf(data: Uint8Array): string {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
    return "application/json";
  } catch {
    return "text/plain";
  }
}

/** The part of the operation that all events of the command line share. */
function operationOf(flags: TryFlags): TrialOperation {
  const { hook, type, room, header = [] } = flags;
  const reserved = header.find(([name]) => name.toLowerCase().startsWith("x-arqon-"));
  if (reserved !== undefined) {
    throw usageError(
      `--header ${reserved[0]}: the gateway sets this header itself`,
      "give its content with --hook, --tenant, --room, --user, --type or --content-type",
    );
  }
  return {
    hook,
    room_id: room,
    headers: Object.fromEntries(header),
    type,
    content_type: "",
    payload: new Uint8Array(),
  };
}

async function prepare(io: Io, flags: TryFlags, limits: Config["limits"]): Promise<Prepared[]> {
  const { hook, event: files = [] } = flags;
  const operation = operationOf(flags);
  if (hook !== "on_message" && hook !== "on_append") {
    if (files.length === 0) return [{ file: null, operation }];
    throw usageError(`--event: ${hook} has no event`);
  }
  if (files.length === 0) throw usageError("nothing to test: give --event FILE");
  const prepared: Prepared[] = [];
  for (const file of files) {
    const payload = await readInput(io, file);
    if (payload.length > limits.max_frame_bytes) {
      throw new CommandError(
        `${file} has ${payload.length} bytes; a frame has at most ${limits.max_frame_bytes}`,
      );
    }
    const content_type = flags.contentType ?? contentTypeOf(payload);
    prepared.push({ file, operation: { ...operation, payload, content_type } });
  }
  return prepared;
}

async function tryOnce(trial: Trial, { operation }: Prepared): Promise<TrialOutcome> {
  try {
    return await trial(operation);
  } catch (error) {
    if (!(error instanceof ArqonError)) throw error;
    throw usageError(`a gateway would refuse such a message: ${error.message}`);
  }
}

/** Tries all events in order, the whole list several times, on one instance. */
async function tryAll(
  io: Io,
  trial: Trial,
  prepared: readonly Prepared[],
  runs: number,
): Promise<EventReport[]> {
  const outcomes: TrialOutcome[][] = prepared.map(() => []);
  let calls = 0;
  for (let run = 0; run < runs; run++) {
    for (const [at, one] of prepared.entries()) {
      outcomes[at]?.push(await tryOnce(trial, one));
      if (++calls % CALLS_AT_ONCE !== 0) continue;
      await new Promise((resolve) => setTimeout(resolve));
      io.signal.throwIfAborted();
    }
  }
  return prepared.map((one, at) => eventReport(one, outcomes[at] ?? []));
}

/** Prints the outcome of every event. Returns 1 when one was refused or the policy failed. */
export async function policyTry(io: Io, file: string, flags: TryFlags): Promise<Ended> {
  if (flags.shrink === true) throw usageError("--shrink needs --cases");
  const config = configFrom({});
  const { overseer } = config.platform;
  const limits = {
    fuel_limit: flags.fuelLimit ?? overseer.fuel_limit,
    memory_limit_pages: flags.memoryLimitPages ?? overseer.memory_limit_pages,
  };
  const { hook } = flags;
  const bytes = await readModuleFile(io, file);
  const metered = await unlessRefused(file, () => meterPolicy(bytes, limits));
  if (!metered.hooks.includes(hook)) {
    throw usageError(
      `${file} has no hook ${hook}; it has ${metered.hooks.join(", ")}`,
      `give --hook ${metered.hooks[0]}`,
    );
  }
  const prepared = await prepare(io, flags, config.limits);
  const began_ms = io.now();
  const trial = createTrial({
    module: await WebAssembly.compile(metered.bytes),
    renewal: metered.renewal,
    fuel_limit: limits.fuel_limit,
    config,
    tenant_id: flags.tenant,
    user_id: flags.user,
    claims: Object.fromEntries(flags.claim ?? []),
    // A policy that counts by time gives the same result on a machine of any speed.
    now: () => began_ms,
    monotonic_ms: io.monotonic_ms,
  });
  const events = await tryAll(io, trial, prepared, flags.runs);
  const allowed = events.every(({ verdict }) => verdict === "allowed");
  const answer = { file, hook, ...limits, allowed, events };
  return { json: answer, text: testText(answer), code: allowed ? EXIT.ok : EXIT.failure };
}

const bounded = ({ is, limit }: Bounded) => `${count(is)} of ${count(limit)}`;
const list = (names: readonly string[]) => names.length === 0 ? "none" : names.join(", ");
const mib = (pages: number) => `${count(pages / 16)} MiB`;

function memoryText(memory: ModuleFacts["memory_pages"], limit: number): string {
  if (memory === null) return "none";
  const { initial, maximum } = memory;
  const begins = `${count(initial)} ${initial === 1 ? "page" : "pages"}`;
  const most = Math.min(maximum ?? limit, limit);
  const grows = most > initial ? `, may grow to ${count(most)}` : "";
  return `${begins}${grows}; at most ${count(limit)} (${mib(limit)})`;
}

function factRows(facts: ModuleFacts, memory_limit_pages: number): readonly Row[] {
  return [
    ["hooks", list(facts.hooks)],
    ["imports", list(facts.imports)],
    ["features", list(facts.features)],
    ["functions", bounded(facts.functions)],
    ["memory", memoryText(facts.memory_pages, memory_limit_pages)],
    ["table entries", bounded(facts.table_entries)],
    ["start function", facts.start_function ? "yes, which a policy may not have" : "none"],
    ["compile cost", bounded(facts.compile_cost)],
    ["of one function", bounded(facts.function_compile_cost)],
    [
      "instance fuel",
      `${bounded(facts.instance_fuel)}; with its memory ${count(facts.instance_fuel_with_memory)}`,
    ],
  ];
}

/** The state of a policy's memory at the beginning of a call. */
function betweenText(
  { renewed_by, restore_fuel }: Extract<CheckAnswer, { accepted: true }>["between_calls"],
): string {
  switch (renewed_by) {
    case null:
      return "its memory lives from call to call";
    case "restore":
      return `each call begins anew, for ${count(restore_fuel)} fuel`;
    case "instance":
      return "each call begins anew and needs an instance, as its code changes tables or drops segments";
    default:
      return renewed_by satisfies never;
  }
}

/** A fault of a trial call, for people. */
export const failingText = ({ hook, fault, detail }: FailingHook): string =>
  `${hook}: ${fault}${detail === "" ? "" : `, ${detail}`}`;

function sizeRows({ limit_bytes, refused }: MessageSizes): readonly Row[] {
  const [worst] = refused;
  const name = "message sizes";
  if (worst === undefined) return [[name, `all that the defaults let in (${count(limit_bytes)})`]];
  const most = `${count(worst.bytes)} of ${count(limit_bytes)} bytes`;
  const head = `up to ${most}; longer ones may be refused with 503`;
  return [
    [name, head],
    ...refused.map(({ content, bytes, fault }): Row => [
      "",
      `${count(bytes)}: ${content}${fault === "fuel" ? "" : ` (${fault})`}`,
    ]),
  ];
}

/** The text of `arq policy check`: first the verdict, then the facts about the module. */
function checkText(answer: CheckAnswer): string {
  const { file, facts, size_bytes, memory_limit_pages, sha256 } = answer;
  const head = `${answer.accepted ? "accepted" : "refused"}  ${printable(file)}\n`;
  const size: Row = ["size", `${bounded(size_bytes)} bytes`];
  const known = facts === undefined ? [] : factRows(facts, memory_limit_pages);
  if (!answer.accepted) {
    const { reason, sentence } = answer;
    const body = rows([["reason", reason], size, ...known, ["sha256", sha256]]);
    return `${head}${printable(sentence)}\n${body}`;
  }
  const { between_calls, metered_bytes, compile_ms, state = [] } = answer;
  const { failing, message_sizes } = answer;
  return head + rows([
    size,
    ["metered", `${count(metered_bytes)} bytes`],
    ...known,
    ["abi", `version ${between_calls.abi}: ${betweenText(between_calls)}`],
    ...state.map(({ key, ttl_seconds, value_bytes }): Row => [
      "state",
      `${key}: ${count(value_bytes)} bytes for ${count(ttl_seconds)} s`,
    ]),
    ["trial compilation", `both compilers in ${count(compile_ms)} ms`],
    ...failing.map((one, at): Row => [
      at === 0 ? "failing" : "",
      `${failingText(one)}; refused with 503`,
    ]),
    ...message_sizes === undefined ? [] : sizeRows(message_sizes),
    ["sha256", sha256],
  ]);
}

/** Makes an event's outcome from those of its runs, of which there is one at least. */
function eventReport(
  { file }: { readonly file: string | null },
  outcomes: readonly TrialOutcome[],
) {
  const found = outcomes.findIndex(({ verdict }) => verdict !== "allowed");
  const at = Math.max(0, found);
  const shown = outcomes[at];
  if (shown === undefined) throw new TypeError("an event was not tried");
  const times = outcomes.map(({ time_ms }) => time_ms).sort((one, other) => one - other);
  return {
    ...shown,
    file,
    run: at + 1,
    runs: outcomes.length,
    allowed_runs: outcomes.filter(({ verdict }) => verdict === "allowed").length,
    fuel_max: outcomes.reduce((most, { fuel }) => Math.max(most, fuel), 0),
    time_ms: times[Math.floor((times.length - 1) / 2)] ?? 0,
    time_max_ms: times.at(-1) ?? 0,
  };
}

/** An event's outcome: of the first run that was not allowed, else of the first; `time_ms` is a median. */
type EventReport = ReturnType<typeof eventReport>;

function verdictText({ verdict, code, reason, fault, detail }: EventReport): string {
  if (verdict === "allowed") return "";
  if (verdict === "refused") return `  ${code}${reason === "" ? "" : ` ${printable(reason)}`}`;
  return `  ${fault}: ${printable(detail)}`;
}

function usageText(event: EventReport, fuel_limit: number): string {
  const { runs, fuel, fuel_max, time_ms, time_max_ms } = event;
  const most = runs === 1 ? "" : `, at most ${figure(fuel_max)}`;
  const slowest = runs === 1 ? "" : ` in the median, at most ${figure(time_max_ms)} ms`;
  return `fuel ${figure(fuel)}${most} of ${count(fuel_limit)}; ${figure(time_ms)} ms${slowest}`;
}

function eventText(event: EventReport, fuel_limit: number): string {
  const { file, run, runs, allowed_runs } = event;
  const of_runs = runs === 1
    ? ""
    : allowed_runs === runs
    ? ` (${count(runs)} runs)`
    : ` (first in run ${count(run)}; ${count(allowed_runs)} of ${count(runs)} allowed)`;
  const name = file === null ? "" : `  ${printable(file)}`;
  const lines = [
    `${event.verdict.padEnd(7)}${name}${verdictText(event)}${of_runs}`,
    `  ${usageText(event, fuel_limit)}`,
    ...(event.client === null ? [] : [
      `  client  ${event.client.code} ${event.client.reason}: ${printable(event.client.message)}`,
    ]),
    ...event.added_headers.map(([name, value]) => printable(`  header  ${name}: ${value}`)),
    ...(event.payload === null ? [] : [printable(`  payload  ${event.payload}`)]),
    ...event.logs.map(({ level, message }) =>
      printable(`  log     ${LOG_LEVELS[level] ?? "info"}  ${message}`)
    ),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/** The text of `arq policy test`: one part for each event, then how many events were allowed. */
function testText(
  { events, fuel_limit }: { readonly events: readonly EventReport[]; readonly fuel_limit: number },
): string {
  const allowed = events.filter(({ verdict }) => verdict === "allowed").length;
  const sum = events.length === 1 ? "" : `${allowed} of ${events.length} allowed\n`;
  return events.map((event) => eventText(event, fuel_limit)).join("") + sum;
}
