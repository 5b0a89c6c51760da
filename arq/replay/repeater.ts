/**
 * Repeats the recorded calls of one policy: with the module that decided then, and with a new one. It reads lines of a
 * journal and counts. Its caller chooses the thread and the source of lines and modules.
 */
import { isHole } from "../../shared/journal/record.ts";
import type {
  JournalHole,
  JournalLine,
  JournalRecord,
  PolicyRecord,
} from "../../shared/journal/record.ts";
import { METER_VERSION, UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import type { Hook } from "../../shared/records/verdict.ts";
import type { GuestModule, GuestOutcome } from "../../shield/policy/abi/host_abi.ts";
import type { StateSlot } from "../../shield/policy/state/declaration.ts";
import { Instances } from "../../shield/policy/worker/worker_chain.ts";
import type { Renewal } from "../../wasm/metering/renewal.ts";
import {
  decisionOf,
  type Difference,
  differences,
  notOfTheModule,
  OwnState,
  payloadAt,
  RecordedInputs,
  recordedState,
  sameWrites,
} from "./recorded_call.ts";
import { addUnits, countOf, emptyTally, SAMPLES } from "./tally.ts";
import type { FlipKind, Sample } from "./tally.ts";
import { type JournalChunk, linesIn } from "./journal_chunks.ts";
import type { ReplaySelection } from "./selection.ts";

/** A module that can run. */
export interface ReplayModule extends GuestModule {
  readonly sha256: string;
  /** How each call gets the state after initialisation; absent: state lives between calls. */
  readonly renewal?: Renewal | undefined;
  readonly hooks: readonly Hook[];
  /** Whether it may keep memory from call to call, as modules of `arqon_host_v1` may. */
  readonly is_stateful: boolean;
  /** Its keyed state; empty: it declares none. */
  readonly slots: readonly StateSlot[];
  readonly value_bytes: readonly number[];
}

/** The options of a repeater. */
export interface RepeaterOptions {
  readonly selection: ReplaySelection;
  /** Usually `isSelected` of `selection.ts`. */
  readonly isSelected: (record: JournalRecord, selection: ReplaySelection) => boolean;
  readonly candidate: ReplayModule;
  /** Adds a candidate that did not exist then to a record; absent: the journal has the policy. */
  readonly withAdded?: ((record: JournalRecord) => JournalRecord | undefined) | undefined;
  /** The module that a record names; undefined when nobody has its bytes. */
  readonly moduleOf: (sha256: string) => Promise<ReplayModule | undefined>;
  readonly onFlip?: (kind: FlipKind, sample: Sample) => void;
}

/** A module and its number among the instances. */
interface Loaded {
  readonly module: ReplayModule;
  readonly number: number;
}

interface Ran {
  readonly outcome: GuestOutcome;
  readonly unknown: ReadonlySet<string> | undefined;
}

interface Asked {
  readonly record: JournalRecord;
  readonly place: number;
  readonly policy: PolicyRecord;
}

/**
 * Factor of a call's fuel limit when other prices applied: it finished within the limit then, and has to finish now. No
 * instruction's price has grown by more.
 */
const PRICES_GREW = 64;
/** Most instances at a time; a journal of many tenants has one for each. */
const INSTANCES = 256;
const CANDIDATE = 1;
const SHOWN_CHARACTERS = 120;

const decoder = new TextDecoder();

/** The beginning of the payload of a call as one line. */
function excerpt(record: JournalRecord, place: number): string | null {
  const payload = payloadAt(record, place);
  if (payload === undefined || record.payload.form === "none") return null;
  return decoder.decode(payload.subarray(0, SHOWN_CHARACTERS * 4)).slice(0, SHOWN_CHARACTERS);
}

function sampleOf(
  { record, place, policy }: Asked,
  { outcome }: Ran,
  differs: readonly Difference[],
): Sample {
  const { allowed, code, reason, fault } = policy;
  return {
    id: record.id,
    time_ms: record.time_ms,
    room: record.room,
    message_id: record.message_id,
    offset: record.offset,
    user: record.sender?.user ?? null,
    recorded: { allowed, code, reason, fault },
    repeated: decisionOf(outcome),
    differs: differs.join(", "),
    units: [policy.units, outcome.units],
    payload: excerpt(record, place),
    is_warm_up: false,
  };
}

/** The outcome of a call for which no instance could be created. */
function noInstance(error: unknown): GuestOutcome {
  const detail = error instanceof Error ? error.message : String(error);
  const fault = error instanceof RangeError ? "memory" : "trap";
  const nothing = { reason: "", units: 0, added_headers: [], logs: [] };
  return { ...nothing, allowed: false, code: 503, fault, detail, payload: undefined, broken: true };
}

/** Calls a loaded module for a record, in the instance of its tenant. */
export function callIn(
  instances: Instances,
  number: number,
  { tenant, hook }: Pick<JournalRecord, "tenant" | "hook">,
  inputs: RecordedInputs,
  units: number,
): GuestOutcome {
  let guest = instances.find(tenant, number);
  try {
    guest ??= instances.make(tenant, number);
  } catch (error) {
    return noInstance(error);
  }
  const outcome = guest.call(hook, inputs, units / UNITS_PER_FUEL);
  if (outcome.broken) instances.drop(tenant, number);
  return outcome;
}

/** A repeater, and its counts so far. */
export class Repeater {
  readonly tally = emptyTally();
  readonly #options: RepeaterOptions;
  readonly #instances = new Instances(INSTANCES);
  readonly #loaded = new Map<string, Loaded | undefined>();
  /** The state of the new module; undefined: it declares none. */
  readonly #own: OwnState | undefined;

  constructor(options: RepeaterOptions) {
    this.#options = options;
    const { candidate } = options;
    if (candidate.slots.length > 0) this.#own = new OwnState(candidate);
    this.#instances.load(CANDIDATE, { ...candidate, instance_units: 0 });
    this.#loaded.set(candidate.sha256, { module: candidate, number: CANDIDATE });
  }

  /** Repeats the calls of some lines, in order. */
  async feed(chunk: JournalChunk): Promise<void> {
    for (const line of linesIn(chunk, this.tally)) {
      const loading = this.take(line);
      // Awaiting every line would cost more than a call.
      if (loading !== undefined) await loading;
    }
  }

  /** Repeats the call in a line, if there is a selected one; a promise: its module comes first. */
  take(line: JournalLine): Promise<void> | undefined {
    const decision = isHole(line) ? this.#countHole(line) : this.#read(line);
    if (decision === undefined) return undefined;
    const { module: sha256 } = decision.policy;
    if (!this.#loaded.has(sha256)) {
      return this.#load(sha256).then(() => this.#repeat(decision, this.#loaded.get(sha256)));
    }
    this.#repeat(decision, this.#loaded.get(sha256));
    return undefined;
  }

  async #load(sha256: string): Promise<void> {
    const module = await this.#options.moduleOf(sha256);
    const number = this.#loaded.size + CANDIDATE + 1;
    if (module !== undefined) this.#instances.load(number, { ...module, instance_units: 0 });
    this.#loaded.set(sha256, module === undefined ? undefined : { module, number });
  }

  /** The policy's call in a record; undefined when it has no relevant one. */
  #read(line: JournalRecord): Asked | undefined {
    const { tally } = this;
    const { selection, isSelected, withAdded } = this.#options;
    if (!isSelected(line, selection)) return void tally.outside++;
    const record = withAdded === undefined ? line : withAdded(line);
    if (record === undefined) return void tally.without_policy++;
    const place = record.policies.findIndex(({ name }) => name === selection.policy);
    if (place < 0) {
      tally.without_policy++;
      for (const { name } of record.policies) countOf(tally.other_policies, name);
      return undefined;
    }
    const policy = record.policies[place] as PolicyRecord;
    // Refused behind an added policy: it would have been called, and nothing else would be different.
    if (withAdded !== undefined && !record.allowed) {
      if (this.#own !== undefined) this.#callCandidate({ record, place, policy });
      return undefined;
    }
    tally.decisions++;
    tally.first_ms = Math.min(tally.first_ms, record.time_ms);
    tally.last_ms = Math.max(tally.last_ms, record.time_ms);
    return { record, place, policy };
  }

  #countHole({ hole: { tenant, records, why, from_ms, to_ms } }: JournalHole): undefined {
    const { tally } = this;
    const { tenant: wanted = tenant, from_ms: from = -Infinity, until_ms: until = Infinity } =
      this.#options.selection;
    if (tenant !== wanted || to_ms < from || from_ms >= until) return undefined;
    tally.holes++;
    countOf(tally.hole_reasons, why);
    if (records === null) tally.unknown_holes++;
    else tally.missing += records;
    return undefined;
  }

  #repeat(decision: Asked, loaded: Loaded | undefined): void {
    const { recorded, candidate } = this.tally;
    const fault = notOfTheModule(decision.policy);
    if (fault !== undefined) {
      countOf(recorded.not_run, fault);
      countOf(candidate.not_run, fault);
      return;
    }
    let ran: Ran | undefined;
    if (loaded === undefined) countOf(recorded.no_module, decision.policy.module);
    else {
      ran = this.#callRecorded(decision, loaded);
      this.#compare(decision, loaded.module, ran);
    }
    const { candidate: { hooks } } = this.#options;
    if (!hooks.includes(decision.record.hook)) return void candidate.no_hook++;
    // The same module is not run twice: its memory would differ.
    const is_same = loaded?.number === CANDIDATE && ran !== undefined && this.#own === undefined;
    this.#judge(decision, is_same ? ran! : this.#callCandidate(decision));
  }

  #callRecorded(decision: Asked, { module, number }: Loaded): Ran {
    const inputs = new RecordedInputs(decision.record, decision.place);
    inputs.state = recordedState(module.slots, decision.policy, inputs);
    const { record: { meter_version }, policy: { fault, budget_units } } = decision;
    const has_ended = fault !== "fuel" && meter_version !== METER_VERSION;
    const units = has_ended ? budget_units * PRICES_GREW : budget_units;
    return this.#call(decision, number, inputs, units);
  }

  #callCandidate(decision: Asked): Ran {
    const inputs = new RecordedInputs(decision.record, decision.place);
    const own = this.#own?.of(decision.record, decision.policy, inputs);
    if (decision.policy.module !== this.#options.candidate.sha256 && this.#own !== undefined) {
      this.#own.has_diverged = true;
    }
    inputs.state = own?.state;
    const ran = this.#call(decision, CANDIDATE, inputs, decision.policy.budget_units);
    if (ran.unknown === undefined) own?.keep(ran.outcome.written);
    else own?.lose();
    return ran;
  }

  #call({ record }: Asked, number: number, inputs: RecordedInputs, units: number): Ran {
    const outcome = callIn(this.#instances, number, record, inputs, units);
    return { outcome, unknown: inputs.unknown };
  }

  #compare(decision: Asked, module: ReplayModule, ran: Ran): void {
    const { recorded } = this.tally;
    if (ran.unknown !== undefined) {
      for (const what of ran.unknown) countOf(recorded.unknown, what);
      return;
    }
    recorded.repeated++;
    const counts_alike = decision.record.meter_version === METER_VERSION;
    if (!counts_alike) recorded.fuel_not_compared++;
    const is_erased = decision.record.sender === null;
    const comparable = { compares_units: counts_alike, is_erased };
    const found = [...differences(decision.policy, ran.outcome, comparable)];
    if (!is_erased && !sameWrites(module.slots, decision.policy, ran.outcome.written)) {
      found.push("state");
    }
    if (found.length === 0) return void recorded.same++;
    if (found.length === 1 && found[0] === "fuel" && module.is_stateful) {
      recorded.stateful_fuel++;
      return;
    }
    countOf(recorded.different, found.join(", "));
    if (recorded.samples.length < SAMPLES) recorded.samples.push(sampleOf(decision, ran, found));
  }

  /** Compares the new module's verdict with the recorded one. */
  #judge(decision: Asked, ran: Ran): void {
    const { candidate } = this.tally;
    if (ran.unknown !== undefined) {
      candidate.not_judged++;
      for (const what of ran.unknown) countOf(candidate.unknown, what);
      return;
    }
    const { policy } = decision;
    const { outcome } = ran;
    candidate.repeated++;
    addUnits(candidate.recorded_fuel, policy.units);
    addUnits(candidate.fuel, outcome.units);
    if (outcome.fault !== undefined) countOf(candidate.faults, outcome.fault);
    const is_erased = decision.record.sender === null;
    const found = differences(policy, outcome, { compares_units: false, is_erased });
    const is_warm_up = this.#own?.isWarmUp(decision.record) ?? false;
    if (found.length === 0) return;
    const kind: FlipKind = policy.allowed === outcome.allowed
      ? "changed"
      : outcome.allowed
      ? "to_allowed"
      : "to_refused";
    candidate[kind]++;
    if (is_warm_up && kind !== "changed") candidate.warm_up++;
    const samples = candidate.samples[kind];
    const { onFlip } = this.#options;
    if (samples.length >= SAMPLES && onFlip === undefined) return;
    const sample = { ...sampleOf(decision, ran, found), is_warm_up };
    if (samples.length < SAMPLES) samples.push(sample);
    onFlip?.(kind, sample);
  }
}
