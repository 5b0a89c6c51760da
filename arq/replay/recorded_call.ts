/**
 * One recorded call, to be decided again: its inputs and keyed state in the journal, whether a repeated call had the
 * recorded verdict, and which calls can be repeated at all. A value that a module reads and the record lacks is
 * unknown: it is noted, never guessed. Pure; time is that of the records.
 */
import type { JournalRecord, PayloadRecord, PolicyRecord } from "../../shared/journal/record.ts";
import type { GuestOutcome } from "../../shield/policy/abi/host_abi.ts";
import { asciiLower } from "../../shield/policy/abi/host_functions.ts";
import type { GuestRequest, GuestState } from "../../shield/policy/abi/host_functions.ts";
import { NOT_A_MESSAGE, type PolicyFacts, SIGNED } from "../../shield/policy/abi/policy.ts";
import { filledKey, type StateSlot } from "../../shield/policy/state/declaration.ts";
import { type StateRef, StateStore } from "../../shield/policy/state/state_store.ts";
import { judgedRoomOf } from "../../shared/rooms/reserved.ts";

/** The room that policies were asked about: to read what is kept beside a room is to read it. */
export const askedRoomOf = ({ hook, room }: Pick<JournalRecord, "hook" | "room">): string =>
  hook === "on_subscribe" ? judgedRoomOf(room) : room;

/** The ways in which two calls can differ. */
export type Difference = "verdict" | "code" | "reason" | "headers" | "payload" | "state" | "fuel";

/** Faults reported by the Shield, not by the module: repeating the call cannot show them. */
const OF_THE_SHIELD: ReadonlySet<string> = new Set([
  "stall",
  "wedge",
  "queue-full",
  "missing-module",
  "breaker-open",
  "sender-slowed",
  "rate",
  "payload-too-large",
]);

/** Why the module itself did not decide a recorded call; undefined: it did, so the call can be repeated. */
export function notOfTheModule({ fault, detail, units, abi }: PolicyRecord): string | undefined {
  if (fault === null) return undefined;
  if (OF_THE_SHIELD.has(fault)) return fault;
  // The chain had no fuel left, or its headers were too many together.
  if (fault === "chain-fuel" && units === 0) return fault;
  if (fault === "abi" && detail.startsWith("the chain adds")) return "abi of the chain";
  // An erasure removes the detail, so it is unknown which of the two it was.
  if (fault === "abi" && detail === "") return fault;
  // No memory for an instance; a module whose own allocation fails reports that itself.
  if (fault === "memory" && abi === 1 && !detail.includes("arqon_alloc")) return fault;
  return undefined;
}

const sameFault = (recorded: string | null, ran: string | undefined): boolean =>
  recorded === (ran ?? null) || (recorded === "chain-fuel" && ran === "fuel");

const sameHeaders = (one: PolicyRecord["added_headers"], other: GuestOutcome["added_headers"]) =>
  JSON.stringify(one) === JSON.stringify(other);

/** A decision in the form for samples and comparisons. */
export interface Decision {
  readonly allowed: boolean;
  readonly code: number;
  readonly reason: string;
  readonly fault: string | null;
}

/** The decision of a repeated call. */
export function decisionOf({ allowed, code, reason, fault }: GuestOutcome): Decision {
  return { allowed, code, reason, fault: fault ?? null };
}

/** Differences in parts that users or policies wrote. */
function wordsAndData(recorded: PolicyRecord, ran: GuestOutcome): Difference[] {
  const found: Difference[] = [];
  if (recorded.reason !== ran.reason) found.push("reason");
  if (recorded.allowed && !sameHeaders(recorded.added_headers, ran.added_headers)) {
    found.push("headers");
  }
  const has_payload = recorded.mode === "enforce" && recorded.is_payload_missing !== true;
  const payload = ran.payload?.toBase64() ?? null;
  if (recorded.allowed && has_payload && recorded.payload !== payload) found.push("payload");
  return found;
}

/** Which parts of a record can be compared. */
export interface Comparable {
  readonly compares_units: boolean;
  /** The sender's part of the record is erased: text, headers, a new payload, and what was written to state. */
  readonly is_erased: boolean;
}

/** The differences between a record and a call, in a fixed order; empty: none. */
export function differences(
  recorded: PolicyRecord,
  ran: GuestOutcome,
  { compares_units, is_erased }: Comparable,
): readonly Difference[] {
  const found: Difference[] = [];
  if (recorded.allowed !== ran.allowed || !sameFault(recorded.fault, ran.fault)) {
    found.push("verdict");
  }
  // The Shield chooses the code of a fault.
  if (ran.fault === undefined && recorded.code !== ran.code) found.push("code");
  if (!is_erased) found.push(...wordsAndData(recorded, ran));
  if (compares_units && recorded.units !== ran.units) found.push("fuel");
  return found;
}

const EMPTY = new Uint8Array(0);

/** The payload that the policy at `place` of the chain saw; undefined: the journal does not have it. */
export function payloadAt(record: JournalRecord, place: number): Uint8Array | undefined {
  const { policies, payload } = record;
  for (let before = place - 1; before >= 0; before--) {
    const { mode, payload: replaced, is_payload_missing } = policies[before] as PolicyRecord;
    if (is_payload_missing === true) return undefined;
    if (mode === "enforce" && replaced !== null) return Uint8Array.fromBase64(replaced);
  }
  return keptPayload(payload);
}

function keptPayload(payload: PayloadRecord): Uint8Array | undefined {
  if (payload.form === "kept") return Uint8Array.fromBase64(payload.data);
  return payload.form === "none" ? EMPTY : undefined;
}

const OWN = "x-arqon-";
/** The headers that the Shield derives from the record itself; undefined: unknown. */
const OWN_HEADERS = new Map<string, (record: JournalRecord) => string | undefined>([
  ["hook", ({ hook }) => hook],
  ["tenant", ({ tenant }) => tenant],
  ["room", askedRoomOf],
  ["type", ({ type }) => type],
  ["content-type", ({ content_type }) => content_type],
  ["now-ms", ({ time_ms }) => String(time_ms)],
  ["user", ({ sender }) => sender?.user],
  ["remote-ip", ({ sender }) => sender?.remote_ip],
]);

/** Whether it is a signal: the only message without a payload. */
export const isSignal = ({ hook, payload }: Pick<JournalRecord, "hook" | "payload">): boolean =>
  hook === "on_message" && payload.form === "none";

/** The inputs for repeating a recorded call. */
export class RecordedInputs implements GuestRequest {
  readonly asking_bytes: number;
  readonly payload_most: number;
  /** The keyed state of the running module; undefined: it has none. */
  state: GuestState | undefined;
  readonly #record: JournalRecord;
  readonly #place: number;
  #payload: Uint8Array | undefined;
  #unknown: Set<string> | undefined;

  /** `payload_most`: the bytes of a new payload. */
  constructor(record: JournalRecord, place: number, payload_most = Infinity) {
    this.#record = record;
    this.#place = place;
    this.asking_bytes = (record.policies[place] as PolicyRecord).asking_bytes;
    this.payload_most = record.hook !== "on_message" || isSignal(record)
      ? NOT_A_MESSAGE
      : record.is_signed === true
      ? SIGNED
      : payload_most;
  }

  /** Requested inputs that are unknown: `payload`, `header NAME`, `claim NAME`. Mostly empty. */
  get unknown(): ReadonlySet<string> | undefined {
    return this.#unknown;
  }

  get payload(): Uint8Array {
    this.#payload ??= payloadAt(this.#record, this.#place);
    if (this.#payload === undefined) this.note("payload");
    return this.#payload ??= EMPTY;
  }

  header(lower_name: string): string | undefined {
    return this.#addedBefore(lower_name) ?? this.sent(lower_name);
  }

  /** A header as the sender sent it, whatever policies have added. */
  sent(lower_name: string): string | undefined {
    const is_added = this.#addedBefore(lower_name) !== undefined;
    const read = is_added ? undefined : this.#read("header", lower_name);
    if (read !== undefined) return read.value ?? undefined;
    if (lower_name.startsWith(OWN)) {
      const own = OWN_HEADERS.get(lower_name.slice(OWN.length));
      // Headers of these names come only from the Shield, and it sends no others.
      if (own === undefined) return undefined;
      const value = own(this.#record);
      if (value !== undefined) return value;
    }
    this.note(`header ${lower_name}`);
    return undefined;
  }

  claim(name: string): string | undefined {
    const read = this.#read("claim", name);
    if (read !== undefined) return read.value ?? undefined;
    this.note(`claim ${name}`);
    return undefined;
  }

  /** Records that an unknown input was requested. */
  note(what: string): void {
    (this.#unknown ??= new Set()).add(what);
  }

  /** The last value that an earlier policy of the chain added under a name. */
  #addedBefore(lower_name: string): string | undefined {
    const { policies } = this.#record;
    for (let before = this.#place - 1; before >= 0; before--) {
      const { mode, allowed, added_headers } = policies[before] as PolicyRecord;
      if (mode !== "enforce" || !allowed) continue;
      const found = added_headers.findLast(([name]) => asciiLower(name) === lower_name);
      if (found !== undefined) return found[1];
    }
    return undefined;
  }

  #read(from: "header" | "claim", name: string): { value: string | null } | undefined {
    const { reads } = this.#record.policies[this.#place] as PolicyRecord;
    for (const read of reads) {
      if (read.from === from && read.name === name) {
        return read.is_erased === true ? undefined : read;
      }
    }
    return undefined;
  }
}

/** The writes of a call, by slot; null: deleted. */
export type Written = ReadonlyMap<number, Uint8Array | null>;

const bytesOf = (value: string | null): Uint8Array | null =>
  value === null ? null : Uint8Array.fromBase64(value);

function recordedRead({ reads }: PolicyRecord, slot: StateSlot) {
  return reads.find(({ from, name }) => from === "state" && name === slot.key);
}

/** The recorded state; values missing from the record are unknown to `inputs`. */
export function recordedState(
  slots: readonly StateSlot[],
  policy: PolicyRecord,
  inputs: RecordedInputs,
): GuestState | undefined {
  if (slots.length === 0) return undefined;
  return {
    value_bytes: slots.map(({ value_bytes }) => value_bytes),
    value(at) {
      const slot = slots[at] as StateSlot;
      const read = recordedRead(policy, slot);
      if (read !== undefined && read.is_erased !== true) return bytesOf(read.value);
      inputs.note(`state ${slot.key}`);
      return null;
    },
  };
}

/** Whether a call wrote exactly what is recorded. */
export function sameWrites(
  slots: readonly StateSlot[],
  { writes }: PolicyRecord,
  written: Written | undefined,
): boolean {
  const then = writes.map(({ name, value }) => `${name} ${value}`).sort();
  const now = [...written ?? []].map(([at, value]) =>
    `${slots[at]?.key} ${value?.toBase64() ?? null}`
  ).sort();
  return then.length === now.length && then.every((one, at) => one === now[at]);
}

/** Limits of one replay: about those of a Shield with much memory. */
const LIMITS = { tenant_entries: 4e6, tenant_bytes: 1e9, entries: 4e6, bytes: 1e9 };

/** The state of a module in a replay, which persists from record to record, separately for each Shield. */
export class OwnState {
  /** Whether its calls are no longer those of the record, so that recorded values are not its own. */
  has_diverged = false;
  readonly #sha256: string;
  readonly #slots: readonly StateSlot[];
  readonly #values = new StateStore(LIMITS);
  /** Keys already seen: from then on their values are the module's own. */
  readonly #seen = new Set<string>();
  /** When a call that nobody can repeat may have written last, by key, or by slot if its key is unknown. */
  readonly #lost = new Map<string | number, number>();
  #first_ms: number | undefined;

  constructor(
    { sha256, slots }: { readonly sha256: string; readonly slots: readonly StateSlot[] },
  ) {
    this.#sha256 = sha256;
    this.#slots = slots;
  }

  /** Whether values from before the first record may still be valid at a time. */
  isWarmUp({ time_ms }: JournalRecord): boolean {
    const first_ms = this.#first_ms ??= time_ms;
    return this.#slots.some(({ ttl_ms }) => time_ms < first_ms + ttl_ms);
  }

  /**
   * The state that a call sees, and functions that keep its writes, or say that nobody knows them. Another module
   * begins without the recorded values, as on a Shield.
   */
  of(record: JournalRecord, policy: PolicyRecord, inputs: RecordedInputs) {
    const { tenant: tenant_id, node, time_ms } = record;
    const refs = this.#slots.map((slot, at): StateRef => {
      const filled = recordedRead(policy, slot)?.key ?? keyOf(slot, record, inputs);
      return { tenant_id, place: `${node} ${at} ${filled}`, ttl_ms: slot.ttl_ms };
    });
    const lostAt = (one: string | number) => this.#lost.get(one) ?? -Infinity;
    const value = (at: number): Uint8Array | null => {
      const ref = refs[at] as StateRef;
      const slot = this.#slots[at] as StateSlot;
      const is_lost = time_ms < Math.max(lostAt(ref.place), lostAt(at)) + slot.ttl_ms;
      if (is_lost || !this.#seen.has(ref.place)) {
        const is_own = policy.module === this.#sha256 && !(is_lost && this.has_diverged);
        const first = is_own ? recordedRead(policy, slot) : undefined;
        if (first === undefined ? is_lost : first.is_erased === true) {
          inputs.note(`state ${slot.key}`);
          return null;
        }
        set(ref, bytesOf(first?.value ?? null));
      }
      return this.#values.get(ref, time_ms) ?? null;
    };
    const set = (ref: StateRef, value: Uint8Array | null) => {
      this.#seen.add(ref.place);
      this.#lost.delete(ref.place);
      this.#values.set(ref, value, time_ms);
    };
    const state: GuestState = {
      value_bytes: this.#slots.map(({ value_bytes }) => value_bytes),
      value,
    };
    return {
      state,
      keep: (written: Written | undefined): void => {
        for (const [at, value] of written ?? []) set(refs[at] as StateRef, value);
      },
      lose: (isLost: (slot: StateSlot, place: string) => boolean = () => true): void => {
        for (const [at, { place }] of refs.entries()) {
          const slot = this.#slots[at] as StateSlot;
          if (!isLost(slot, place)) continue;
          this.#lost.set(isAnyKey(slot, inputs) ? at : place, time_ms);
        }
      },
    };
  }

  /** Takes what a recorded call has read, and with `keeps` what it has written. */
  follow(record: JournalRecord, place: number, keeps: boolean): void {
    const policy = record.policies[place] as PolicyRecord;
    const { state, keep, lose } = this.of(record, policy, new RecordedInputs(record, place));
    for (const [at, slot] of this.#slots.entries()) {
      const read = recordedRead(policy, slot);
      if (read !== undefined && read.is_erased !== true) state.value(at);
    }
    if (policy.writes.length === 0) return;
    // What it wrote without reading it: nobody knows the value that stays.
    if (!keeps) {
      return lose(({ key }, place) =>
        !this.#seen.has(place) && policy.writes.some(({ name }) => name === key)
      );
    }
    // An erasure takes what was written.
    if (record.sender === null) return lose();
    const written = policy.writes.map(({ name, value }) =>
      [this.#slots.findIndex(({ key }) => key === name), bytesOf(value)] as const
    );
    keep(new Map(written.filter(([at]) => at >= 0)));
  }
}

/** Whether the key may be that of any other sender: a header or claim that fills it is unknown. */
const isAnyKey = ({ placeholders }: StateSlot, { unknown }: RecordedInputs): boolean =>
  placeholders.some((one) =>
    (one.from === "header" || one.from === "claim") &&
    unknown?.has(`${one.from} ${one.name}`) === true
  );

/** The key of a slot for a call, as far as it is known. */
function keyOf(slot: StateSlot, record: JournalRecord, inputs: RecordedInputs): string {
  const { tenant: tenant_id, sender } = record;
  const connection_id = sender?.connection ?? "";
  const is_by_connection = slot.placeholders.some(({ from }) => from === "connection");
  if (sender === null && is_by_connection) inputs.note(`state ${slot.key}`);
  return filledKey(slot, { tenant_id, connection_id, facts: () => factsFor(slot, inputs) });
}

/** The headers and claims that form a key, as far as they are known. */
function factsFor({ placeholders }: StateSlot, inputs: RecordedInputs): PolicyFacts {
  const headers: [string, string][] = [];
  const claims: [string, string][] = [];
  for (const one of placeholders) {
    if (one.from === "tenant" || one.from === "connection") continue;
    const name = "name" in one ? one.name : `${OWN}${one.from}`;
    const value = one.from === "claim" ? inputs.claim(name) : inputs.sent(name);
    if (value !== undefined) (one.from === "claim" ? claims : headers).push([name, value]);
  }
  return { headers, claims: Object.fromEntries(claims) };
}
