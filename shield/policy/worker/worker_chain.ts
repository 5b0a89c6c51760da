/**
 * Runs a tenant's chain for one request: policy after policy, until an enforcing one refuses, and within a budget for
 * all of them, since no other request has a turn meanwhile. Each policy sees the headers that earlier ones added. It
 * uses no ring, and its runner's clock.
 */
import type { HeaderPair } from "../../message/caller.ts";
import { INIT_FUEL, instantiateGuest, NOT_RUN } from "../abi/host_abi.ts";
import type { Guest, GuestOutcome } from "../abi/host_abi.ts";
import { ADDED_HEADER_BYTES, ADDED_HEADERS, asciiLower, EndCall } from "../abi/host_functions.ts";
import type { GuestRequest, GuestState } from "../abi/host_functions.ts";
import { UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import type { WorkerRequest } from "../ring/ring_message.ts";
import type { WorkerEntry } from "../ring/ring_last.ts";
import type { ChainOutcome, WorkerLog, WorkerReply } from "../ring/ring_words.ts";
import { copied, type HeldValues, type SlotValue } from "../state/held_values.ts";
import type { PolicyFault, PolicyRead } from "../../../shared/records/verdict.ts";
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { RunnableModule } from "../ring/worker_protocol.ts";

/** The dependencies and settings of running a chain. */
export interface ChainRunner {
  readonly instances: Instances;
  readonly fuel_limit: number;
  /** The fuel of all calls for one request and of the instances made for them. */
  readonly chain_fuel_limit: number;
  /** Monotonic ms. */
  readonly now: () => number;
  /** Called with the module before a guest may run, and with 0 afterwards. */
  readonly onProgress: (module: number) => void;
  /** The values of keyed state of the chains in this worker; absent: none. */
  readonly held?: HeldValues;
}

/** The most characters of all log lines of one reply; further lines are dropped. */
const LOG_CHARACTERS = 131_072;

const NO_VALUES: HeldValues = new Map();
const NO_HEADERS: readonly HeaderPair[] = [];
const NO_LOGS: readonly WorkerLog[] = [];

const hasHolds = ({ holds }: WorkerEntry): boolean => holds !== undefined;

/** The headers that the chain has added, the last of each name, in the guests' form. */
interface Added {
  /** Absent before the first header. */
  by_name: Map<string, HeaderPair> | undefined;
  size_bytes: number;
}

/** Runs the chain and returns its reply. `from_ms`: its start by the runner's clock. Never throws. */
export function runChain(
  runner: ChainRunner,
  request: WorkerRequest,
  from_ms: number = runner.now(),
): WorkerReply {
  const added: Added = { by_name: undefined, size_bytes: 0 };
  const chain_request = new ChainRequest(request, added);
  const values = request.chain.some(hasHolds)
    ? new ChainValues(runner.held ?? NO_VALUES, request.record_reads === true)
    : undefined;
  const watch = request.record_reads === true
    ? new ReadWatch(chain_request, runner.fuel_limit)
    : undefined;
  const guest_request = watch ?? chain_request;
  // Most chains have one policy, for which a growing array would be too large.
  const outcomes: ChainOutcome[] = new Array(request.chain.length);
  let logs: WorkerLog[] | undefined;
  let characters = 0;
  // A policy that only observes has its own budget: it must not cause a refusal.
  const units = runner.chain_fuel_limit * UNITS_PER_FUEL;
  let left_enforce = units;
  let left_observe = units;
  let place = 0;
  let began_ms = from_ms;
  for (const entry of request.chain) {
    runner.onProgress(entry.module);
    const is_enforced = entry.mode === "enforce";
    const units_left = is_enforced ? left_enforce : left_observe;
    chain_request.state = values?.of(entry, runner.instances.valueBytes(entry.module));
    const merged = merge(runEntry(runner, request, entry, guest_request, units_left), entry, added);
    const ran = values === undefined ? merged : values.ran(entry, place, merged);
    const replaces = ran.allowed && is_enforced && ran.payload !== undefined;
    if (replaces) chain_request.payload = ran.payload!;
    const seen = watch?.take(ran, units_left, replaces);
    if (is_enforced) left_enforce -= ran.units + ran.instance_units;
    else left_observe -= ran.units + ran.instance_units;
    runner.onProgress(0);
    for (const { level, message } of ran.logs) {
      characters += message.length;
      if (characters <= LOG_CHARACTERS) (logs ??= []).push({ place, level, message });
    }
    const ended_ms = runner.now();
    const plain = outcome(ran, ended_ms - began_ms);
    const ended = replaces ? { ...plain, replaced: true } : plain;
    outcomes[place] = seen === undefined ? ended : { ...ended, ...seen };
    if (!ran.allowed && is_enforced) {
      outcomes.length = place + 1;
      return replyOf({ outcomes, added_headers: NO_HEADERS, logs: logs ?? NO_LOGS }, values);
    }
    began_ms = ended_ms;
    place++;
  }
  const { by_name } = added;
  const added_headers = by_name === undefined ? NO_HEADERS : [...by_name.values()];
  const { payload } = guest_request;
  const ran = replyOf({ outcomes, added_headers, logs: logs ?? NO_LOGS }, values);
  return payload === request.payload ? ran : { ...ran, payload };
}

/** The reply with its keyed state, which it mostly does not have. */
function replyOf(reply: WorkerReply, values: ChainValues | undefined): WorkerReply {
  const state = values?.state;
  return state === undefined ? reply : { ...reply, ...state };
}

/** The outcome of a call, and the units for making or restoring its instance. */
type EntryOutcome =
  & GuestOutcome
  & Pick<ChainOutcome, "unmade">
  & { readonly instance_units: number };

const notRun = (fault: PolicyFault, detail: string): EntryOutcome => (
  { ...NOT_RUN, fault, detail, broken: false, instance_units: 0 }
);
const MISSING = notRun("missing-module", "it is not loaded");
const SPENT = notRun("chain-fuel", "the chain's fuel is used up");

/** Runs one policy; `units_left` is the remaining budget of its chain. */
function runEntry(
  { instances, fuel_limit }: ChainRunner,
  { tenant_id, hook }: WorkerRequest,
  { module }: WorkerEntry,
  guest_request: GuestRequest,
  units_left: number,
): EntryOutcome {
  if (units_left <= 0) return SPENT;
  const kept = instances.find(tenant_id, module);
  let instance_units = kept === undefined ? instances.price(module) : kept.restore_units;
  if (instance_units === undefined) return MISSING;
  try {
    const guest = kept ?? instances.make(tenant_id, module);
    if (kept === undefined) instance_units += guest.init_units;
    // The instance is kept, so that the next message has the whole budget for its calls.
    if (units_left <= instance_units) return { ...SPENT, instance_units };
    const fuel = Math.min(fuel_limit, (units_left - instance_units) / UNITS_PER_FUEL);
    const ran = guest.call(hook, guest_request, fuel);
    if (ran.broken) instances.drop(tenant_id, module);
    const is_chains = ran.fault === "fuel" && fuel < fuel_limit;
    if (is_chains) return { ...ran, fault: SPENT.fault, detail: SPENT.detail, instance_units };
    return { ...ran, instance_units };
  } catch (error) {
    // Only making the instance throws: it has no room for its memory, a segment out of bounds, or a failing
    // initialisation.
    const own = error instanceof EndCall ? error.fault : undefined;
    const fault = own ?? (error instanceof RangeError ? "memory" : "trap");
    const detail = error instanceof Error ? error.message : String(error);
    // The cost of the attempt is unknown. All that the call may use is charged, so that it is not free.
    const units = fuel_limit * UNITS_PER_FUEL;
    return { ...NOT_RUN, units, fault, detail, broken: true, instance_units, unmade: true };
  }
}

/** Adds the headers of an enforcing policy; too many headers of the whole chain are its fault. */
function merge(ran: EntryOutcome, { mode }: WorkerEntry, added: Added): EntryOutcome {
  if (!ran.allowed || mode === "observe" || ran.added_headers.length === 0) return ran;
  const by_name = added.by_name ??= new Map();
  for (const pair of ran.added_headers) {
    const lower_name = asciiLower(pair[0]);
    const before = by_name.get(lower_name);
    if (before !== undefined) added.size_bytes -= before[0].length + before[1].length;
    added.size_bytes += pair[0].length + pair[1].length;
    by_name.set(lower_name, pair);
  }
  if (by_name.size <= ADDED_HEADERS && added.size_bytes <= ADDED_HEADER_BYTES) return ran;
  const detail = `the chain adds more than ${ADDED_HEADERS} headers or ${ADDED_HEADER_BYTES} bytes`;
  return { ...ran, allowed: false, code: 503, fault: "abi", detail, added_headers: [] };
}

function outcome(ran: EntryOutcome, duration_ms: number): ChainOutcome {
  const { allowed, code, reason, fault, detail, units, instance_units } = ran;
  const ended = { allowed, code, reason, units, instance_units, duration_ms };
  if (fault === undefined) return ended;
  const failed = { ...ended, fault, detail: detail.slice(0, 512) };
  return ran.unmade === true ? { ...failed, unmade: true } : failed;
}

/**
 * The guest's view of the request. The first header of a name counts: those of earlier policies, then the request's
 * own.
 */
class ChainRequest implements GuestRequest {
  payload: Uint8Array;
  readonly asking_bytes: number;
  /** The state of the policy that runs. */
  state: GuestState | undefined;
  readonly payload_most: number;
  readonly #request: WorkerRequest;
  readonly #added: Added;
  #by_name: Map<string, string> | undefined;
  /** The claims that were read: each is written as JSON only once. */
  #claims: Map<string, string> | undefined;

  constructor(request: WorkerRequest, added: Added) {
    this.payload = request.payload;
    this.asking_bytes = request.facts_bytes;
    this.payload_most = request.payload_most;
    this.#request = request;
    this.#added = added;
  }

  header(lower_name: string): string | undefined {
    const added = this.#added.by_name?.get(lower_name);
    if (added !== undefined) return added[1];
    return (this.#by_name ??= this.#ownHeaders()).get(lower_name);
  }

  claim(name: string): string | undefined {
    const all = this.#request.facts().claims;
    if (!Object.hasOwn(all, name)) return undefined;
    const claims = this.#claims ??= new Map();
    if (!claims.has(name)) claims.set(name, claimText(all[name]));
    return claims.get(name);
  }

  #ownHeaders(): Map<string, string> {
    const map = new Map<string, string>();
    for (const [name, value] of this.#request.facts().headers) {
      const lower_name = asciiLower(name);
      if (!map.has(lower_name)) map.set(lower_name, value);
    }
    return map;
  }
}

function claimText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * The most bytes of values that the enforcing policies of one chain write, and the same for the observing ones. More is
 * a fault. It limits a reply.
 */
const STATE_CHAIN_BYTES = 131_072;
/** The same limit for the reported reads; further reads are omitted. */
const READ_BYTES = 131_072;

/** The written values of the chain that runs, for which an array of their own would cost more than a small policy. */
const written_bytes = new Uint8Array(16_384);
let written_end = 0;

/** A copy until the next chain runs; a new array for what has no room. */
function copyWritten(bytes: Uint8Array): Uint8Array {
  const start = written_end;
  if (start + bytes.length > written_bytes.length) return bytes.slice();
  written_bytes.set(bytes, start);
  return written_bytes.subarray(start, written_end += bytes.length);
}

class ChainValues {
  readonly #held: HeldValues;
  readonly #records_reads: boolean;
  #written: SlotValue[] | undefined;
  #read: SlotValue[] | undefined;
  readonly #bytes = { enforce: 0, observe: 0 };
  #read_bytes = 0;

  /** `records_reads`: the reply has to contain the reads. */
  constructor(held: HeldValues, records_reads: boolean) {
    this.#held = held;
    this.#records_reads = records_reads;
    written_end = 0;
  }

  /** The state of a policy that is about to run; undefined if it has none. */
  of({ holds }: WorkerEntry, value_bytes: readonly number[]): GuestState | undefined {
    if (holds === undefined) return undefined;
    const value = (slot: number) => this.#held.get(holds[slot]!) ?? null;
    return { value_bytes, value, copy: copyWritten };
  }

  /**
   * Records what a policy read and wrote. Writing more than the chain may is its fault, and its writes are not kept.
   */
  ran<T extends GuestOutcome>({ holds, mode }: WorkerEntry, place: number, outcome: T): T {
    const { written, read_slots = 0 } = outcome;
    if (holds === undefined || (written === undefined && read_slots === 0)) return outcome;
    for (const [slot, hold] of holds.entries()) {
      if (!this.#records_reads || (read_slots & 1 << slot) === 0) continue;
      // Writes are kept in the place of these bytes.
      const value = this.#held.get(hold)?.slice() ?? null;
      this.#read_bytes += value?.length ?? 0;
      if (this.#read_bytes <= READ_BYTES) (this.#read ??= []).push({ place, slot, value });
    }
    // Only a call without a fault can have this one.
    if (written === undefined || outcome.fault !== undefined) return outcome;
    for (const value of written.values()) this.#bytes[mode] += value?.length ?? 0;
    if (this.#bytes[mode] > STATE_CHAIN_BYTES) {
      const detail = `the chain writes more than ${STATE_CHAIN_BYTES} bytes of state`;
      const refused = { allowed: false, code: 503, reason: "", added_headers: [] };
      return { ...outcome, ...refused, fault: "abi", detail };
    }
    for (const [slot, value] of written) {
      const hold = holds[slot]!;
      this.#held.set(hold, value === null ? null : copied(value, this.#held.get(hold)));
      (this.#written ??= []).push({ place, slot, value });
    }
    return outcome;
  }

  get state(): Pick<WorkerReply, "written" | "read"> | undefined {
    if (this.#written === undefined && this.#read === undefined) return undefined;
    return { written: this.#written ?? [], read: this.#read ?? [] };
  }
}

/** The most recorded characters of one chain: a reply must fit into its ring. */
const READ_CHARACTERS = 16_384;

const READ_PAYLOAD = { has_read_payload: true } as const;

/** A request that records its reads. It has every member of a request, so that none gets lost. */
class ReadWatch implements Required<GuestRequest> {
  readonly #request: GuestRequest;
  readonly #fuel_limit: number;
  #has_read_payload = false;
  #reads: PolicyRead[] = [];
  /** Absent before the first name: most policies read only the payload. */
  #names: Set<string> | undefined;
  #characters = 0;

  constructor(request: GuestRequest, fuel_limit: number) {
    this.#request = request;
    this.#fuel_limit = fuel_limit;
  }

  get payload(): Uint8Array {
    this.#has_read_payload = true;
    return this.#request.payload;
  }

  get asking_bytes(): number {
    return this.#request.asking_bytes ?? 0;
  }

  /** Without it a new payload would have no limit, and a signed one could be changed. */
  get payload_most(): number {
    return this.#request.payload_most ?? Infinity;
  }

  get state(): GuestState | undefined {
    return this.#request.state;
  }

  header(lower_name: string): string | undefined {
    return this.#note("header", lower_name, this.#request.header(lower_name));
  }

  claim(name: string): string | undefined {
    return this.#note("claim", name, this.#request.claim(name));
  }

  /**
   * What the policy of the ended call has read; undefined: nothing. `units_left` is its chain's budget before the call,
   * `replaces` whether its payload becomes the next one's. A list that is still empty stays that of the next call.
   */
  take(
    ran: GuestOutcome & { readonly instance_units: number },
    units_left: number,
    replaces: boolean,
  ): Pick<ChainOutcome, "has_read_payload" | "seen"> | undefined {
    const payload = this.#has_read_payload ? READ_PAYLOAD : undefined;
    const reads = this.#reads;
    const budget_units = Math.max(0, units_left - ran.instance_units);
    const is_whole = budget_units >= this.#fuel_limit * UNITS_PER_FUEL;
    const added_headers = ran.added_headers.filter(([name, value]) =>
      this.#hasRoom(name.length + value.length)
    );
    this.#has_read_payload = false;
    if (reads.length > 0) {
      this.#reads = [];
      this.#names = undefined;
    }
    const replacement = replaces ? this.#kept(ran.payload!) : undefined;
    const is_usual = is_whole && reads.length === 0 && added_headers.length === 0;
    if (is_usual && replacement === undefined) return payload;
    const seen = {
      reads: reads.length === 0 ? [] : reads,
      added_headers,
      asking_bytes: reads.length === 0 ? 0 : this.asking_bytes,
      ...(replacement === undefined ? {} : { payload: replacement }),
    };
    return { ...payload, seen: is_whole ? seen : { ...seen, budget_units } };
  }

  /** A new payload as base64; undefined beyond the limit. */
  #kept(payload: Uint8Array): string | undefined {
    const size = Math.ceil(payload.length / 3) * 4;
    return this.#hasRoom(size) ? payload.toBase64() : undefined;
  }

  /** Whether that many characters more may be recorded; if so, they count. */
  #hasRoom(characters: number): boolean {
    if (this.#characters + characters > READ_CHARACTERS) return false;
    this.#characters += characters;
    return true;
  }

  #note(from: PolicyRead[0], name: string, value: string | undefined): string | undefined {
    const key = `${from}\n${name}`;
    const names = this.#names ??= new Set();
    const is_known = names.has(key);
    if (is_known || !this.#hasRoom(name.length + (value?.length ?? 0))) return value;
    names.add(key);
    this.#reads.push([from, name, value ?? null]);
    return value;
  }
}

// The instances of one worker: one for each tenant and module, made on first use; the one used longest ago is dropped
// when there are too many. The memory of an instance of version 1 is the policy's state; one of version 2 starts each
// call with its first state (`host_abi.ts`). Making one has a price, which the call that needs it pays.

const NO_SLOTS: readonly number[] = [];
const keyOf = (tenant_id: string, module: number) => `${module} ${tenant_id}`;

/** The instances by tenant and module. */
export class Instances {
  readonly #modules = new Map<number, RunnableModule>();
  /** In the order of use. */
  readonly #guests: BoundedMap<string, { guest: Guest; module: number }>;
  readonly #init_fuel: number;
  /** The most recently used instance, which is the newest in the order: mostly it is also the next one. */
  #last: { tenant_id: string; module: number; guest: Guest } | undefined;

  /** Makes an empty set of at most `max` instances, whose initialisation takes at most `init_fuel`. */
  constructor(max: number, init_fuel: number = INIT_FUEL) {
    this.#guests = new BoundedMap(max);
    this.#init_fuel = init_fuel;
  }

  get size(): number {
    return this.#guests.size;
  }

  /** The tenant's instance of a module; undefined if there is none. */
  find(tenant_id: string, module: number): Guest | undefined {
    const last = this.#last;
    if (last?.module === module && last.tenant_id === tenant_id) return last.guest;
    const guest = this.#guests.use(keyOf(tenant_id, module))?.guest;
    if (guest !== undefined) this.#last = { tenant_id, module, guest };
    return guest;
  }

  /** The units for making an instance, without its `init_units`; undefined if the module is not loaded. */
  price(module: number): number | undefined {
    return this.#modules.get(module)?.instance_units;
  }

  /** The most bytes of a value of each slot of a loaded module; empty if it keeps no state. */
  valueBytes(module: number): readonly number[] {
    return this.#modules.get(module)?.value_bytes ?? NO_SLOTS;
  }

  /** Makes the tenant's instance of a loaded module. Throws as instantiating throws. */
  make(tenant_id: string, module: number): Guest {
    const runnable = this.#modules.get(module);
    if (runnable === undefined) throw new TypeError(`module ${module} is not loaded`);
    const guest = instantiateGuest(runnable, this.#init_fuel);
    this.#last = undefined;
    this.#guests.set(keyOf(tenant_id, module), { guest, module });
    return guest;
  }

  drop(tenant_id: string, module: number): void {
    this.#last = undefined;
    this.#guests.delete(keyOf(tenant_id, module));
  }

  load(module: number, runnable: RunnableModule): void {
    this.#modules.set(module, runnable);
  }

  unload(module: number): void {
    this.#last = undefined;
    this.#modules.delete(module);
    for (const [name, entry] of this.#guests) {
      if (entry.module === module) this.#guests.delete(name);
    }
  }
}
