/**
 * A reducer with everything its outcomes depend on: the module, its limits and prices, the bounds of its rooms. Its id
 * is the digest of that and is stored with each entry of a log, so that an entry is replayed by the program that
 * applied it.
 */
import { createHash } from "node:crypto";
import { ArqonError } from "@arqon/proto";
import type { ReducerEntry } from "../../../shared/config/schema_durable.ts";
import { moduleName } from "../../../shared/records/reducer_record.ts";
import type { KeyValue, ObjectStore } from "../../../shared/spine/contract/spine.ts";
import { METER_VERSION } from "../../../wasm/metering/meter_costs.ts";
import { isPriceVersion } from "../../../wasm/metering/prices.ts";
import { type RoomSchema, schemaOf } from "../../../wasm/reducer/schema/room_schema.ts";
import { ROOM_BOUNDS, type RoomBounds } from "../state/room_state.ts";
import { decodeRemoval, REMOVAL_KEY } from "../../../shared/records/reducer_record.ts";

/** Everything that outcomes depend on. */
export interface Program {
  /** Hex SHA-256 of the module. */
  readonly module: string;
  readonly fuel_limit: number;
  readonly memory_limit_pages: number;
  /** The version of the prices that its commands pay: they decide which one runs out of fuel. */
  readonly price_version: number;
  readonly bounds: RoomBounds;
}

/** A program that can run. */
export interface RunnableProgram extends Program {
  /** Hex SHA-256 of the program's text. */
  readonly id: string;
  readonly bytes: Uint8Array;
  /** The calls users may make; undefined: any. */
  readonly schema: RoomSchema | undefined;
}

const utf8 = new TextEncoder();
const hex = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
/** The object of a program, by its id. */
export const nameOfProgram = (id: string): string => `program-${id}`;
const PROGRAM_NAME = /^program-([0-9a-f]{64})$/;

type ProgramText = [
  ...[version: number, module: string, fuel: number, pages: number, bounds: [string, number][]],
  prices: number,
];
const readText = (text: Uint8Array): ProgramText => JSON.parse(new TextDecoder().decode(text));

function textOf(program: Program): Uint8Array {
  const { module, fuel_limit, memory_limit_pages, bounds, price_version } = program;
  const sorted = Object.entries(bounds).sort(([one], [other]) => one < other ? -1 : 1);
  const text: ProgramText = [2, module, fuel_limit, memory_limit_pages, sorted, price_version];
  return utf8.encode(JSON.stringify(text));
}

/** Most bytes of a message beside its event's type, data and recipient. */
const EVENT_SPARE_BYTES = 4_096;

/** The program of an entry of the configuration, with the bytes of its file. Throws for an invalid schema. */
export function programOf(
  entry: ReducerEntry,
  bytes: Uint8Array,
  payload_bytes_max: number,
): RunnableProgram {
  const { fuel_limit, memory_limit_pages, values: keys, ...own } = entry;
  const { state_bytes, events, timers } = own;
  // An event that fits no message would block all later ones.
  const event_bytes = Math.min(own.event_bytes, payload_bytes_max - EVENT_SPARE_BYTES);
  const bounds = { ...ROOM_BOUNDS, keys, state_bytes, events, event_bytes, timers };
  const limits = { fuel_limit, memory_limit_pages, price_version: METER_VERSION };
  const program = { module: hex(bytes), ...limits, bounds };
  return { ...program, id: hex(textOf(program)), bytes, schema: schemaOf(bytes) };
}

/** Stores the missing parts of a program and its module. Rejects with an error of the store. */
export async function storeProgram(store: ObjectStore, program: RunnableProgram): Promise<void> {
  const { id, module, bytes } = program;
  // The module first: whoever finds the program finds its module, too.
  if (await store.get(moduleName(module)) === undefined) await store.put(moduleName(module), bytes);
  const name = nameOfProgram(id);
  if (await store.get(name) === undefined) await store.put(name, textOf(program));
}

/** The id of the program in an object with that name, or undefined if it is no program. */
export const programIn = (name: string): string | undefined => PROGRAM_NAME.exec(name)?.[1];

/** The module of a stored program; undefined if there is none with that id, or its digest differs. */
export async function moduleOf(
  store: Pick<ObjectStore, "get">,
  id: string,
): Promise<string | undefined> {
  const text = await store.get(nameOfProgram(id));
  return text === undefined || hex(text) !== id ? undefined : readText(text)[1];
}

/** A stored module. Rejects with `log-unavailable` if it is missing, or its digest differs. */
export async function loadModule(
  store: Pick<ObjectStore, "get">,
  module: string,
): Promise<Uint8Array> {
  const bytes = await store.get(moduleName(module));
  if (bytes !== undefined && hex(bytes) === module) return bytes;
  throw new ArqonError("log-unavailable", `the module ${module} is not stored`);
}

/**
 * A stored program. Rejects with `log-unavailable` if it is missing, if its digest differs from its name (wherever the
 * bytes come from), or if its prices are those of a newer Brain.
 */
export async function loadProgram(
  store: Pick<ObjectStore, "get">,
  id: string,
): Promise<RunnableProgram> {
  const text = await store.get(nameOfProgram(id));
  if (text === undefined || hex(text) !== id) {
    throw new ArqonError("log-unavailable", `the program ${id} of its entries is not stored`);
  }
  const [, module, fuel_limit, memory_limit_pages, named, price_version] = readText(text);
  if (!isPriceVersion(price_version)) {
    const sentence = `the program ${id} pays prices of version ${price_version}, not known here`;
    throw new ArqonError("log-unavailable", sentence);
  }
  const bounds = Object.fromEntries(named) as unknown as RoomBounds;
  const bytes = await loadModule(store, module);
  const schema = schemaOf(bytes);
  return { id, module, fuel_limit, memory_limit_pages, price_version, bounds, bytes, schema };
}

/** Programs that are known to be stored; beyond this the set is cleared. */
const KNOWN_MAX = 256;
const RETRY_MS = 1_000;

interface Stores {
  readonly records: Pick<KeyValue, "get">;
  readonly objects: ObjectStore;
}

/** The programs that this Brain knows to be stored. */
export class KeptPrograms {
  readonly #stores: Stores;
  /** The count of removals when the program was last seen. */
  readonly #known = new Map<string, number>();

  constructor(stores: Stores) {
    this.#stores = stores;
  }

  /** Rejects with `brain-unavailable` while its module is being removed, or with an error of the stores. */
  async keep(program: RunnableProgram): Promise<void> {
    const { id, module } = program;
    const { records, objects } = this.#stores;
    const { number, modules } = decodeRemoval((await records.get(REMOVAL_KEY))?.value);
    if (modules.includes(module)) {
      const detail = `the module ${module} was needed by nobody, and is being removed`;
      throw new ArqonError("brain-unavailable", detail, { retry_after_ms: RETRY_MS });
    }
    if (this.#known.get(id) === number) return;
    await storeProgram(objects, program);
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(id, number);
  }
}
