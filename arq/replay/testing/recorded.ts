/**
 * Journals for tests and benchmarks, made by running a module on made-up messages as a worker does. Every input that
 * the module reads is in its record.
 */
import { recordOf } from "../../../shared/journal/testing/records.ts";
import type { JournalRecord, PolicyRecord, Read } from "../../../shared/journal/record.ts";
import { METER_VERSION, UNITS_PER_FUEL } from "../../../wasm/metering/meter_costs.ts";
import { type Guest, instantiateGuest } from "../../../shield/policy/abi/host_abi.ts";
import { filledKey, type StateSlot } from "../../../shield/policy/state/declaration.ts";
import type { ReplayModule } from "../repeater.ts";
import { readyModule } from "../replay_modules.ts";

const BUILT = new URL("../../../policies/build/", import.meta.url).pathname;
const BUDGET_UNITS = 10_000 * UNITS_PER_FUEL;
const START_MS = 1_700_000_000_000;
/** The memory limit of every module here, in pages of 64 KiB. */
export const MEMORY_PAGES = 64;

/** The bytes of an example that is prebuilt in `policies/build`. */
export async function builtModule(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return await Deno.readFile(`${BUILT}${name}.wasm`);
}

/** An example, ready to run. */
export async function builtReady(name: string): Promise<ReplayModule> {
  return await readyModule(await builtModule(name), MEMORY_PAGES);
}

/** A message, with the data of its sender and token. */
export interface MadeMessage {
  readonly payload: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly claims?: Readonly<Record<string, string>>;
  readonly room?: string;
  readonly user?: string;
}

/** Records what one module decides about messages, which come a millisecond after each other. */
export class Recorder {
  /** The values of keyed state by slot and filled key; they never expire. */
  readonly #values = new Map<string, Uint8Array | null>();
  readonly #module: ReplayModule;
  readonly #name: string;
  #guest: Guest;
  #number = 0;

  constructor(name: string, module: ReplayModule) {
    this.#name = name;
    this.#module = module;
    this.#guest = instantiateGuest(module);
  }

  record(message: MadeMessage): JournalRecord {
    const { payload, room = "chat-1", user = "ann" } = message;
    const time_ms = START_MS + this.#number;
    const data = new TextEncoder().encode(payload);
    const policy = this.#run(message, data, { user, room, time_ms });
    return recordOf({
      id: `shield-1.${++this.#number}`,
      time_ms,
      room,
      sender: { user, connection: "c1", remote_ip: "127.0.0.1" },
      payload: { form: "kept", data: data.toBase64() },
      allowed: policy.allowed,
      code: policy.code,
      message: policy.reason,
      reason: policy.allowed ? "" : "policy-rejected",
      chain_version: 1,
      meter_version: METER_VERSION,
      policies: [policy],
    });
  }

  #keyOf(slot: StateSlot, shown: Readonly<Record<string, string>>): string {
    const facts = { headers: Object.entries(shown), claims: {} };
    return filledKey(slot, { tenant_id: "default", connection_id: "c1", facts: () => facts });
  }

  #run(
    { headers = {}, claims = {} }: MadeMessage,
    payload: Uint8Array,
    own: { user: string; room: string; time_ms: number },
  ): PolicyRecord {
    const reads = new Map<string, Read>();
    const shown: Record<string, string> = {
      ...headers,
      "x-arqon-user": own.user,
      "x-arqon-room": own.room,
      "x-arqon-type": "chat",
      "x-arqon-content-type": "application/json",
      "x-arqon-now-ms": String(own.time_ms),
    };
    const read = (from: "header" | "claim", all: Readonly<Record<string, string>>) => {
      return (name: string) => {
        reads.set(`${from} ${name}`, { from, name, value: all[name] ?? null });
        return all[name];
      };
    };
    const keys = this.#module.slots.map((slot) => this.#keyOf(slot, shown));
    const state = {
      value_bytes: this.#module.value_bytes,
      value: (slot: number) => {
        const value = this.#values.get(`${slot} ${keys[slot]}`) ?? null;
        const { key: name } = this.#module.slots[slot]!;
        const about = { from: "state", name, key: keys[slot]! } as const;
        reads.set(`state ${slot}`, { ...about, value: value?.toBase64() ?? null });
        return value;
      },
    };
    const request = {
      state,
      header: read("header", shown),
      claim: read("claim", claims),
      payload,
      asking_bytes: JSON.stringify({ headers, claims }).length,
    };
    const fuel = BUDGET_UNITS / UNITS_PER_FUEL;
    const ran = this.#guest.call("on_message", request, fuel);
    for (const [slot, value] of ran.written ?? []) this.#values.set(`${slot} ${keys[slot]}`, value);
    if (ran.broken) this.#guest = instantiateGuest(this.#module);
    return {
      name: this.#name,
      module: this.#module.sha256,
      abi: this.#module.is_stateful ? 1 : 2,
      mode: "enforce",
      allowed: ran.allowed,
      code: ran.code,
      reason: ran.reason,
      fault: ran.fault ?? null,
      detail: ran.detail,
      units: ran.units,
      budget_units: BUDGET_UNITS,
      asking_bytes: request.asking_bytes,
      has_read_payload: true,
      reads: [...reads.values()],
      writes: [...ran.written ?? []].map(([slot, value]) => ({
        name: this.#module.slots[slot]!.key,
        value: value?.toBase64() ?? null,
      })),
      added_headers: ran.added_headers.map(([name, value]) => [name, value]),
      payload: ran.payload?.toBase64() ?? null,
      logs: [],
    };
  }
}

/** Lines of a journal. */
export function linesOf(records: readonly unknown[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join("");
}

/** A text as a stream of pieces of this size. */
export async function* streamOf(text: string, piece_bytes = 1_000): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += piece_bytes) yield bytes.slice(at, at + piece_bytes);
}
