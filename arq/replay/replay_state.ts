/**
 * The keyed state that repeated calls see: of the recorded module the values that it read then, of a new one
 * first these and then its own. Pure; time is that of the records.
 */
import type { JournalRecord, PolicyRecord } from "../../shared/journal/record.ts";
import type { GuestState } from "../../shield/policy/abi/host_functions.ts";
import type { PolicyFacts } from "../../shield/policy/abi/policy.ts";
import { filledKey, type StateSlot } from "../../shield/policy/state/declaration.ts";
import { type StateRef, StateStore } from "../../shield/policy/state/state_store.ts";
import type { RecordedInputs } from "./recorded_inputs.ts";

/** What a call wrote, by slot; null: deleted. */
export type Written = ReadonlyMap<number, Uint8Array | null>;

const bytesOf = (value: string | null): Uint8Array | null =>
  value === null ? null : Uint8Array.fromBase64(value);

function recordedRead({ reads }: PolicyRecord, slot: StateSlot) {
  return reads.find(({ from, name }) => from === "state" && name === slot.key);
}

/** The state as the record has it; what it does not have is unknown to `inputs`. */
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

/** Whether a call wrote what is recorded. */
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

/** Bounds of one replay: about those of a Shield with much memory. */
const LIMITS = { tenant_entries: 4e6, tenant_bytes: 1e9, entries: 4e6, bytes: 1e9 };

/** The values of a new module, which live on from record to record, for each Shield its own. */
export class OwnState {
  readonly #slots: readonly StateSlot[];
  readonly #values = new StateStore(LIMITS);
  /** Places that were seen: their values are the module's own from then on. */
  readonly #seen = new Set<string>();
  #first_ms: number | undefined;

  constructor(slots: readonly StateSlot[]) {
    this.#slots = slots;
  }

  /** Whether values from before the first record may still count at a time. */
  isWarmUp({ time_ms }: JournalRecord): boolean {
    const first_ms = this.#first_ms ??= time_ms;
    return this.#slots.some(({ ttl_ms }) => time_ms < first_ms + ttl_ms);
  }

  /** The state that a call sees, and what keeps its writes. A key that is not known is unknown. */
  of(
    record: JournalRecord,
    policy: PolicyRecord,
    inputs: RecordedInputs,
  ): { readonly state: GuestState; readonly keep: (written: Written | undefined) => void } {
    const refs = this.#slots.map((slot, at) => this.#refOf(slot, at, record, inputs));
    const { time_ms } = record;
    const value = (at: number): Uint8Array | null => {
      const ref = refs[at] as StateRef;
      const name = `${ref.tenant_id} ${ref.place}`;
      if (!this.#seen.has(name)) {
        const slot = this.#slots[at] as StateSlot;
        const first = recordedRead(policy, slot);
        if (first?.is_erased === true) {
          inputs.note(`state ${slot.key}`);
          return null;
        }
        this.#seen.add(name);
        this.#values.set(ref, bytesOf(first?.value ?? null), time_ms);
      }
      return this.#values.get(ref, time_ms) ?? null;
    };
    return {
      state: { value_bytes: this.#slots.map(({ value_bytes }) => value_bytes), value },
      keep: (written) => {
        for (const [at, value] of written ?? []) {
          const ref = refs[at] as StateRef;
          this.#seen.add(`${ref.tenant_id} ${ref.place}`);
          this.#values.set(ref, value, time_ms);
        }
      },
    };
  }

  #refOf(slot: StateSlot, at: number, record: JournalRecord, inputs: RecordedInputs): StateRef {
    const { tenant: tenant_id, node, sender } = record;
    const connection_id = sender?.connection ?? "";
    const is_by_connection = slot.placeholders.some(({ from }) => from === "connection");
    if (sender === null && is_by_connection) inputs.note(`state ${slot.key}`);
    const facts = factsFor(slot, inputs);
    const filled = filledKey(slot, { tenant_id, connection_id, facts });
    return { tenant_id, place: `${node} ${at} ${filled}`, ttl_ms: slot.ttl_ms };
  }
}

/** The headers and claims that a key is made of, as far as they are known. */
function factsFor({ placeholders }: StateSlot, inputs: RecordedInputs): PolicyFacts {
  const headers: [string, string][] = [];
  const claims: Record<string, string> = {};
  for (const one of placeholders) {
    switch (one.from) {
      case "claim": {
        const value = inputs.claim(one.name);
        if (value !== undefined) claims[one.name] = value;
        break;
      }
      case "header":
      case "room":
      case "user":
      case "type": {
        const name = one.from === "header" ? one.name : `x-arqon-${one.from}`;
        const value = inputs.header(name);
        if (value !== undefined) headers.push([name, value]);
        break;
      }
      case "tenant":
      case "connection":
        break;
      default:
        one satisfies never;
    }
  }
  return { headers, claims };
}
