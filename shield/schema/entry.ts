/**
 * One schema in memory: the newest version that could be used, compiled for every message that is
 * mapped to it. A new version is compiled beside the old one and takes its place in one step; what
 * does not compile leaves the old one in force. When to look is `cache.ts`.
 */
import { ArqonError } from "@arqon/proto";
import { readDescriptorSet } from "../../shared/schema/descriptor_set.ts";
import type { DescriptorSet } from "../../shared/schema/descriptor_set.ts";
import { SchemaError } from "../../shared/schema/schema_error.ts";
import { latestOf } from "./head.ts";
import { compileMessage } from "./message_schema.ts";
import type { MessageSchema } from "./message_schema.ts";
import type { SchemaStore } from "./store.ts";

/**
 * How a look at the registry ended. `absent`: there is no such schema. `invalid`: the newest version
 * cannot be used, or lacks a message. `failed`: the registry could not be reached or read.
 */
export const LOAD_OUTCOMES = ["loaded", "unchanged", "absent", "invalid", "failed"] as const;
/** See `LOAD_OUTCOMES`. */
export type LoadOutcome = typeof LOAD_OUTCOMES[number];

/** What is in force for one message of a schema. */
export interface CompiledSchema {
  readonly version: number;
  /** Of the descriptor set: a schema that was deleted begins at version 1 again. */
  readonly sha256: string;
  readonly message: MessageSchema;
}

/** One message of a schema, as the gate holds it; `compiled` is what counts at the moment. */
export interface MappedMessage {
  readonly schema: CachedSchema;
  readonly type_name: string;
  /** Undefined as long as none was ever loaded. */
  readonly compiled: CompiledSchema | undefined;
  /** Why the newest version is not in force; "" when it is. */
  readonly problem: string;
}

type Slot = { -readonly [Key in keyof MappedMessage]: MappedMessage[Key] };

interface Unpacked {
  readonly version: number;
  readonly sha256: string;
  readonly set: DescriptorSet;
}

/** One schema of the cache. */
export class CachedSchema {
  readonly schema_id: string;
  /** Unix ms of the last look that found the registry in order; 0: none did. */
  confirmed_ms = 0;
  /** Unix ms at which the last look began. */
  tried_ms = 0;
  /** How the last look ended; undefined before the first. */
  outcome: LoadOutcome | undefined;
  /** The problems of its messages as they were last logged. */
  told = "";
  readonly #slots = new Map<string, Slot>();
  #unpacked: Unpacked | undefined;
  /** The newest version that cannot even be unpacked. */
  #bad: { readonly sha256: string; readonly problem: string } | undefined;

  constructor(schema_id: string) {
    this.schema_id = schema_id;
  }

  /** The newest version that could be unpacked; 0 when there is none. */
  get version(): number {
    return this.#unpacked?.version ?? 0;
  }

  /** Whether messages are judged by what may be out of date. */
  get isStale(): boolean {
    return this.outcome === "failed" || this.outcome === "absent";
  }

  /** Its messages. */
  get messages(): Iterable<MappedMessage> {
    return this.#slots.values();
  }

  /** Keeps these messages and no others; what is unpacked is compiled for new ones at once. */
  want(type_names: ReadonlySet<string>): void {
    for (const name of this.#slots.keys()) if (!type_names.has(name)) this.#slots.delete(name);
    for (const type_name of type_names) {
      if (this.#slots.has(type_name)) continue;
      const slot = { schema: this, type_name, compiled: undefined, problem: "not loaded yet" };
      this.#slots.set(type_name, slot);
      if (this.#unpacked !== undefined) compile(slot, this.#unpacked);
      else if (this.outcome === "absent") slot.problem = "it is not registered";
    }
  }

  /** The message, if it is wanted. */
  get(type_name: string): MappedMessage | undefined {
    return this.#slots.get(type_name);
  }

  /** Looks at the registry once. Never rejects. */
  async load(store: SchemaStore, now: () => number): Promise<LoadOutcome> {
    this.tried_ms = now();
    this.outcome = await this.#look(store).catch((error: unknown) => {
      this.#say(reasonOf(error));
      return "failed" as const;
    });
    if (this.outcome !== "failed" && this.outcome !== "absent") this.confirmed_ms = now();
    return this.outcome;
  }

  async #look(store: SchemaStore): Promise<LoadOutcome> {
    const stored = await store.read(this.schema_id);
    if (stored === undefined) {
      this.#say("it is not registered");
      return "absent";
    }
    const latest = latestOf(stored.head);
    const { version, sha256 } = latest;
    if (this.#bad?.sha256 === sha256) {
      this.#say(this.#bad.problem);
      return "invalid";
    }
    const is_new = this.#unpacked?.sha256 !== sha256 || this.#unpacked.version !== version;
    if (is_new) {
      const bytes = await store.bytes(this.schema_id, stored, latest);
      try {
        this.#unpacked = { version, sha256, set: readDescriptorSet(bytes) };
        this.#bad = undefined;
      } catch (error) {
        if (!(error instanceof SchemaError)) throw error;
        this.#bad = { sha256, problem: `version ${version}: ${error.message}` };
        this.#say(this.#bad.problem);
        return "invalid";
      }
    }
    return this.#compileAll() ? (is_new ? "loaded" : "unchanged") : "invalid";
  }

  /** Whether the newest version is in force for every message. */
  #compileAll(): boolean {
    let all = true;
    for (const slot of this.#slots.values()) {
      if (this.#unpacked !== undefined) all = compile(slot, this.#unpacked) && all;
    }
    return all;
  }

  #say(problem: string): void {
    for (const slot of this.#slots.values()) slot.problem = problem;
  }
}

/** Swaps the newest version in, unless it is in force or cannot be. */
function compile(slot: Slot, { version, sha256, set }: Unpacked): boolean {
  if (slot.compiled?.version !== version || slot.compiled.sha256 !== sha256) {
    try {
      slot.compiled = { version, sha256, message: compileMessage(set.registry, slot.type_name) };
    } catch (error) {
      if (!(error instanceof SchemaError)) throw error;
      slot.problem = `version ${version}: ${error.message}`;
      return false;
    }
  }
  slot.problem = "";
  return true;
}

function reasonOf(error: unknown): string {
  if (error instanceof ArqonError && error.cause instanceof Error) return error.cause.message;
  return error instanceof Error ? error.message : String(error);
}
