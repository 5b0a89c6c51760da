/**
 * The keyed state of a chain while it runs: each policy sees the values of its own slots, and what it wrote
 * stands for the next call as soon as it has come to a verdict. Knows no rings and no guests.
 */
import type { GuestState } from "../abi/host_functions.ts";
import type { GuestOutcome } from "../abi/host_abi.ts";
import type { WorkerEntry, WorkerReply } from "../ring/ring_message.ts";
import type { HeldValues, SlotValue } from "../state/held_values.ts";

/**
 * The most bytes of values that the policies of one chain write which enforce, and as many those which
 * observe; with more, a policy has a fault. It bounds a reply.
 */
const STATE_CHAIN_BYTES = 131_072;
/** As much is reported of what they read; the rest is left out. */
const READ_BYTES = 131_072;

/** The state of one chain. */
export class ChainValues {
  readonly #held: HeldValues;
  readonly #records_reads: boolean;
  #written: SlotValue[] | undefined;
  #read: SlotValue[] | undefined;
  readonly #bytes = { enforce: 0, observe: 0 };
  #read_bytes = 0;

  /** `records_reads`: the reply is to tell what was read. */
  constructor(held: HeldValues, records_reads: boolean) {
    this.#held = held;
    this.#records_reads = records_reads;
  }

  /** The state of a policy that is about to run; undefined when it has none. */
  of({ holds }: WorkerEntry, value_bytes: readonly number[]): GuestState | undefined {
    if (holds === undefined) return undefined;
    return { value_bytes, value: (slot) => this.#held.get(holds[slot]!) ?? null };
  }

  /**
   * Takes note of what a policy read and wrote. Writing more than the chain may is its fault, and what it
   * wrote is not kept.
   */
  ran<T extends GuestOutcome>({ holds, mode }: WorkerEntry, place: number, outcome: T): T {
    const { written, read_slots = 0 } = outcome;
    if (holds === undefined || (written === undefined && read_slots === 0)) return outcome;
    for (const [slot, hold] of holds.entries()) {
      if (!this.#records_reads || (read_slots & 1 << slot) === 0) continue;
      const value = this.#held.get(hold) ?? null;
      this.#read_bytes += value?.length ?? 0;
      if (this.#read_bytes <= READ_BYTES) (this.#read ??= []).push({ place, slot, value });
    }
    // A fault of the chain's makes it none of the policy's.
    if (written === undefined || outcome.fault !== undefined) return outcome;
    for (const value of written.values()) this.#bytes[mode] += value?.length ?? 0;
    if (this.#bytes[mode] > STATE_CHAIN_BYTES) {
      const detail = `the chain writes more than ${STATE_CHAIN_BYTES} bytes of state`;
      const refused = { allowed: false, code: 503, reason: "", added_headers: [] };
      return { ...outcome, ...refused, fault: "abi", detail };
    }
    for (const [slot, value] of written) {
      this.#held.set(holds[slot]!, value);
      (this.#written ??= []).push({ place, slot, value });
    }
    return outcome;
  }

  /** What the reply reports about it. */
  get told(): Pick<WorkerReply, "written" | "read"> | undefined {
    if (this.#written === undefined && this.#read === undefined) return undefined;
    return { written: this.#written ?? [], read: this.#read ?? [] };
  }
}
