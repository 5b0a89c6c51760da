/**
 * Runs a reducer in the client to predict a call: `arqon_room_v1` over known values. Only modules from the bus are
 * metered; the bounds of a room do not apply.
 */
import { encodeUtf8, strictText, utf8OrUndefined } from "@arqon/proto";
import { compareKeys, type ReducedValue } from "./watched_values.ts";

/** The call to predict. */
export interface GuessedCall {
  readonly command: string;
  readonly data: Uint8Array;
  readonly id: string;
  readonly user: string;
  readonly role: string;
  readonly claims: Readonly<Record<string, string>>;
  readonly room: string;
  /** Unix ms. */
  readonly now_ms: number;
  /** The entry that it may become. */
  readonly offset: number;
  /** Random numbers, the same ones in each prediction of this call. */
  readonly random: (drawn: number) => bigint;
}

/** The values before a guess. */
type Values = ReadonlyMap<string, ReducedValue>;

/** The writes of a call; undefined: it would be refused, or the outcome is unknown. */
export type Guess = ReadonlyMap<string, ReducedValue | undefined> | undefined;

const SCAN_BYTES = 65_536;

const bytesOf = (value: ReducedValue) => typeof value === "string" ? encodeUtf8(value) : value;

class Refused extends Error {}

interface GuestExports {
  readonly memory: WebAssembly.Memory;
  readonly arqon_alloc: (size_bytes: number) => number;
}

/** A module, and the fuel of each prediction if the bus has metered it. */
export interface GuestModule {
  readonly module: WebAssembly.Module;
  readonly fuel_units: number;
}

class Guessing {
  readonly changes = new Map<string, ReducedValue | undefined>();
  readonly #call: GuessedCall;
  readonly #values: Values;
  #exports: GuestExports | undefined;
  #drawn = 0;

  constructor(call: GuessedCall, values: Values) {
    this.#call = call;
    this.#values = values;
  }

  run({ module, fuel_units }: GuestModule): number {
    const { exports } = new WebAssembly.Instance(module, { arqon_room_v1: this.#functions() });
    // A module from the bus is metered, and has no fuel until it is set.
    if (exports.arqon_fuel instanceof WebAssembly.Global) {
      exports.arqon_fuel.value = BigInt(fuel_units);
    }
    (exports.arqon_init as (() => void) | undefined)?.();
    this.#exports = exports as unknown as GuestExports;
    return (exports.arqon_apply as () => number)();
  }

  #view(at: number, size: number): Uint8Array {
    if (this.#exports === undefined) throw new Refused("the host was called outside of a command");
    return new Uint8Array(this.#exports.memory.buffer, at >>> 0, size >>> 0);
  }

  #text = (at: number, size: number) => strictText(this.#view(at, size));

  #give(value: ReducedValue | undefined): number {
    if (value === undefined || this.#exports === undefined) return 0;
    const bytes = bytesOf(value);
    const pointer = this.#exports.arqon_alloc(4 + bytes.length) >>> 0;
    if (pointer === 0) throw new Refused("no memory");
    const target = this.#view(pointer, 4 + bytes.length);
    new DataView(target.buffer, target.byteOffset).setUint32(0, bytes.length, true);
    target.set(bytes, 4);
    return pointer | 0;
  }

  #read(key: string): ReducedValue | undefined {
    return this.changes.has(key) ? this.changes.get(key) : this.#values.get(key);
  }

  #scan(prefix: string, after: string, most: number): Uint8Array {
    const known = new Set([...this.#values.keys(), ...this.changes.keys()]);
    const keys = [...known].filter((key) =>
      key.startsWith(prefix) && (after === "" || compareKeys(key, after) > 0)
    ).sort(compareKeys);
    const found: number[] = [];
    let left = most;
    for (const key of keys) {
      const value = this.#read(key);
      if (value === undefined) continue;
      const parts = [encodeUtf8(key), bytesOf(value)];
      const size = parts.reduce((sum, part) => sum + 4 + part.length, 0);
      if (found.length > 0 && found.length + size > SCAN_BYTES) break;
      for (const part of parts) {
        const length = new Uint8Array(4);
        new DataView(length.buffer).setUint32(0, part.length, true);
        found.push(...length, ...part);
      }
      if (--left <= 0) break;
    }
    return Uint8Array.from(found);
  }

  #functions() {
    const call = this.#call;
    const text = this.#text;
    const fields = () => [call.command, call.data, call.user, call.role, call.room, call.id];
    return {
      room_field: (which: number) => this.#give(fields()[which]),
      room_claim: (at: number, size: number) => {
        const name = text(at, size);
        return this.#give(Object.hasOwn(call.claims, name) ? call.claims[name] : undefined);
      },
      room_now: () => BigInt(call.now_ms),
      room_offset: () => BigInt(call.offset),
      room_random: () => BigInt.asIntN(64, call.random(this.#drawn++)),
      room_read: (at: number, size: number) => this.#give(this.#read(text(at, size))),
      room_write: (key: number, key_size: number, at: number, size: number) => {
        const bytes = this.#view(at, size);
        this.changes.set(text(key, key_size), utf8OrUndefined(bytes) ?? bytes.slice());
      },
      room_delete: (at: number, size: number) => void this.changes.set(text(at, size), undefined),
      room_scan: (
        ...[at, size, after, after_size, most]: [number, number, number, number, number]
      ) => this.#give(this.#scan(text(at, size), text(after, after_size), most)),
      // Events and timers are the room's own; a prediction ignores them.
      room_emit: () => {},
      room_answer: () => {},
      room_schedule: () => {},
      room_unschedule: () => {},
      room_log: () => {},
      room_reject: () => {
        throw new Refused("rejected");
      },
    };
  }
}

/** Predicts the writes of a call. An invalid or failing module predicts nothing. */
export function guess(module: GuestModule, call: GuessedCall, values: Values): Guess {
  const guessing = new Guessing(call, values);
  try {
    return guessing.run(module) === 0 ? guessing.changes : undefined;
  } catch {
    return undefined;
  }
}
