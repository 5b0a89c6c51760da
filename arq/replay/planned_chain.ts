/**
 * What a tenant's planned policies would have decided about recorded operations, as a chain: each policy sees what the
 * planned ones before it made of the message. A verdict in the record counts where the same module saw the same; any
 * other call is made. What depends on an input that nobody recorded is unknown, never guessed.
 */
import type { JournalRecord, PayloadRecord, PolicyRecord } from "../../shared/journal/record.ts";
import type { PolicyBinding } from "../../shared/records/verdict.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import { isSampled } from "../../shared/sampling.ts";
import { Instances } from "../../shield/policy/worker/worker_chain.ts";
import { decisionOf, OwnState, RecordedInputs } from "./recorded_call.ts";
import { callIn, type ReplayModule } from "./repeater.ts";
import { isCovered, isRefusal, newCall } from "./selection.ts";
import { countOf, type Counts, countWithin, type Sample, SAMPLES } from "./tally.ts";

/** Most senders that are counted one by one. */
export const SENDERS = 10_000;
/** Most policies of a tenant, with one instance each. */
const INSTANCES = 64;

/** The most bytes beside a payload, which the journal does not have. */
const BESIDE_BYTES = 20_480;

/** What is decided about an operation; neither `by` nor `unknown`: it is admitted. */
export interface Planned {
  /** Who refuses it: "policy words". */
  readonly by?: string;
  /** The inputs that the journal does not have. */
  readonly unknown?: Iterable<string>;
}

interface ChainOptions {
  /** All planned policies, in order. */
  readonly policies: readonly PolicyBinding[];
  readonly moduleOf: (sha256: string) => Promise<ReplayModule | undefined>;
  /** The fuel of a call, and of all calls of an operation. */
  readonly fuel_limit: number;
  readonly chain_fuel_limit: number;
  /** The bytes of a message with all that is beside its payload. */
  readonly max_frame_bytes: number;
  /** The gates before the policies, in order. */
  readonly gates: { readonly signature: PlannedGate; readonly schema: PlannedGate };
}

/** A gate as it is planned. */
interface PlannedGate {
  /** Whether the plan changes it; if not, it decides as it did. */
  readonly is_changed: boolean;
  readonly decide: (record: JournalRecord) => Planned;
}

/** The refusals of the gates before the policies, in their order. */
const REFUSALS: readonly (readonly [keyof ChainOptions["gates"], readonly string[]])[] = [
  ["signature", ["signature-required"]],
  ["schema", ["schema-violation", "schema-unavailable"]],
];

/** Where a gate has refused: before the policies, or what they have made of the message; -1: no gate has. */
const refusedAt = ({ reason }: JournalRecord): number =>
  REFUSALS.findIndex(([_, reasons]) => reasons.includes(reason));

/** One planned policy. */
interface Seat {
  readonly policy: PolicyBinding;
  readonly number: number;
  /** Undefined: nobody has its bytes. */
  readonly module: ReplayModule | undefined;
  readonly own: OwnState | undefined;
  /** Whether it may replace a payload. */
  readonly replaces: boolean;
  /** The names of its calls in records. */
  follows?: readonly string[];
}

const emptyTally = () => ({
  operations: 0,
  allow_to_refuse: 0,
  refuse_to_allow: 0,
  /** Refused then and now, also by what the plan does not change. */
  still_refused: 0,
  /** Operations that cannot be judged, since the journal lacks an input; and how often each is lacking. */
  unknown: 0,
  unknown_inputs: new Map() as Counts,
  /** Flips while keyed state from before the window may still count. */
  warm_up: 0,
  /** Of the operations that were admitted; 0: nothing is known of what would be refused. */
  admitted: 0,
  /** Refusals of that time by reason. */
  reasons: new Map() as Counts,
  by_gate: new Map() as Counts,
  by_sender: new Map() as Counts,
  samples: { to_refused: [], to_allowed: [] } as Record<
    "to_refused" | "to_allowed",
    Pick<Sample, "room" | "user" | "id">[]
  >,
});

/** Whether a schema refused what policies had made of the message. */
const isReplaced = (record: JournalRecord): boolean =>
  refusedAt(record) >= 0 && record.policies.length > 0;

/** What the enforcing ones among these have made of the message. */
function effects(policies: readonly PolicyRecord[]): string {
  const found = policies.filter(({ mode, allowed, added_headers, payload, is_payload_missing }) =>
    mode === "enforce" && allowed &&
    (added_headers.length > 0 || payload !== null || is_payload_missing === true)
  );
  if (found.length === 0) return "";
  return JSON.stringify(
    found.map((
      { added_headers, payload, is_payload_missing, module },
    ) => [added_headers, payload, is_payload_missing === true ? module : ""]),
  );
}

/** Faults of a policy that was not ready, for which the Shield calls no policy of the chain. */
const HELD: ReadonlySet<string | null> = new Set([
  "missing-module",
  "wedge",
  "breaker-open",
  "sender-slowed",
]);

/** The units of calls in a mode: observing ones have their own budget. */
const unitsOf = (policies: readonly PolicyRecord[], mode: PolicyRecord["mode"]): number =>
  policies.reduce((sum, one) => sum + (one.mode === mode ? one.units : 0), 0);

/** Where the record has a policy's call, also as one side of a rollout; -1: it was not called. */
function placeOf({ policies }: JournalRecord, seat: Seat): number {
  const { own, policy: { name, sha256 }, follows = [name, `${name}~new`, `${name}~old`] } = seat;
  const places = follows.map((one) =>
    policies.findIndex(({ name, module }) => name === one && module === sha256)
  );
  const at = places.findIndex((place) => place >= 0);
  // Each of these names has a state of its own.
  if (at >= 0 && own !== undefined) seat.follows = [follows[at] as string];
  return places[at] ?? -1;
}

/** A planned chain, and its counts so far. */
export class PlannedChain {
  readonly tally = emptyTally();
  readonly #options: ChainOptions;
  readonly #seats: readonly Seat[];
  readonly #instances = new Instances(INSTANCES);
  #is_warm_up = false;

  private constructor(options: ChainOptions, seats: readonly Seat[]) {
    this.#options = options;
    this.#seats = seats;
    for (const { module, number } of seats) {
      if (module !== undefined) this.#instances.load(number, { ...module, instance_units: 0 });
    }
  }

  /** Rejects as `moduleOf` does. */
  static async of(options: ChainOptions): Promise<PlannedChain> {
    const seats: Seat[] = [];
    for (const policy of options.policies) {
      const module = await options.moduleOf(policy.sha256);
      const own = module === undefined || module.slots.length === 0
        ? undefined
        : new OwnState(module);
      const imports = module === undefined ? [] : WebAssembly.Module.imports(module.compiled);
      const replaces = imports.some(({ name }) => name === "host_set_payload");
      const number = seats.length + 1;
      seats.push({ policy, number, module, own, replaces });
    }
    return new PlannedChain(options, seats);
  }

  take(record: JournalRecord): void {
    this.#count(record, this.#decide(record));
  }

  #count(record: JournalRecord, { by, unknown }: Planned): void {
    const { tally } = this;
    tally.operations++;
    tally.admitted += Number(record.allowed);
    if (!record.allowed) countOf(tally.reasons, record.reason);
    if (unknown !== undefined) {
      tally.unknown++;
      for (const what of unknown) countOf(tally.unknown_inputs, what);
      return;
    }
    if (record.allowed === (by === undefined)) {
      tally.still_refused += Number(!record.allowed);
      return;
    }
    const { room, sender, id } = record;
    const user = sender?.user ?? null;
    if (by !== undefined) {
      tally.allow_to_refuse++;
      countOf(tally.by_gate, by);
      countWithin(SENDERS, tally.by_sender, user ?? "(erased)");
    } else tally.refuse_to_allow++;
    tally.warm_up += Number(this.#is_warm_up);
    const samples = tally.samples[by === undefined ? "to_allowed" : "to_refused"];
    if (samples.length < SAMPLES) samples.push({ room, user, id });
  }

  #decide(record: JournalRecord): Planned {
    this.#is_warm_up = false;
    const { allowed, reason, policies } = record;
    const { gates } = this.#options;
    const at = refusedAt(record);
    const gate = REFUSALS[at]?.[0];
    const is_ours = allowed || (gate !== undefined && gates[gate].is_changed) ||
      policies.some(isRefusal) || isReplaced(record);
    // Refused by what stays: before the policies, or after them with their state written.
    if (!is_ours && policies.length === 0) return { by: reason };
    for (const [place, [name]] of REFUSALS.entries()) {
      const { is_changed, decide } = gates[name];
      // What an earlier refusal kept from an unchanged gate is new to it.
      const was_asked = at < 0 || place <= at;
      if (was_asked && !is_changed) continue;
      const decided = decide(record);
      if (decided.by === undefined && decided.unknown === undefined) continue;
      this.#chain(record, decided);
      return decided;
    }
    const decided = this.#chain(record);
    return is_ours ? decided : { by: reason };
  }

  /** `decided`: the policies are not asked, and what the record has of them no longer is their state. */
  #chain(record: JournalRecord, decided?: Planned): Planned {
    const held = this.#seats.find((seat) => this.#isHeld(seat, record));
    // No policy was called, and none would be.
    if (held !== undefined) return decided ?? { by: `policy ${held.policy.name}` };
    const built: PolicyRecord[] = [];
    const planned = { ...record, policies: built };
    let end = decided;
    for (const seat of this.#seats) {
      const { own, policy: { mode } } = seat;
      const place = placeOf(record, seat);
      const covers = end?.by === undefined && this.#covers(seat, record);
      if (covers === false) {
        if (place < 0 || own === undefined) continue;
        own.follow(record, place, false);
        own.has_diverged = true;
        continue;
      }
      const unknown = end?.unknown ??
        (covers === true ? this.#ask(seat, record, place, planned) : [covers]);
      const last = built.at(-1);
      if (unknown !== undefined) {
        this.#lose(seat, record, place, planned);
        if (mode === "enforce") end ??= { unknown };
      } else if (last !== undefined && isRefusal(last)) end = { by: `policy ${seat.policy.name}` };
    }
    return end ?? this.#replaced(record, built);
  }

  /** Whether the Shield refused for this policy without calling it, as it would again. */
  #isHeld(seat: Seat, record: JournalRecord): boolean {
    const recorded = record.policies[placeOf(record, seat)];
    return recorded !== undefined && isRefusal(recorded) && HELD.has(recorded.fault) &&
      seat.policy.mode === "enforce" && this.#covers(seat, record) === true;
  }

  /** The verdict of the schemas on a payload that policies have replaced. */
  #replaced(record: JournalRecord, built: readonly PolicyRecord[]): Planned {
    const { schema } = this.#options.gates;
    // After the refusal of a policy no schema was asked.
    const was_asked = record.allowed || isReplaced(record);
    if (!schema.is_changed && was_asked && effects(record.policies) === effects(built)) {
      return isReplaced(record) ? { by: record.reason } : {};
    }
    const last = built.findLast(({ mode, payload, is_payload_missing }) =>
      mode === "enforce" && (payload !== null || is_payload_missing === true)
    );
    if (last === undefined) return {};
    const payload: PayloadRecord = last.payload === null
      ? { form: "erased" }
      : { form: "kept", data: last.payload };
    return schema.decide({ ...record, payload });
  }

  /** Whether a policy is called for an operation, or what decides that and is not recorded. */
  #covers({ policy }: Seat, record: JournalRecord): boolean | string {
    const { percent } = policy;
    if (percent === 0 || !isCovered(policy, record)) return false;
    const key = record.trace ?? record.sender?.connection;
    if (key === undefined && percent < 1) return "share of an erased sender";
    return key === undefined || isSampled(key, percent);
  }

  /** A call that may have been made, and may have written. */
  #lose({ policy, own }: Seat, record: JournalRecord, place: number, planned: JournalRecord): void {
    if (own === undefined) return;
    const { name, mode } = policy;
    const call = newCall(record, { ...this.#options, name, mode }, record.policies[place]);
    const policies = [...planned.policies, call];
    const about = { ...planned, policies };
    own.of(about, call, new RecordedInputs(about, policies.length - 1)).lose();
    own.has_diverged = true;
  }

  /** What is left of the chain's fuel; the little that renews an instance is not known. */
  #leftUnits(built: readonly PolicyRecord[], mode: PolicyRecord["mode"]): number {
    return this.#options.chain_fuel_limit * UNITS_PER_FUEL - unitsOf(built, mode);
  }

  /** The inputs that are unknown; else undefined, and the verdict is the last one of `planned`. */
  #ask(
    seat: Seat,
    record: JournalRecord,
    place: number,
    planned: JournalRecord,
  ): Iterable<string> | undefined {
    const { policy: { name, mode, sha256 }, module, own } = seat;
    const { policies: built } = planned;
    const recorded = record.policies[place];
    // What an observing policy would have made of the payload is not recorded.
    const is_whole = recorded?.mode === mode || recorded?.allowed === false || !seat.replaces;
    const before = record.policies.slice(0, place);
    const left_units = this.#leftUnits(built, mode);
    const has_fuel = unitsOf(before, mode) === unitsOf(built, mode) ||
      recorded?.fault !== "chain-fuel" && (recorded?.units ?? 0) <= left_units;
    const is_same = recorded !== undefined && is_whole && has_fuel &&
      own?.has_diverged !== true && effects(before) === effects(built);
    if (is_same) {
      own?.follow(record, place, true);
      built.push({ ...recorded, name, mode });
      return undefined;
    }
    if (module === undefined) return [`module ${sha256}`];
    const at = built.length;
    const { fuel_limit } = this.#options;
    const limit_units = Math.min(fuel_limit * UNITS_PER_FUEL, left_units);
    const budget_units = Math.max(0, limit_units);
    const call = { ...newCall(record, { fuel_limit, name, mode }, recorded), budget_units };
    built.push(call);
    const { max_frame_bytes } = this.#options;
    const inputs = new RecordedInputs(planned, at, max_frame_bytes);
    const state = own?.of(planned, call, inputs);
    inputs.state = state?.state;
    const ran = callIn(this.#instances, seat.number, record, inputs, call.budget_units);
    if (own !== undefined) {
      own.has_diverged = true;
      this.#is_warm_up ||= own.isWarmUp(record);
    }
    if (inputs.unknown !== undefined) return inputs.unknown;
    const size_bytes = ran.payload?.length ?? 0;
    if (size_bytes > max_frame_bytes - BESIDE_BYTES) return ["size of the frame"];
    state?.keep(ran.written);
    const { added_headers, payload, units } = ran;
    built[at] = {
      ...call,
      units,
      ...decisionOf(ran),
      added_headers: added_headers.map(([header, value]) => [header, value]),
      payload: payload?.toBase64() ?? null,
    };
    return undefined;
  }
}
